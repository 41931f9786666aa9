"""Window localizer: the last images and the odometry between them -> the pose of the newest one.

Each image comes with what became of it in every place that it was tried in. Each of these places is
carried to the other images by odometry, and those that see it there support it. A place counts
where most of the images support it, the newest among them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.covariance import base_covariance
from glace_ros.geometry.rolling_shutter import unknown
from glace_ros.localization.generalized_solver import RigImage
from glace_ros.localization.image_window import ImageWindow
from glace_ros.localization.image_window_config import WindowConfig
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.localization.window_places import WindowPlaces
from glace_ros.localization.window_rivals import WindowRivals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.geometry.rolling_shutter import MotionSource
    from glace_ros.localization.image_window import ImageMotion, WindowImage
    from glace_ros.localization.localizer import Localizer
    from glace_ros.localization.pose_estimate import Hypothesis
    from glace_ros.localization.window_places import Place
    from glace_ros.rejection import Rejection


class Glance(NamedTuple):
    """An image by itself.

    alone: what it says.
    hypotheses: what became of it in each place.
    pinhole: of the image.
    """

    alone: PoseEstimate | Rejection
    hypotheses: list[Hypothesis]
    pinhole: Camera


class WindowLocalizer:
    """Looks at images one after the other. For one thread at a time.

    localizer: of the map.
    config: None = all defaults.
    """

    def __init__(self, localizer: Localizer, config: WindowConfig | None = None) -> None:
        self._localizer, self.config = localizer, config or WindowConfig()
        self._window = ImageWindow(self.config.window)
        self._places = WindowPlaces(localizer, self.config)
        self._rivals = WindowRivals(self._places, self.config, localizer.scene_map.metadata)

    def clear(self) -> None:
        """Forgets all images."""
        self._window.clear()

    def localize(
        self,
        image_rgb_hwc: NDArray[np.uint8],
        camera: Camera,
        motion: ImageMotion | None,
        *,
        tracking: bool = False,
    ) -> PoseEstimate | Rejection:
        """The pose of the camera at exposure.

        image_rgb_hwc, camera: as of `Localizer.localize`.
        motion: of the image; None where it is not known: the window is emptied.
        tracking: it is known where the robot is: an image that is clear by itself is not held
            against those before it.
        """
        return self.resolve(self.look(image_rgb_hwc, camera), motion, tracking=tracking)

    def look(
        self, image_rgb_hwc: NDArray[np.uint8], camera: Camera, moved: MotionSource = unknown
    ) -> Glance:
        """An image by itself. Arguments as of `Localizer.localize`."""
        start = time.perf_counter()
        regression = self._localizer.regress(image_rgb_hwc, camera, moved)
        hypotheses = self._localizer.hypotheses(regression, camera, start)
        return Glance(self._localizer.decide(hypotheses, start), hypotheses, camera)

    def resolve(
        self, glance: Glance, motion: ImageMotion | None, *, tracking: bool = False
    ) -> PoseEstimate | Rejection:
        """What the image says together with those before it; it is kept for those after it.

        glance: as `look` gives it.
        motion, tracking: as of `localize`.
        """
        start, alone = time.perf_counter(), glance.alone
        if motion is None:
            self.clear()
            return alone
        self._window.add(motion, glance.pinhole, glance.hypotheses)
        images = self._window.images
        if tracking and isinstance(alone, PoseEstimate) and not alone.ambiguous:
            return alone
        if len(images) < 2:
            return self._with_rivals(glance)
        together = self._together(alone, images)
        if tracking and _is_ambiguous(alone) and _is_ambiguous(together):
            # it may confirm where the robot is believed to be: by itself, for those before it may
            # be of where a robot was that has been carried since
            together = self._with_rivals(glance)
        return replace(together, seconds=alone.seconds + time.perf_counter() - start)

    def _with_rivals(self, glance: Glance) -> PoseEstimate | Rejection:
        """What an image says alone while it is not known where the robot is, and where else it may
        be of.
        """
        alone = glance.alone
        if not isinstance(alone, PoseEstimate):
            return alone
        if not alone.ambiguous and self._rivals.tells(alone.second_best_ratio, 1):
            return alone
        poses = [
            each.result.map_from_camera
            for each in glance.hypotheses
            if isinstance(each.result, PoseEstimate)
        ]
        apart = [each for each in poses if not self._places.are_same(each, alone.map_from_camera)]
        return replace(alone, ambiguous=True, rivals=tuple(apart))

    def places(
        self, hypotheses: list[Hypothesis], pinhole: Camera, motion: ImageMotion
    ) -> list[Place]:
        """Where an image may be of by itself and those before it, the place with most agreement
        first. The image is kept for those after it.

        hypotheses, pinhole: as of Glance.
        motion: of the image.
        """
        self._window.add(motion, pinhole, hypotheses)
        return self._places_of(self._window.images)

    def _together(
        self, alone: PoseEstimate | Rejection, images: list[WindowImage]
    ) -> PoseEstimate | Rejection:
        """The newest image's pose by all of them.

        alone: what it says by itself.
        """
        places = self._places_of(images)
        for place in places[:1]:
            if self._is_carried(place, images):
                return self._estimate(place, places, images)
        return self._unless_contradicted(alone, places, images)

    def _places_of(self, images: list[WindowImage]) -> list[Place]:
        places = self._places.of(images)
        if len(images) > 1 and not any(self._is_carried(place, images) for place in places):
            found = self._found_together(images)
            if found and not any(
                self._places.are_same(found, each.map_from_base) for each in places
            ):
                places.append(self._places.with_supports(found, images))
        return sorted(places, key=lambda place: place.agreement, reverse=True)

    def _is_carried(self, place: Place, images: list[WindowImage]) -> bool:
        """Whether images enough see it, the newest among them."""
        if len(place.supports) < 2 or not place.is_seen_by(images[-1]):
            return False
        elsewhere = [
            image
            for image in images
            if not place.is_seen_by(image)
            and any(
                isinstance(each.result, PoseEstimate) and each.result.landmark_verified
                for each in image.hypotheses
            )
        ]
        if len(elsewhere) >= len(place.supports):
            return False
        own = [support.estimate for support in place.supports if support.is_own]
        # two poses that were found apart from each other agree: as good as another seed of RANSAC
        found = len(own) > 1 or any(estimate.landmark_verified for estimate in own)
        landmarks = sum(support.estimate.landmarks for support in place.supports)
        return found or landmarks >= self.config.landmarks

    def _estimate(
        self, best: Place, places: list[Place], images: list[WindowImage]
    ) -> PoseEstimate:
        """The newest image's pose, by that of all that see the best place which says it surest.

        Images of one place err together, by the same landmarks and the same mapping poses, and
        nobody knows how much. The best covariance intersection with such (Julier and Uhlmann 1997)
        is that of the surest one; so windows tell places, and are no surer than an image.
        """
        newest = images[-1]
        carried = [
            each.belief.carried_to(newest.odom_from_base, self.config.odometry)
            for each in best.supports
        ]
        surest = min(carried, key=lambda each: float(np.linalg.det(each.covariance_66)))
        map_from_camera = surest.map_from_base @ newest.base_from_camera
        second_best, rivals = self._rivals.of(best, places, images)
        return replace(
            best.supports[0].estimate,
            map_from_camera=map_from_camera,
            covariance_66=base_covariance(
                surest.covariance_66, surest.map_from_base, map_from_camera
            ),
            second_best_ratio=second_best,
            ambiguous=bool(rivals) or self._has_unseen_twin(best, places),
            images=len(best.supports),
            rivals=tuple(each.map_from_base @ newest.base_from_camera for each in rivals),
        )

    def _has_unseen_twin(self, best: Place, places: list[Place]) -> bool:
        """Whether the place may have a twin that nobody found. Images that are landmark-verified by
        themselves have looked for one.
        """
        if len(places) > 1:
            return False
        supports = best.supports
        looked_for = any(s.is_own and s.estimate.landmark_verified for s in supports)
        twins = sum(self._localizer.has_twin(s.estimate, looked_for=looked_for) for s in supports)
        return 2 * twins > len(supports)

    def _unless_contradicted(
        self, alone: PoseEstimate | Rejection, places: list[Place], images: list[WindowImage]
    ) -> PoseEstimate | Rejection:
        """What the newest image says by itself; ambiguous where the others say otherwise."""
        if not isinstance(alone, PoseEstimate):
            return alone
        newest = images[-1]
        map_from_base = alone.map_from_camera @ newest.base_from_camera.inverse()
        for place in places:
            if self._places.are_same(place.map_from_base, map_from_base) and place.agreement:
                second_best, rivals = self._rivals.of(place, places, images)
                ratio = max(alone.second_best_ratio, second_best)
                tells = self._rivals.tells(ratio, len(place.supports))
                return replace(
                    alone,
                    second_best_ratio=ratio,
                    ambiguous=alone.ambiguous or bool(rivals) or not tells,
                    rivals=tuple(each.map_from_base @ newest.base_from_camera for each in rivals),
                )
        return replace(alone, ambiguous=True)

    def _found_together(self, images: list[WindowImage]) -> Pose | None:
        """The newest image's base, by what the head says of all of them."""
        config = self.config
        odom_from_newest = images[-1].odom_from_base
        rig = []
        for image in images:
            regression = image.hypotheses[0].regression
            rig.append(
                RigImage(
                    regression.pixels_n2[: config.points],
                    regression.points_n3()[: config.points],
                    regression.camera,
                    odom_from_newest.inverse() @ image.odom_from_base @ image.base_from_camera,
                )
            )
        return self._localizer.solve_together(rig)


def _is_ambiguous(result: PoseEstimate | Rejection) -> bool:
    return isinstance(result, PoseEstimate) and result.ambiguous
