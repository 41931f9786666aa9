"""Whether more training makes a map any better, by the images held out of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from glace_ros.evaluation.calibration import is_gross_error
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.mapping.parallel import in_parallel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import Regression
    from glace_ros.maps.scene_map import SceneMap
    from glace_ros.recording.posed_images import PosedImage


@dataclass(frozen=True)
class TrainingGainConfig:
    """When more training counts as worth it."""

    least_images: int = 8
    """Of fewer, one more or less says nothing: the minutes decide then."""
    most_images: int = 60
    """Looked at, evenly spread: a look takes some 20 ms of each."""
    verified_gain: float = 0.05
    """Ratio of the images that more than before have to be verified in their place."""
    ratio_gain: float = 1.05
    """By which the head's inlier ratio has to grow where landmarks do not decide."""
    alike: float = 0.1
    """Ratio of images that were tried in several places, from which on rooms look alike: there
    the head has to tell them apart."""


class Look(NamedTuple):
    """What a half-trained map does with the held-out images.

    steps: that it was trained for.
    images: how many there are.
    verified: poses in the right place that landmarks verify, found without the head or from its
        points.
    inlier_ratio: mean over the images that need the head, of its points; 0 where the pose is wrong.
    alike: ratio of images that were tried in several places.
    """

    steps: int
    images: int
    verified: int
    inlier_ratio: float
    alike: float


class _HeldOut(NamedTuple):
    """An image as it was encoded once."""

    regression: Regression
    camera: Camera
    map_from_camera: Pose


class TrainingGain:
    """Remembers what the last look at a map in training gave.

    images: held out; read at the first look. Those without a pose are passed over.
    device: auto, cpu or cuda.
    """

    def __init__(
        self, images: Iterable[PosedImage], device: str, config: TrainingGainConfig | None = None
    ) -> None:
        self.config = config or TrainingGainConfig()
        self.looks: list[Look] = []
        self._images, self._device = images, device
        self._need_head: list[_HeldOut] | None = None
        self._found_without = 0

    def sentence(self) -> str:
        """What training waits for."""
        if not self.looks:
            return "until held-out images gain no more"
        look = self.looks[-1]
        return f"{look.verified} of {look.images} held out verified"

    def still_gains(self, scene_map: SceneMap) -> bool:
        """Whether the map finds more of the images than at the last look, or, where landmarks do
        not decide that, whether its head agrees better with them. The first look says yes, but
        where nothing is left to gain. So does each where no image has a pose.
        """
        look = self._look(scene_map)
        before = self.looks[-1] if self.looks else None
        self.looks.append(look)
        heads_matter = look.alike >= self.config.alike or scene_map.landmarks is None
        if not look.images:
            return True  # they say nothing: the minutes decide
        if look.verified == look.images and not heads_matter:
            return False
        if before is None:
            return True
        if look.verified - before.verified > self.config.verified_gain * look.images:
            return True
        return heads_matter and look.inlier_ratio > self.config.ratio_gain * before.inlier_ratio

    def _look(self, scene_map: SceneMap) -> Look:
        # what training improves: the search among all landmarks does without it
        config = LocalizerConfig(search=None)
        scene_map = scene_map.with_metadata(min_inlier_ratio=0.0)
        if self._need_head is None:
            self._need_head = self._without_head(Localizer(scene_map, device=self._device))
        localizer = Localizer(scene_map, config, self._device)
        seen = in_parallel(partial(_seen, localizer), self._need_head)
        images = self._found_without + len(seen)
        return Look(
            int(scene_map.metadata.training["steps"]), images,
            self._found_without + sum(each.verified for each in seen),
            sum(each.inlier_ratio for each in seen) / max(1, len(seen)),
            sum(each.places > 1 for each in seen) / max(1, images),
        )  # fmt: skip

    def _without_head(self, localizer: Localizer) -> list[_HeldOut]:
        """The images that are not found without a head; of the others, counts them."""
        need_head = []
        for image in self._images:
            if image.map_from_camera is None:
                continue
            # by keypoints alone: templates do not change what training gains
            regression = localizer.regress(image.image_rgb_hwc, image.camera, image.moved)._replace(
                grey_hw=None
            )
            found = localizer.found_without_head(regression, image.camera, time.perf_counter())
            if found and not is_gross_error(found.map_from_camera, image.map_from_camera):
                self._found_without += 1
            else:
                need_head.append(_HeldOut(regression, image.camera, image.map_from_camera))
        return need_head


class _Seen(NamedTuple):
    """What a half-trained map does with an image: as of Look."""

    verified: bool
    inlier_ratio: float
    places: int


def _seen(localizer: Localizer, image: _HeldOut) -> _Seen:
    encoded = image.regression
    regression = localizer.regressed(
        encoded.features, encoded.global_descriptor, encoded.camera
    ).seen_in(encoded)
    start = time.perf_counter()
    hypotheses = localizer.hypotheses(regression, image.camera, start)
    result = localizer.decide(hypotheses, start)
    if not isinstance(result, PoseEstimate) or is_gross_error(
        result.map_from_camera, image.map_from_camera
    ):
        return _Seen(verified=False, inlier_ratio=0.0, places=len(hypotheses))
    return _Seen(result.landmark_verified, result.inlier_ratio, len(hypotheses))
