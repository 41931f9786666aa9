"""The mapping views as pose refinement wants them, and their images once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.mapping.parallel import few_at_once
from glace_ros.mapping.pose_refinement.misfit_cause import misfit_cause
from glace_ros.mapping.pose_refinement.pose_refinement import PoseRefinement
from glace_ros.mapping.pose_refinement.precise_keypoints import NONE, precise_keypoints
from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.misfit_cause import MisfitCause
    from glace_ros.mapping.pose_refinement.precise_keypoints import PreciseKeypoints
    from glace_ros.mapping.pose_refinement.refinement_config import (
        KeypointConfig,
        PoseRefinementConfig,
    )
    from glace_ros.mapping.pose_refinement.refinement_view import RecordedMotion
    from glace_ros.mapping.views.mapping_views import MappingView, MappingViews
    from glace_ros.recording.posed_images import PosedImage

    Places = set[tuple[int, int]]

_AT_ONCE = 32
"""Images that are worked on together."""
_KEPT_BYTES = 256 << 20
"""Of images that are kept in memory: 1,400 of 544x352."""


def pose_refinement(
    views: MappingViews,
    motions: Sequence[RecordedMotion],
    names: Sequence[str],
    config: PoseRefinementConfig,
    precise: Callable[[], list[PreciseKeypoints]] | None,
    on_progress: Callable[[float, str], None],
) -> PoseRefinement:
    """Of all views; arguments as PoseRefinement has them."""
    known = _refinement_views(views, motions, config)
    return PoseRefinement(known, names, config, precise, on_progress)


class ViewImages:
    """Iterates over the views' images, each with the view's number; an image that cannot be read
    any more is left out. Where they are small enough in all, they are read once.

    images_at: gives the images with these (drive, stamp in ns).
    grey_of: an image undistorted, at working size.
    on_image: called for each, each time.
    """

    def __init__(
        self,
        views: MappingViews,
        images_at: Callable[[Places], Iterable[PosedImage]],
        grey_of: Callable[[PosedImage], NDArray[np.uint8]],
        on_image: Callable[[], None] = lambda: None,
    ) -> None:
        places = zip(views.drives_v.tolist(), views.stamps_v.tolist(), strict=True)
        self._number_of = {place: number for number, place in enumerate(places)}
        self._images_at, self._grey_of, self._on_image = images_at, grey_of, on_image
        self._kept: list[tuple[int, NDArray[np.uint8]]] | None = None

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        kept: list[tuple[int, NDArray[np.uint8]]] | None = []
        kept_bytes = 0
        for number, grey_hw in self._kept if self._kept is not None else self._read():
            kept_bytes += grey_hw.nbytes
            if kept is not None and kept_bytes < _KEPT_BYTES:
                kept.append((number, grey_hw))
            else:
                kept = None
            yield number, grey_hw
            self._on_image()
        self._kept = kept

    def _read(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        images = self._images_at(set(self._number_of))
        for image, grey_hw in few_at_once(self._grey_of, images, _AT_ONCE):
            yield self._number_of[image.drive, image.stamp_ns], grey_hw


def cause_of_misfit(
    views: MappingViews,
    motions: Sequence[RecordedMotion],
    config: PoseRefinementConfig,
    pose_at: Callable[[int, float], Pose | None],
) -> MisfitCause | None:
    """Why the recorded poses do not fit the images; pose_at as of `misfit_cause`."""
    known = _refinement_views(views, motions, config)
    return misfit_cause(known, pose_at)


def precise_keypoints_of(
    views: MappingViews,
    images: Iterable[tuple[int, NDArray[np.uint8]]],
    config: KeypointConfig,
) -> list[PreciseKeypoints]:
    """Of each view.

    images: the views' numbers and images, undistorted, at working size.
    """
    count, found = _count(config, len(views)), [NONE] * len(views)
    for (number, _), keypoints in few_at_once(
        lambda image: precise_keypoints(image[1], count), images, _AT_ONCE
    ):
        found[number] = keypoints
    return found


def _refinement_views(
    views: MappingViews, motions: Sequence[RecordedMotion], config: PoseRefinementConfig
) -> list[RefinementView]:
    count = _count(config.keypoints, len(views))
    return [
        _refinement_view(view, motion, count) for view, motion in zip(views, motions, strict=True)
    ]


def _count(config: KeypointConfig, views: int) -> int:
    return min(config.count, config.most // views)


def _refinement_view(view: MappingView, motion: RecordedMotion, count: int) -> RefinementView:
    """The view's best patches, with its recorded pose."""
    features = view.features.head(count)
    pixels_n2 = features.pixels_n2.double().cpu().numpy()
    return RefinementView(
        features.descriptors_nC.half().cpu(), pixels_n2, view.intrinsics_4.double().numpy(),
        float(2 * view.intrinsics_4[3]), motion.recorded, motion.base_from_camera, motion.stretch,
        motion.velocity_6,
    )  # fmt: skip
