"""Window runs: what the last images together say of held-out images, which come in runs.

Each image is looked for in all places that it, or one of those before it, may be of. How much more
of the map agrees with the place where it was taken than with the best of the others is what tells
how much less the others must have.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from glace_ros.localization.image_window import ImageMotion
from glace_ros.localization.window_localizer import WindowLocalizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.localizer import Localizer
    from glace_ros.localization.pose_estimate import Hypothesis
    from glace_ros.localization.window_places import Place
    from glace_ros.recording.posed_images import PosedImage

_LARGEST = 4.0
"""A place with a smaller part of the agreement is not one that looks alike."""


class Lead(NamedTuple):
    """Of the right place over the best of the wrong ones.

    images: that support the right one.
    log_ratio: natural logarithm of the agreement of the right one over that of the wrong one; below
        0 where the wrong one has more.
    """

    images: int
    log_ratio: float


class WindowRuns:
    """Looks at images in the order in which they were taken.

    localizer: of the new map.
    is_gross_error: whether a pose of the camera is a wrong one, beside the true one.
    leads: of each image with those before it, where several places were looked at.
    """

    def __init__(self, localizer: Localizer, is_gross_error: Callable[[Pose, Pose], bool]) -> None:
        self._windows, self._is_gross_error = WindowLocalizer(localizer), is_gross_error
        self.leads: list[Lead] = []

    def learn_from(
        self, image: PosedImage, hypotheses: list[Hypothesis], base_from_camera: Pose
    ) -> None:
        """Adds what the image says together with those before it.

        image: its truth stands for odometry, too.
        hypotheses: of the image.
        base_from_camera: where the camera sits.
        """
        truth = image.map_from_camera
        if truth is None:
            self._windows.clear()
            return
        map_from_base = truth @ base_from_camera.inverse()
        motion = ImageMotion(image.stamp_ns, map_from_base, base_from_camera)
        right: list[Place] = []
        wrong: list[Place] = []
        for place in self._windows.places(hypotheses, image.camera, motion):
            if not place.agreement:
                continue
            off = self._is_gross_error(place.map_from_base @ base_from_camera, truth)
            (wrong if off else right).append(place)
        if right and wrong:
            ratio = right[0].agreement / wrong[0].agreement
            if ratio > _LARGEST:
                return
            self.leads.append(Lead(len(right[0].supports), math.log(ratio)))
