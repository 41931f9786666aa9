"""What the map says of an image: its points in the map, and the pose of its camera."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch
    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.geometry.rolling_shutter import Shutter
    from glace_ros.rejection import Rejection


class HeadPoints:
    """What heads predict of an image's local features: a head runs when points are first read, and
    once for each feature.

    predict: number of a head and which features -> their points (n, 3), metres from the map's
        origin.
    heads: their numbers in the map.
    """

    def __init__(
        self, predict: Callable[[int, slice], NDArray[np.float64]], heads: Iterable[int]
    ) -> None:
        self._predict, self._heads = predict, tuple(heads)
        self._known: dict[int, NDArray[np.float64]] = {}
        self._whole = functools.cache(self._completed)

    def __len__(self) -> int:
        return len(self._heads)

    def __getitem__(self, index: int) -> NDArray[np.float64]:
        return self._whole(index)

    def best(self, index: int, count: int) -> NDArray[np.float64]:
        """Of the first `count` features, by the head of that index. For one count alone."""
        if index not in self._known:
            self._known[index] = self._predict(self._heads[index], slice(count))
        return self._known[index][:count]

    def of_head(self, index: int) -> HeadPoints:
        """The same of that head alone."""
        return HeadPoints(self._predict, [self._heads[index]])

    def _completed(self, index: int) -> NDArray[np.float64]:
        known_n3 = self._known.get(index, np.empty((0, 3)))
        rest_n3 = self._predict(self._heads[index], slice(len(known_n3), None))
        return np.concatenate([known_n3, rest_n3])


class Regression(NamedTuple):
    """What the map predicts of an image.

    features: n local features of the encoded image.
    points_hn3: by each head (n, 3), metres from the map's origin.
    camera: the pinhole in whose pixels the features are.
    global_descriptor: of the image, asked once it is needed; None where the map has none.
    grey_hw: the encoded image; None: templates are not looked for in it.
    shutter: how its rows were exposed, asked once it is needed; None: at once, as far as is known.
    """

    features: LocalFeatures
    points_hn3: HeadPoints | Sequence[NDArray[np.float64]]
    camera: Camera
    global_descriptor: Callable[[], torch.Tensor | None] = lambda: None
    grey_hw: NDArray[np.uint8] | None = None
    shutter: Callable[[], Shutter | None] = lambda: None

    def by_head(self) -> list[Regression]:
        """What each head predicts of the image, by itself."""
        by_heads = self.points_hn3
        if isinstance(by_heads, HeadPoints):
            return [
                self._replace(points_hn3=by_heads.of_head(index)) for index in range(len(by_heads))
            ]
        return [self._replace(points_hn3=[points_n3]) for points_n3 in by_heads]

    def seen_in(self, other: Regression) -> Regression:
        """The same of the image of another regression."""
        return self._replace(grey_hw=other.grey_hw, shutter=other.shutter)

    def points_n3(self, count: int | None = None) -> NDArray[np.float64]:
        """(n, 3) metres from the map's origin, by the first head: the first call runs it.

        count: of the best features alone; None: of all.
        """
        by_heads = self.points_hn3
        if count is not None and isinstance(by_heads, HeadPoints):
            return by_heads.best(0, count)
        return by_heads[0][:count]

    @property
    def pixels_n2(self) -> NDArray[np.float64]:
        """(n, 2) px, where the features are in the encoded image."""
        return np.asarray(self.features.pixels_n2.cpu().numpy().astype(np.float64))


def all_seen() -> float:
    """Where no landmarks tell otherwise."""
    return 1.0


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """An accepted pose of the camera (optical axes) in the map.

    map_from_camera: the pose, metres.
    covariance_66: metres and radians, axes as in pose_covariance.
    inliers, points: of the points that the pose was first solved from, predicted by a head or of
    landmarks that were looked for everywhere, those that agree, and all.
    reprojection_px: px, median over what the pose was solved from.
    seconds: s, spent in the localizer.
    pixels_m2: the inliers in the *given* image's undistorted pixels.
    points_m3: the same in the map, metres.
    camera: the pinhole of these pixels, by which the pose was solved.
    landmarks: how many the pose was made exact with, 0 = none.
    landmark_index_m: which of the map's they are; None: none.
    landmark_verified: they are so many that the pose counts whatever the inliers.
    seen_ratio: of the landmarks that the pose should show, those that the image does, in (0, 1]:
    worked out where it is asked for.
    second_best_ratio: agreement of the best pose in another place, as a ratio of this one's.
    ambiguous: that is so much that it cannot be told which of both it is.
    images: how many images carry it: more than one where it is of an image window.
    rivals: map_from_camera in the other places that an image window may be of, best first.
    """

    map_from_camera: Pose
    covariance_66: NDArray[np.float64]
    inliers: int
    points: int
    reprojection_px: float
    seconds: float
    pixels_m2: NDArray[np.float64]
    points_m3: NDArray[np.float64]
    camera: Camera
    landmarks: int = 0
    landmark_index_m: torch.Tensor | None = None
    landmark_verified: bool = False
    seen_ratio: Callable[[], float] = all_seen
    second_best_ratio: float = 0.0
    ambiguous: bool = False
    images: int = 1
    rivals: tuple[Pose, ...] = ()

    @property
    def inlier_ratio(self) -> float:
        """Ratio of the points, predicted or of landmarks, that agree with the pose."""
        return self.inliers / self.points


def errors_px(estimate: PoseEstimate, map_from_camera: Pose) -> NDArray[np.float64]:
    """How far each inlier's point, seen from a pose, is from its pixel: (m,) px, infinite behind
    the camera.

    estimate: with m inliers.
    map_from_camera: the pose to look from.
    """
    points_m3 = map_from_camera.inverse().transform(estimate.points_m3)
    off_m = np.linalg.norm(estimate.camera.project(points_m3) - estimate.pixels_m2, axis=1)
    return np.where(points_m3[:, 2] > 0.0, off_m, np.inf)


class Hypothesis(NamedTuple):
    """What becomes of an image in one place that it is tried in.

    result: the pose there, or why there is none.
    regression: what the map predicts of the image there.
    similarity: of the image to the place; 0 where it was tried in no particular one.
    """

    result: PoseEstimate | Rejection
    regression: Regression
    similarity: float = 0.0
