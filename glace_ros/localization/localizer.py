"""Localizer: an image and its camera -> a pose in the map, or a rejection."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from glace_ros.device import choose_device, has_bfloat16
from glace_ros.errors import WeightsError
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.features.global_encoder import VladEncoder
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.preprocessing import encode_image
from glace_ros.features.r2former_encoder import R2FormerEncoder
from glace_ros.geometry.places import APART_M
from glace_ros.geometry.rolling_shutter import Shutter, unknown
from glace_ros.localization.acceptance import agreement, second_best_ratio
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.place_candidates import certain_place, place_candidates
from glace_ros.localization.pose_estimate import HeadPoints, Hypothesis, PoseEstimate, Regression
from glace_ros.localization.pose_finder import PoseFinder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.geometry.rolling_shutter import MotionSource
    from glace_ros.localization.generalized_solver import RigImage
    from glace_ros.localization.place_candidates import PlaceCandidate
    from glace_ros.maps.scene_map import SceneMap
    from glace_ros.rejection import Rejection


class _Attempt(NamedTuple):
    """A place that an image is tried in.

    regression: what the map predicts of the image there.
    similarity: of the image to the place.
    suffices: where the pose is landmark-verified, no other place is tried.
    """

    regression: Regression
    similarity: float = 0.0
    suffices: bool = False


class Localizer:
    """Holds a map on a device. `localize` is for one thread at a time.

    scene_map: copied to the device.
    config: None = all defaults.
    device: auto, cpu or cuda.
    Raises WeightsError where an encoder's weights are not those that the map was made with.
    """

    def __init__(
        self, scene_map: SceneMap, config: LocalizerConfig | None = None, device: str = "auto"
    ) -> None:
        self.config = config or LocalizerConfig()
        self.device = choose_device(device)
        metadata = scene_map.metadata
        metadata.check_encoders()
        # without landmarks to make it exact, a pose is as good as the head's points
        self._half = scene_map.landmarks is not None and has_bfloat16(self.device)
        self._encoder = local_encoder(metadata.local_encoder, self.device, half=self._half)
        _check_channels(
            metadata.local_encoder, self._encoder.channels, metadata.head.local_channels
        )
        self.scene_map = scene_map.to(self.device)
        self._r2former: R2FormerEncoder | None = None
        if network := GlobalEncoderName.parse(metadata.global_encoder).r2former:
            self._r2former = R2FormerEncoder(network, self.device)
            _check_channels(
                metadata.global_encoder, self._r2former.channels, metadata.head.global_channels
            )
        self._finder = PoseFinder(self.scene_map, self.config)

    def warm_up(self, camera: Camera) -> None:
        """Makes ready what the first image would have to wait for: the kernels of all sizes that
        most images need.

        camera: of the images to come.
        """
        blank_hwc = np.zeros((camera.height_px, camera.width_px, 3), np.uint8)
        regression = self.regress(blank_hwc, camera)
        self.found_without_head(regression, camera, time.perf_counter())
        regression.points_n3(self.config.first_points)

    def localize(
        self, image_rgb_hwc: NDArray[np.uint8], camera: Camera, motion: MotionSource = unknown
    ) -> PoseEstimate | Rejection:
        """The pose of the camera at exposure, from this image alone.

        image_rgb_hwc: uint8 (height, width, 3) as the camera made it: distortion is removed
            here.
        camera: that made the image.
        motion: of the camera at exposure, asked where the map knows of a rolling shutter.
        Raises ValueError where image and camera differ in size.
        """
        start = time.perf_counter()
        return self.solve(self.regress(image_rgb_hwc, camera, motion), camera, start)

    def solve(
        self, regression: Regression, camera: Camera, start: float
    ) -> PoseEstimate | Rejection:
        """The pose from what `regress` says of an image.

        regression: of the image.
        camera: that made the image, before it was encoded.
        start: perf_counter() from which the result's seconds count.
        """
        return self.decide(self.hypotheses(regression, camera, start), start)

    def hypotheses(self, regression: Regression, camera: Camera, start: float) -> list[Hypothesis]:
        """What becomes of the image in each place that it is tried in. Arguments as of `solve`."""
        first = self._finder.search_first(regression, camera, start)
        if first.estimate and first.unmistakable:
            return [Hypothesis(first.estimate, regression)]
        results: list[Hypothesis] = []
        for attempt in self._attempts(regression):
            result = self._finder.find(
                attempt.regression, camera, start,
                by_landmarks=first.estimate is not None or not first.exhausted,
            )  # fmt: skip
            results.append(Hypothesis(result, attempt.regression, attempt.similarity))
            if attempt.suffices and isinstance(result, PoseEstimate) and result.landmark_verified:
                break
        best, searched = _best(results), None
        if not any(_is_verified(each.result) for each in results):
            searched = (
                first.estimate
                if first.exhausted
                else self._finder.search(regression, camera, start)
            )
            if searched:
                best = Hypothesis(searched, regression)
                results.append(best)
        if isinstance(best.result, PoseEstimate) and (
            searched or self._finder.has_twin(best.result)
        ):
            beside = self._finder.search(best.regression, camera, start, best.result)
            if beside:
                results.append(best._replace(result=beside))
        return results

    def found_without_head(
        self, regression: Regression, camera: Camera, start: float
    ) -> PoseEstimate | None:
        """The pose by landmarks that look like others nowhere else; None where it takes a head to
        find one. Arguments as of `solve`.
        """
        first = self._finder.search_first(regression, camera, start)
        return first.estimate if first.unmistakable else None

    def decide(self, hypotheses: list[Hypothesis], start: float) -> PoseEstimate | Rejection:
        """The pose of an image, by what it gave in each place.

        hypotheses: as the method of that name gives them; one at least.
        start: as of `solve`.
        """
        chosen = _best(hypotheses)
        best = chosen.result
        if isinstance(best, PoseEstimate):
            others = [(each.result, each.similarity) for each in hypotheses if each is not chosen]
            apart_m = self.config.places.apart_m if self.config.places else APART_M
            second_best = second_best_ratio(best, chosen.similarity, others, apart_m)
            ambiguous = second_best > self.scene_map.metadata.max_rival or (
                not second_best and self._finder.has_twin(best, looked_for=True)
            )
            best = replace(best, second_best_ratio=second_best, ambiguous=ambiguous)
            if not best.landmark_verified:
                best = self._finder.unrepeated(best, chosen.regression) or best
        return replace(best, seconds=time.perf_counter() - start)

    def verify(
        self, map_from_camera: Pose, regression: Regression, camera: Camera, landmarks: int
    ) -> PoseEstimate | Rejection:
        """The pose of an image where others say that it was taken.

        map_from_camera: as they say.
        regression, camera: as of `solve`.
        landmarks: so many in view verify it.
        """
        return self._finder.verify(map_from_camera, regression, camera, landmarks)

    def has_twin(self, estimate: PoseEstimate, *, looked_for: bool = False) -> bool:
        """Whether many of the landmarks that made a pose exact look like others elsewhere.

        looked_for: nearly all of them.
        """
        return self._finder.has_twin(estimate, looked_for=looked_for)

    def solve_together(self, images: Sequence[RigImage]) -> Pose | None:
        """map_from_rig that the points of images agree on whose motion is known; None where there
        is none.

        images: of one rig, points from the map's origin.
        """
        return self._finder.solve_together(images)

    def _attempts(self, regression: Regression) -> list[_Attempt]:
        """What each head predicts of the image; where it may be of several places, what the head
        that was trained in each of them predicts; that of a place beyond doubt first.
        """
        encoder, config = self.scene_map.global_encoder, self.config.places
        heads = [_Attempt(of_head) for of_head in regression.by_head()]
        if config is None or encoder is None:
            return heads
        features, descriptor_G = regression.features, regression.global_descriptor()
        if descriptor_G is None:
            return heads
        if len(heads) > 1 and (place_3 := certain_place(descriptor_G, encoder, config)) is not None:
            first = heads.pop(self.scene_map.head_of(place_3))
            return [first._replace(suffices=True), *heads]
        places = place_candidates(features, descriptor_G, encoder, self.scene_map.landmarks, config)
        return [self._attempt_at(place, regression) for place in places] or heads

    def _attempt_at(self, place: PlaceCandidate, regression: Regression) -> _Attempt:
        head = self.scene_map.head_of(place.position_3)
        there = self.regressed(
            regression.features, lambda: place.descriptor_G, regression.camera, head
        )
        return _Attempt(there.seen_in(regression), place.similarity)

    def regress(
        self, image_rgb_hwc: NDArray[np.uint8], camera: Camera, motion: MotionSource = unknown
    ) -> Regression:
        """What the map predicts of an image. Arguments as of `localize`.

        Raises ValueError where image and camera differ in size.
        """
        features, working_camera, grey_hw = encode_image(
            self._encoder, image_rgb_hwc, camera,
            self.scene_map.metadata.short_side_px, self.config.points,
        )  # fmt: skip

        @functools.cache
        def global_descriptor() -> torch.Tensor | None:
            encoder, descriptor_G = self.scene_map.global_encoder, None
            if self._r2former:
                descriptor_G = self._r2former.encode(camera.undistort(image_rgb_hwc))
            if isinstance(encoder, VladEncoder):
                return encoder.encode(features)
            if encoder and descriptor_G is not None:
                return encoder.nearest(descriptor_G)
            return descriptor_G

        metadata = self.scene_map.metadata
        regression = self.regressed(
            features, global_descriptor, metadata.true_pinhole(working_camera)
        )
        readout_s = metadata.readout_of(working_camera)

        @functools.cache
        def shutter() -> Shutter | None:
            return Shutter.of(motion(), readout_s) if readout_s else None

        return regression._replace(grey_hw=grey_hw, shutter=shutter)

    def regressed(
        self,
        features: LocalFeatures,
        global_descriptor: Callable[[], torch.Tensor | None],
        camera: Camera,
        head: int | None = None,
    ) -> Regression:
        """What the map, or one head of it, predicts of these local features.

        features: of a pinhole's image.
        global_descriptor: of the image; None where the map has none.
        camera: that pinhole.
        head: None = all of them.
        """

        def predict(index: int, which: slice) -> NDArray[np.float64]:
            # not below: what is asked for the first time would be worked out in bfloat16
            descriptors_nC, descriptor_G = features.descriptors_nC[which], global_descriptor()
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._half):
                points_n3 = self.scene_map.points(descriptors_nC, descriptor_G, index)[0]
            return np.asarray(points_n3.cpu().numpy().astype(np.float64))

        heads = range(len(self.scene_map.heads)) if head is None else [head]
        return Regression(features, HeadPoints(predict, heads), camera, global_descriptor)


def _best(hypotheses: list[Hypothesis]) -> Hypothesis:
    """What landmarks verify, and of that what more of the map agrees with than with any other.

    The search knows no similarity of its place: by agreement alone a pose that it verified loses to
    one beside it that nothing verifies.
    """
    if len(hypotheses) == 1:  # nothing to compare, which takes time
        return hypotheses[0]
    return max(
        hypotheses,
        key=lambda each: (_is_verified(each.result), agreement(each.result, each.similarity)),
    )


def _is_verified(result: PoseEstimate | Rejection) -> bool:
    return isinstance(result, PoseEstimate) and result.landmark_verified


def _check_channels(name: str, given: int, taken: int) -> None:
    if given != taken:
        raise WeightsError(
            f"the map takes {taken} numbers where its encoder '{name}' gives {given}: name the "
            "encoder that it was trained with"
        )
