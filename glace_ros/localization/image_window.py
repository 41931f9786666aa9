"""Image window: the last looked-at images, few and spread, whose motion between them is known.

What it keeps is bounded in number, age and way. It is emptied where the motion is not known any
more: odometry is missing or jumps, or the clock does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from glace_ros.geometry.camera import Camera
    from glace_ros.localization.image_window_config import ImageWindowConfig
    from glace_ros.localization.pose_estimate import Hypothesis, PoseEstimate
    from glace_ros.rejection import Rejection

_STEP_M, _STEP_RAD = 0.05, 0.1
"""What odometry may be off by between two images, beside the speed."""


class ImageMotion(NamedTuple):
    """When an image was exposed, and where its camera was by odometry.

    stamp_ns: exposure time.
    odom_from_base: odometry at that time; None where it is not known.
    base_from_camera: where the camera sits, optical axes.
    camera: its name; empty where there is but one.
    """

    stamp_ns: int
    odom_from_base: Pose | None
    base_from_camera: Pose
    camera: str = ""


class WindowImage(NamedTuple):
    """One image of a window.

    stamp_ns, camera: as of ImageMotion.
    odom_from_base, base_from_camera: at its exposure.
    pinhole: of the image as it was given.
    hypotheses: what became of it in each place that it was tried in.
    tried: where else it was looked for, and what came of that; grows with the places.
    way_m: of the base since the window was last empty.
    """

    stamp_ns: int
    camera: str
    odom_from_base: Pose
    base_from_camera: Pose
    pinhole: Camera
    hypotheses: list[Hypothesis]
    tried: list[tuple[Pose, PoseEstimate | Rejection]]
    way_m: float = 0.0


class ImageWindow:
    """Takes images in the order in which they are looked at."""

    def __init__(self, config: ImageWindowConfig) -> None:
        self._config = config
        self._images: list[WindowImage] = []

    @property
    def images(self) -> list[WindowImage]:
        """Those that show different views, in the order in which they were looked at; the last one
        is the newest. Of a robot that stands still it is the newest alone.
        """
        if not self._images:
            return []
        *others, newest = self._images
        return [*(each for each in others if not self._show_the_same(each, newest)), newest]

    def clear(self) -> None:
        """Forgets all images."""
        self._images = []

    def add(self, motion: ImageMotion, pinhole: Camera, hypotheses: list[Hypothesis]) -> None:
        """The newest image; it is kept alone where nothing is known of its motion since the others.

        motion: of the image.
        pinhole: of the image as it was given.
        hypotheses: of the image.
        """
        if motion.odom_from_base is None:
            self.clear()
            return
        image = WindowImage(
            motion.stamp_ns, motion.camera, motion.odom_from_base, motion.base_from_camera,
            pinhole, hypotheses, [],
        )  # fmt: skip
        if not self._images:
            self._images = [image]
            return
        *others, last = self._images
        step = last.odom_from_base.inverse() @ image.odom_from_base
        if self._jumped(image, step):
            self._images = [image]
            return
        image = image._replace(way_m=last.way_m + step.distance_m(Pose.identity()))
        if not any(self._show_the_same(other, last) for other in others):
            others.append(last)
        kept = [other for other in others if self._still_counts(other, image)]
        while len(kept) >= max(1, self._config.images):
            kept.remove(self._least_missed([*kept, image]))
        self._images = [*kept, image]

    def _jumped(self, image: WindowImage, step: Pose) -> bool:
        """Whether the clock or odometry has, between the newest image so far and this one.

        step: what odometry says of the motion from one to the other.
        """
        of_camera_ns = [each.stamp_ns for each in self._images if each.camera == image.camera]
        if of_camera_ns and image.stamp_ns <= of_camera_ns[-1]:
            return True
        config, after_s = self._config, abs(image.stamp_ns - self._images[-1].stamp_ns) * 1e-9
        return (
            after_s > config.max_age_s
            or step.distance_m(Pose.identity()) > _STEP_M + config.max_speed_mps * after_s
            or step.angle_rad(Pose.identity()) > _STEP_RAD + config.max_turn_radps * after_s
        )

    def _still_counts(self, image: WindowImage, newest: WindowImage) -> bool:
        config = self._config
        return (
            newest.stamp_ns - image.stamp_ns
        ) * 1e-9 <= config.max_age_s and newest.way_m - image.way_m <= config.max_distance_m

    def _show_the_same(self, image: WindowImage, other: WindowImage) -> bool:
        return image.camera == other.camera and self._spread(image, other) < 1.0

    def _spread(self, image: WindowImage, other: WindowImage) -> float:
        """Below 1 where two images show the same."""
        step_m = image.odom_from_base.distance_m(other.odom_from_base)
        step_rad = image.odom_from_base.angle_rad(other.odom_from_base)
        return max(step_m / self._config.min_way_m, step_rad / self._config.min_turn_rad)

    def _least_missed(self, images: list[WindowImage]) -> WindowImage:
        """Of all but the newest, the one that has another of its camera nearest."""

        def nearest(image: WindowImage) -> float:
            apart = [
                self._spread(image, other)
                for other in images
                if other is not image and other.camera == image.camera
            ]
            return min(apart, default=math.inf)

        return min(images[:-1], key=nearest)
