"""Window localizer: the last images and the odometry between them -> the pose of the newest one.

Each image comes with what became of it in every place that it was tried in. Each of these places is
carried to the other images by odometry, and those that see it there support it. A place counts
where most of the images support it, the newest among them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.fusion.odometry_fusion_config import OdometryNoise
from glace_ros.fusion.pose_belief import PoseBelief
from glace_ros.geometry.covariance import base_covariance, scaled_and_floored
from glace_ros.localization.acceptance import agreement
from glace_ros.localization.generalized_solver import RigImage
from glace_ros.localization.image_window import ImageWindow
from glace_ros.localization.image_window_config import ImageWindowConfig
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.rejection import Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.image_window import ImageMotion, WindowImage
    from glace_ros.localization.localizer import Localizer
    from glace_ros.localization.pose_estimate import Hypothesis

_LEAST_M, _LEAST_RAD = 0.02, 0.005
"""Standard deviations, below which no pose of one image is known to another one's odometry."""

_AGAIN_M, _AGAIN_RAD = 0.1, 0.05
"""Nearer to a pose at which an image was looked for already, the landmarks are the same."""


@dataclass(frozen=True)
class WindowConfig:
    """When several images together give a pose."""

    window: ImageWindowConfig = field(default_factory=ImageWindowConfig)
    """Which images."""
    places: int = 4
    """That the images together are tried in, those with most agreement first."""
    verifying_landmarks: int = 30
    """So many show that an image sees a place where odometry says that it does; alone, an image
    needs more (`LandmarkRefinementConfig.verifying_inliers`)."""
    landmarks: int = 100
    """So many of all images together, where none of them has a pose there by itself."""
    points: int = 300
    """Of each image, best first, from which a pose is solved where no image has one by itself."""
    gate_sigma: float = 4.0
    """By so much an image may differ from what the newest one and odometry say."""
    same_m: float = 0.5
    """Nearer poses of the newest image, turned by less than same_rad, are one hypothesis."""
    same_rad: float = 0.35
    """As same_m."""
    most_second_best: float = 0.8
    """Agreement of the second-best hypothesis, as a ratio of the best one's, from which on the
    images do not tell which it is; less where the map asks for it (`max_rival`)."""
    odometry: OdometryNoise = field(default_factory=OdometryNoise)
    """What the way between two images adds to the uncertainty."""


class _Support(NamedTuple):
    """An image that sees a place.

    estimate: of its camera.
    belief: of the base at its exposure, by the estimate.
    agreement: of the map with the estimate.
    """

    image: WindowImage
    estimate: PoseEstimate
    belief: PoseBelief
    agreement: float


