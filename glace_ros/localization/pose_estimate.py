"""What an image says: its points in the map, and the pose of its camera or why there is none."""

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


class HeadPoints:
    """What heads say of an image's patches, points (n, 3) each from the map's origin: each is asked
    when its answer is first read, and once.
    """

    def __init__(self, ask: Callable[[int], NDArray[np.float64]], heads: Iterable[int]) -> None:
        self._ask, self._heads = functools.cache(ask), tuple(heads)

    def __len__(self) -> int:
        return len(self._heads)

    def __getitem__(self, index: int) -> NDArray[np.float64]:
        return self._ask(self._heads[index])


class Regression(NamedTuple):
    """What the map says of an image: its patches, their points by each head that is asked, the
    pinhole camera in whose pixels the patches are given, and the image's code (None: there is
    none).
    """

    features: LocalFeatures
    points_hn3: HeadPoints | Sequence[NDArray[np.float64]]
    camera: Camera
    descriptor_G: torch.Tensor | None = None

    def by_head(self) -> list[Regression]:
        """What each head says of the image, by itself."""
        ask = self.points_hn3.__getitem__
        return [
            self._replace(points_hn3=HeadPoints(ask, [head]))
            for head in range(len(self.points_hn3))
        ]

    @property
    def points_n3(self) -> NDArray[np.float64]:
        """Of the first head, from the map's origin."""
        return self.points_hn3[0]

    @property
    def pixels_n2(self) -> NDArray[np.float64]:
        """Where the patches are, in the encoded image."""
        return np.asarray(self.features.pixels_n2.cpu().numpy().astype(np.float64))


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """An accepted pose of the camera (optical axes) in the map.

    covariance_66: see pose_covariance. points: regressed, inliers: of these. pixels_m2, points_m3:
    the inliers in the *given* image's undistorted pixels and in the map. landmarks: how many the
    pose was made exact with, 0 = none; sure: enough to vouch for it. reprojection_px: median of
    what the pose was solved from. rival: share of this pose's agreement that the best pose in
    another place has; ambiguous: so much that this image alone does not tell which it is.
    """

    map_from_camera: Pose
    covariance_66: NDArray[np.float64]
    inliers: int
    points: int
    reprojection_px: float
    seconds: float
    pixels_m2: NDArray[np.float64]
    points_m3: NDArray[np.float64]
    landmarks: int = 0
    landmark_verified: bool = False
    second_best_ratio: float = 0.0
    ambiguous: bool = False

    @property
    def inlier_ratio(self) -> float:
        """Share of the regressed points that agree with the pose."""
        return self.inliers / self.points


@dataclass(frozen=True)
class Rejection:
    """No pose, and why, in words for a log line."""

    reason: str
    inliers: int
    points: int
    seconds: float

    @property
    def inlier_ratio(self) -> float:
        """Share of the regressed points that agreed with the best pose found."""
        return self.inliers / self.points if self.points else 0.0


def errors_px(estimate: PoseEstimate, camera: Camera, map_from_camera: Pose) -> NDArray[np.float64]:
    """How far (m,) each inlier's point, seen from that pose, is from its pixel; infinite behind
    the camera.
    """
    points_m3 = map_from_camera.inverse().transform(estimate.points_m3)
    off_m = np.linalg.norm(camera.project(points_m3) - estimate.pixels_m2, axis=1)
    return np.where(points_m3[:, 2] > 0.0, off_m, np.inf)
