"""Window places: where the newest image of a window may be, and which of its images see that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.fusion.pose_belief import PoseBelief
from glace_ros.geometry.covariance import base_covariance, scaled_and_floored
from glace_ros.localization.acceptance import agreement
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.image_window import WindowImage
    from glace_ros.localization.image_window_config import WindowConfig
    from glace_ros.localization.localizer import Localizer

_LEAST_M, _LEAST_RAD = 0.02, 0.005
"""Standard deviations, below which no pose of one image is known to another one's odometry."""
_AGAIN_M, _AGAIN_RAD = 0.1, 0.05
"""Nearer to a pose at which an image was looked for already, the landmarks are the same."""


class Support(NamedTuple):
    """An image that sees a place.

    estimate: of its camera.
    belief: of the base at its exposure, by the estimate.
    agreement: of the map with the estimate.
    """

    image: WindowImage
    estimate: PoseEstimate
    belief: PoseBelief
    agreement: float

    @property
    def is_own(self) -> bool:
        """Whether the image has that pose by itself, rather than by what others say."""
        return any(each.result is self.estimate for each in self.image.hypotheses)


class Place(NamedTuple):
    """A place that the newest image may be of.

    map_from_base: of the newest image.
    supports: the images that see it; none where that was not looked at yet.
    """

    map_from_base: Pose
    supports: tuple[Support, ...] = ()

    @property
    def agreement(self) -> float:
        """Of the map with all images that see the place."""
        return sum(support.agreement for support in self.supports)

    def agreements(self, images: Sequence[WindowImage]) -> NDArray[np.float64]:
        """(images,) of the map with each of them; 0 for one that does not see the place."""
        by_image = {id(support.image): support.agreement for support in self.supports}
        return np.array([by_image.get(id(image), 0.0) for image in images])

    def is_seen_by(self, image: WindowImage) -> bool:
        """Whether that image is among those that see it."""
        return any(support.image is image for support in self.supports)


class WindowPlaces:
    """Finds places by the images' own poses, and holds all images against each.

    localizer: that the images' hypotheses are of.
    config: how many places, and what counts as support.
    """

    def __init__(self, localizer: Localizer, config: WindowConfig) -> None:
        self._localizer, self._config = localizer, config

    def of(self, images: list[WindowImage]) -> list[Place]:
        """Where the newest image may be by any of them, and which of them see it there."""
        odom_from_newest = images[-1].odom_from_base
        found: list[tuple[float, int, Pose]] = []
        for number, image in enumerate(images):
            newest_from_base = odom_from_newest.inverse() @ image.odom_from_base
            for each in image.hypotheses:
                if isinstance(each.result, PoseEstimate):
                    map_from_base = each.result.map_from_camera @ image.base_from_camera.inverse()
                    pose = map_from_base @ newest_from_base.inverse()
                    found.append((self._agreement(each.result, each.similarity), number, pose))
        groups: list[tuple[Pose, dict[int, float]]] = []
        for value, number, pose in sorted(found, key=lambda each: each[0], reverse=True):
            for first, values in groups:
                if self.are_same(first, pose):
                    values.setdefault(number, value)
                    break
            else:
                groups.append((pose, {number: value}))
        groups.sort(key=lambda group: sum(group[1].values()), reverse=True)
        return [self.with_supports(pose, images) for pose, _ in groups[: self._config.places]]

    def with_supports(self, map_from_base: Pose, images: list[WindowImage]) -> Place:
        """The place, and which images see it where odometry says that they do.

        map_from_base: of the newest image.
        """
        newest, noise = images[-1], self._config.odometry
        seen = self._seen(newest, map_from_base)
        if seen and not self.are_same(seen.belief.map_from_base, map_from_base):
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
                agrees = self.are_same(carried.map_from_base, map_from_base)
            else:
                expected = _floored(seen.belief)
                pose, covariance_66 = carried.map_from_base, _floored(carried).covariance_66
                agrees = expected.sigmas_to(pose, covariance_66, 6) <= self._config.gate_sigma
            if agrees:
                supports.append(support)
        return Place(map_from_base, tuple(supports))

    def _seen(self, image: WindowImage, map_from_base: Pose) -> Support | None:
        """What the image says of its pose there; None where it does not see that place."""
        map_from_camera = map_from_base @ image.base_from_camera
        there = [
            (self._agreement(each.result, each.similarity), each.result)
            for each in image.hypotheses
            if isinstance(each.result, PoseEstimate)
            and self.are_same(each.result.map_from_camera, map_from_camera)
        ]
        if there:
            value, estimate = max(there, key=lambda each: each[0])
        else:
            # it was tried in places that it is more similar to
            similarity = min(each.similarity for each in image.hypotheses)
            result = self._looked_for(image, map_from_camera)
            if isinstance(result, Rejection):
                return None
            value, estimate = self._agreement(result, similarity), result
        pose = estimate.map_from_camera @ image.base_from_camera.inverse()
        covariance_66 = base_covariance(estimate.covariance_66, estimate.map_from_camera, pose)
        return Support(
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
            self._config.verifying_landmarks,
        )  # fmt: skip
        image.tried.append((map_from_camera, result))
        return result

    def _agreement(self, estimate: PoseEstimate, similarity: float) -> float:
        """As of acceptance.py, in one number: inliers break ties of poses without landmarks."""
        _, by_landmarks, inliers = agreement(estimate, similarity, self._config.similarity_weight)
        return by_landmarks + 1e-3 * inliers

    def are_same(self, one: Pose, other: Pose) -> bool:
        """Whether two poses of one image are one hypothesis."""
        return (
            one.distance_m(other) < self._config.same_m
            and one.angle_rad(other) < self._config.same_rad
        )


def _floored(belief: PoseBelief) -> PoseBelief:
    covariance_66 = scaled_and_floored(belief.covariance_66, 1.0, _LEAST_M, _LEAST_RAD)
    return replace(belief, covariance_66=covariance_66)
