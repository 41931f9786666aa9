"""Localizer: an image and its camera -> a pose in the map, or a rejection with its reason."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.device import choose_device
from glace_ros.errors import WeightsError
from glace_ros.features.global_encoder import VladEncoder
from glace_ros.features.image_encoder import encode_image
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.r2former_encoder import R2FormerEncoder, r2former_part
from glace_ros.localization.acceptance import (
    AcceptanceConfig,
    agreement,
    not_repeated,
    rival_share,
    too_few_inliers,
    too_uncertain,
)
from glace_ros.localization.landmark_refinement import LandmarkRefinementConfig, refine_pose
from glace_ros.localization.place_candidates import PlaceConfig, place_candidates
from glace_ros.localization.pose_covariance import camera_covariance
from glace_ros.localization.pose_estimate import PoseEstimate, Regression, Rejection
from glace_ros.localization.pose_solver import PoseSolution, PoseSolverConfig, solve_pose
from glace_ros.pose import Pose

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from glace_ros.camera import Camera
    from glace_ros.features.local_encoder import LocalFeatures
    from glace_ros.localization.place_candidates import PlaceCandidate
    from glace_ros.scene.scene_map import SceneMap


@dataclass(frozen=True)
class LocalizerConfig:
    """points: patches of an image that are regressed, best first. ransac_px: in the encoded image.
    acceptance: what is a rejection.

    places: how an image that looks like several is tried in each; None = its own code alone.
    refinement: by the map's landmarks; None = the pose of the coordinate head alone.
    """

    points: int = 1000
    ransac_px: float = 10.0
    max_iterations: int = 2000
    seed: int = 0
    acceptance: AcceptanceConfig = field(default_factory=AcceptanceConfig)
    places: PlaceConfig | None = field(default_factory=PlaceConfig)
    refinement: LandmarkRefinementConfig | None = field(default_factory=LandmarkRefinementConfig)


class Localizer:
    """Holds a map on a device. `localize` is for one thread at a time.

    Raises WeightsError where the local encoder's weights are not those that the map was made with.
    """

    def __init__(
        self, scene_map: SceneMap, config: LocalizerConfig | None = None, device: str = "auto"
    ) -> None:
        self.config = config or LocalizerConfig()
        self.device = choose_device(device)
        metadata = scene_map.metadata
        metadata.check_encoders()
        self._encoder = local_encoder(metadata.local_encoder, self.device)
        _check_channels(
            metadata.local_encoder, self._encoder.channels, metadata.head.local_channels
        )
        self.scene_map = scene_map.to(self.device)
        self._r2former: R2FormerEncoder | None = None
        if codes := r2former_part(metadata.global_encoder):
            self._r2former = R2FormerEncoder(codes, self.device)
            _check_channels(
                metadata.global_encoder, self._r2former.channels, metadata.head.global_channels
            )
        self._origin_3 = np.array(metadata.origin_m)

    def localize(
        self, image_rgb_hwc: NDArray[np.uint8], camera: Camera
    ) -> PoseEstimate | Rejection:
        """The pose of the camera at exposure, from this image alone.

        image_rgb_hwc: uint8 (height, width, 3) as the camera made it: distortion is removed here.
        Raises ValueError where image and camera differ in size.
        """
        start = time.perf_counter()
        return self.solve(self.regress(image_rgb_hwc, camera), camera, start)

    def solve(
        self, regression: Regression, camera: Camera, start: float
    ) -> PoseEstimate | Rejection:
        """The pose from what `regress` says of an image of this camera.

        start: perf_counter() from which the result's seconds count.
        """
        results = [
            (self._solve_here(attempt, camera, start), attempt, likeness)
            for attempt, likeness in self._attempts(regression)
        ]
        results.sort(key=lambda each: agreement(each[0], each[2]), reverse=True)
        best, attempt, likeness = results[0]
        if isinstance(best, PoseEstimate):
            others = [(other, like) for other, _, like in results[1:]]
            apart_m = (self.config.places or PlaceConfig()).apart_m
            rival = rival_share(best, likeness, others, apart_m)
            ambiguous = rival > self.scene_map.metadata.max_rival
            best = replace(best, rival=rival, ambiguous=ambiguous)
            if not best.sure and (reason := self._unrepeated(best, attempt)):
                best = Rejection(reason, best.inliers, best.points, best.seconds)
        return replace(best, seconds=time.perf_counter() - start)

    def _unrepeated(self, estimate: PoseEstimate, regression: Regression) -> str:
        """Why another seed of RANSAC speaks against an estimate; empty where it does not."""
        solver = replace(self._solver_config(), seed=self.config.seed + 1)
        again = solve_pose(regression.pixels_n2, regression.points_n3, regression.camera, solver)
        map_from_camera = None
        if again is not None:
            pose = self._refine(again, regression)[0].map_from_camera
            map_from_camera = Pose(pose.rotation_33, pose.translation_3 + self._origin_3)
        return not_repeated(estimate.map_from_camera, map_from_camera, self.config.acceptance)

    def _attempts(self, regression: Regression) -> list[tuple[Regression, float]]:
        """What each head says of the image; where it may be of several places, what the head that
        was trained in each of them says, and how like that place is.
        """
        encoder, config = self.scene_map.global_encoder, self.config.places
        places: list[PlaceCandidate] = []
        if config is not None and encoder is not None and regression.code_G is not None:
            features, landmarks = regression.features, self.scene_map.landmarks
            places = place_candidates(features, regression.code_G, encoder, landmarks, config)
        if not places:
            return [(of_head, 0.0) for of_head in regression.by_head()]
        return [
            (
                self.regressed(
                    features, place.code_G, regression.camera,
                    self.scene_map.head_of(place.position_3),
                ),
                place.likeness,
            )
            for place in places
        ]  # fmt: skip

    def _solve_here(
        self, regression: Regression, camera: Camera, start: float
    ) -> PoseEstimate | Rejection:
        pixels_n2, points_n3, working_camera = (
            regression.pixels_n2, regression.points_n3, regression.camera
        )  # fmt: skip
        coarse = solve_pose(pixels_n2, points_n3, working_camera, self._solver_config())
        count = len(pixels_n2)
        if coarse is None:
            reason = f"no pose fits any of {count} points"
            return Rejection(reason, 0, count, time.perf_counter() - start)
        solution, landmarks, covariance_66 = self._refine(coarse, regression)
        if covariance_66 is not None:
            metadata = self.scene_map.metadata
            covariance_66 *= (
                metadata.landmark_covariance_scale if landmarks else metadata.covariance_scale
            )
        reason = self._doubt(coarse.inliers, count, landmarks, covariance_66)
        if reason or covariance_66 is None:
            return Rejection(reason, coarse.inliers, count, time.perf_counter() - start)
        pose = solution.map_from_camera
        scale_2 = np.array(
            [camera.width_px / working_camera.width_px, camera.height_px / working_camera.height_px]
        )
        return PoseEstimate(
            map_from_camera=Pose(pose.rotation_33, pose.translation_3 + self._origin_3),
            covariance_66=covariance_66,
            inliers=coarse.inliers,
            points=count,
            reprojection_px=float(np.median(np.linalg.norm(solution.residuals_m2, axis=1))),
            seconds=time.perf_counter() - start,
            pixels_m2=(pixels_n2[coarse.inlier_n] + 0.5) * scale_2 - 0.5,
            points_m3=points_n3[coarse.inlier_n] + self._origin_3,
            landmarks=landmarks,
            sure=self._sure(landmarks),
        )

    def regress(self, image_rgb_hwc: NDArray[np.uint8], camera: Camera) -> Regression:
        """What the map says of an image. Raises ValueError where image and camera differ in
        size.
        """
        features, working_camera = encode_image(
            self._encoder, image_rgb_hwc, camera,
            self.scene_map.metadata.short_side_px, self.config.points,
        )  # fmt: skip
        encoder, code_G = self.scene_map.global_encoder, None
        if self._r2former:
            code_G = self._r2former.encode(camera.undistort(image_rgb_hwc))
        if isinstance(encoder, VladEncoder):
            code_G = encoder.encode(features)
        elif encoder and code_G is not None:
            code_G = encoder.nearest(code_G)
        return self.regressed(features, code_G, working_camera)

    def regressed(
        self,
        features: LocalFeatures,
        code_G: torch.Tensor | None,
        camera: Camera,
        head: int | None = None,
    ) -> Regression:
        """What the map, or one head of it, says of these patches of a pinhole's image with this
        code.
        """
        by_head = [
            points_n3.cpu().numpy().astype(np.float64)
            for points_n3 in self.scene_map.points(features.descriptors_nC, code_G, head)
        ]
        return Regression(features, by_head[0], camera, code_G, tuple(by_head[1:]))

    def _refine(
        self, coarse: PoseSolution, regression: Regression
    ) -> tuple[PoseSolution, int, NDArray[np.float64] | None]:
        """The solution to publish, how many landmarks it is made of, and its covariance."""
        landmarks, config = self.scene_map.landmarks, self.config.refinement
        solution, agreed, refine_px = coarse, 0, self._refine_px
        points_m3 = regression.points_n3[coarse.inlier_n]
        if landmarks and config:
            refined = refine_pose(
                coarse.map_from_camera, regression.features, landmarks, regression.camera, config
            )
            if refined:
                solution, points_m3 = refined.solution, refined.points_m3
                agreed, refine_px = solution.inliers, config.refine_px
        covariance_66 = camera_covariance(
            points_m3, solution.residuals_m2, regression.camera, solution.map_from_camera, refine_px
        )
        return solution, agreed, covariance_66

    @property
    def _refine_px(self) -> float:
        return PoseSolverConfig().refine_px

    def _solver_config(self) -> PoseSolverConfig:
        return PoseSolverConfig(
            ransac_px=self.config.ransac_px,
            max_iterations=self.config.max_iterations,
            seed=self.config.seed,
        )

    def _sure(self, landmarks: int) -> bool:
        refinement = self.config.refinement
        return refinement is not None and landmarks >= refinement.sure_inliers

    def _doubt(
        self, inliers: int, count: int, landmarks: int, covariance_66: NDArray[np.float64] | None
    ) -> str:
        """Why the best pose is not to be trusted; empty where nothing speaks against it."""
        acceptance, ratio = self.config.acceptance, self.scene_map.metadata.min_inlier_ratio
        reason = ""
        if not self._sure(landmarks):
            reason = too_few_inliers(inliers, count, ratio, acceptance)
        return reason or too_uncertain(covariance_66, inliers, acceptance)


def _check_channels(name: str, given: int, taken: int) -> None:
    if given != taken:
        raise WeightsError(
            f"the map takes {taken} numbers where its encoder '{name}' gives {given}: name the "
            "encoder that it was trained with"
        )