class _Place(NamedTuple):
    """A place that the newest image may be of.

    map_from_base: of the newest image.
    supports: the images that see it; none where that was not looked at yet.
    """

    map_from_base: Pose
    supports: tuple[_Support, ...] = ()

    @property
    def agreement(self) -> float:
        """Of the map with all images that see the place."""
        return sum(support.agreement for support in self.supports)

    def is_seen_by(self, image: WindowImage) -> bool:
        """Whether that image is among those that see it."""
        return any(support.image is image for support in self.supports)


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
        learned = localizer.scene_map.metadata.max_rival
        self._most_second_best = min(self.config.most_second_best, learned)

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

    def look(self, image_rgb_hwc: NDArray[np.uint8], camera: Camera) -> Glance:
        """An image by itself. Arguments as of `localize`."""
        start = time.perf_counter()
        regression = self._localizer.regress(image_rgb_hwc, camera)
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
        return replace(together, seconds=alone.seconds + time.perf_counter() - start)

    def _with_rivals(self, glance: Glance) -> PoseEstimate | Rejection:
        """What an image says alone, and where else it may be of."""
        alone = glance.alone
        if not isinstance(alone, PoseEstimate) or not alone.ambiguous:
            return alone
        poses = [
            each.result.map_from_camera
            for each in glance.hypotheses
            if isinstance(each.result, PoseEstimate)
        ]
        apart = [each for each in poses if not self._are_same(each, alone.map_from_camera)]
        return replace(alone, rivals=tuple(apart))

    def _together(
        self, alone: PoseEstimate | Rejection, images: list[WindowImage]
    ) -> PoseEstimate | Rejection:
        """The newest image's pose by all of them.

        alone: what it says by itself.
        """
        places = self._places(images)
        if not any(self._is_carried(place, images) for place in places):
            found = self._found_together(images)
            if found and not any(self._are_same(found, each.map_from_base) for each in places):
                places.append(self._with_supports(found, images))
        places.sort(key=lambda place: place.agreement, reverse=True)
        for place in places[:1]:
            if self._is_carried(place, images):
                return self._estimate(place, places, images[-1])
        return self._unless_contradicted(alone, places, images[-1])

    def _places(self, images: list[WindowImage]) -> list[_Place]:
        """Where the newest image may be by any of them, and which of them see it there."""
        odom_from_newest = images[-1].odom_from_base
        found: list[tuple[float, int, Pose]] = []
        for number, image in enumerate(images):
            newest_from_base = odom_from_newest.inverse() @ image.odom_from_base
            for each in image.hypotheses:
                if isinstance(each.result, PoseEstimate):
                    map_from_base = each.result.map_from_camera @ image.base_from_camera.inverse()
                    pose = map_from_base @ newest_from_base.inverse()
                    found.append((_agreement(each.result, each.similarity), number, pose))
        groups: list[tuple[Pose, dict[int, float]]] = []
        for value, number, pose in sorted(found, key=lambda each: each[0], reverse=True):
            for first, values in groups:
                if self._are_same(first, pose):
                    values.setdefault(number, value)
                    break
            else:
                groups.append((pose, {number: value}))
        groups.sort(key=lambda group: sum(group[1].values()), reverse=True)
        return [self._with_supports(pose, images) for pose, _ in groups[: self.config.places]]

    def _with_supports(self, map_from_base: Pose, images: list[WindowImage]) -> _Place:
        """The place, and which images see it where odometry says that they do.

        map_from_base: of the newest image.
        """
        newest, noise = images[-1], self.config.odometry
        seen = self._seen(newest, map_from_base)
        if seen and not self._are_same(seen.belief.map_from_base, map_from_base):
            seen = None
        supports = [seen] if seen else []
        if seen:
            map_from_base = seen.belief.map_from_base
        for image in images[:-1]:
            newest_from_base = newest.odom_from_base.inverse() @ image.odom_from_base
            support = self._seen(image, map_from_base @ newest_from_base)
            if support is None:
                continue
            carried = support.belief.carried_to(newest.odom_from_base, noise)
            if seen is None:
                agrees = self._are_same(carried.map_from_base, map_from_base)
            else:
                expected = _floored(seen.belief)
                pose, covariance_66 = carried.map_from_base, _floored(carried).covariance_66
                agrees = expected.sigmas_to(pose, covariance_66, 6) <= self.config.gate_sigma
            if agrees:
                supports.append(support)
        return _Place(map_from_base, tuple(supports))

    def _seen(self, image: WindowImage, map_from_base: Pose) -> _Support | None:
        """What the image says of its pose there; None where it does not see that place."""
        map_from_camera = map_from_base @ image.base_from_camera
        there = [
            (_agreement(each.result, each.similarity), each.result)
            for each in image.hypotheses
            if isinstance(each.result, PoseEstimate)
            and self._are_same(each.result.map_from_camera, map_from_camera)
        ]
        if there:
            value, estimate = max(there, key=lambda each: each[0])
        else:
            # it was tried in places that it is more similar to
            similarity = min(each.similarity for each in image.hypotheses)
            result = self._looked_for(image, map_from_camera)
            if isinstance(result, Rejection):
                return None
            value, estimate = _agreement(result, similarity), result
        pose = estimate.map_from_camera @ image.base_from_camera.inverse()
        covariance_66 = base_covariance(estimate.covariance_66, estimate.map_from_camera, pose)
        return _Support(
            image, estimate, PoseBelief(pose, covariance_66, image.odom_from_base), value
        )

    def _looked_for(self, image: WindowImage, map_from_camera: Pose) -> PoseEstimate | Rejection:
        """What the image says of a pose that none of its hypotheses has; worked out once."""
        for pose, result in image.tried:
            near = pose.distance_m(map_from_camera) < _AGAIN_M
            if near and pose.angle_rad(map_from_camera) < _AGAIN_RAD:
                return result
        result = self._localizer.verify(
            map_from_camera, image.hypotheses[0].regression, image.pinhole,
            self.config.verifying_landmarks,
        )  # fmt: skip
        image.tried.append((map_from_camera, result))
        return result

    def _is_carried(self, place: _Place, images: list[WindowImage]) -> bool:
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
        own = [
            support.estimate
            for support in place.supports
            if any(each.result is support.estimate for each in support.image.hypotheses)
        ]
        # two poses that were found apart from each other agree: as good as another seed of RANSAC
        found = len(own) > 1 or any(estimate.landmark_verified for estimate in own)
        landmarks = sum(support.estimate.landmarks for support in place.supports)
        return found or landmarks >= self.config.landmarks

    def _estimate(self, best: _Place, places: list[_Place], newest: WindowImage) -> PoseEstimate:
        """The newest image's pose, by that of all that see the best place which says it surest.

        Images of one place err together, by the same landmarks and the same mapping poses, and
        nobody knows how much. The best covariance intersection with such (Julier and Uhlmann 1997)
        is that of the surest one; so windows tell places, and are no surer than an image.
        """
        carried = [
            each.belief.carried_to(newest.odom_from_base, self.config.odometry)
            for each in best.supports
        ]
        surest = min(carried, key=lambda each: float(np.linalg.det(each.covariance_66)))
        map_from_camera = surest.map_from_base @ newest.base_from_camera
        second_best, rivals = self._rivals(best, places)
        return replace(
            best.supports[0].estimate,
            map_from_camera=map_from_camera,
            covariance_66=base_covariance(
                surest.covariance_66, surest.map_from_base, map_from_camera
            ),
            second_best_ratio=second_best,
            ambiguous=second_best > self._most_second_best,
            images=len(best.supports),
            rivals=tuple(each.map_from_base @ newest.base_from_camera for each in rivals),
        )

    def _rivals(self, best: _Place, places: list[_Place]) -> tuple[float, list[_Place]]:
        """Agreement of the second-best place as a ratio of this one's, and those that it may as
        well be.
        """
        others = [
            each
            for each in places
            if each is not best and not self._are_same(each.map_from_base, best.map_from_base)
        ]
        ratios = [each.agreement / best.agreement for each in others]
        near = [
            each
            for each, ratio in zip(others, ratios, strict=True)
            if ratio > self._most_second_best
        ]
        return max(ratios, default=0.0), near

    def _unless_contradicted(
        self, alone: PoseEstimate | Rejection, places: list[_Place], newest: WindowImage
    ) -> PoseEstimate | Rejection:
        """What the newest image says by itself; ambiguous where the others say otherwise."""
        if not isinstance(alone, PoseEstimate):
            return alone
        map_from_base = alone.map_from_camera @ newest.base_from_camera.inverse()
        for place in places:
            if self._are_same(place.map_from_base, map_from_base) and place.agreement:
                second_best, rivals = self._rivals(place, places)
                ratio = max(alone.second_best_ratio, second_best)
                return replace(
                    alone,
                    second_best_ratio=ratio,
                    ambiguous=alone.ambiguous or ratio > self._most_second_best,
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

    def _are_same(self, one: Pose, other: Pose) -> bool:
        return (
            one.distance_m(other) < self.config.same_m
            and one.angle_rad(other) < self.config.same_rad
        )


def _agreement(estimate: PoseEstimate, similarity: float) -> float:
    """As of acceptance.py, in one number: inliers break a tie between poses without landmarks."""
    _, by_landmarks, inliers = agreement(estimate, similarity)
    return by_landmarks + 1e-3 * inliers


def _floored(belief: PoseBelief) -> PoseBelief:
    covariance_66 = scaled_and_floored(belief.covariance_66, 1.0, _LEAST_M, _LEAST_RAD)
    return replace(belief, covariance_66=covariance_66)
