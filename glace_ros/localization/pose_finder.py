"""Pose finder: what one head predicts of an image -> the pose of its camera, or a rejection."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.covariance import CovarianceModel
from glace_ros.geometry.pose import Pose
from glace_ros.localization.acceptance import not_repeated, too_few_inliers, too_uncertain
from glace_ros.localization.generalized_solver import solve_together
from glace_ros.localization.landmark_refinement import refine_pose, refinement_solver
from glace_ros.localization.landmark_search import LandmarkTwins, elsewhere, matched_landmarks
from glace_ros.localization.landmark_visibility import seen_ratio
from glace_ros.localization.pose_covariance import camera_covariance, half_sample_covariance
from glace_ros.localization.pose_estimate import PoseEstimate, all_seen
from glace_ros.localization.pose_solver import PoseSolution, PoseSolverConfig, seen_from, solve_pose
from glace_ros.localization.template_refinement import align_pose
from glace_ros.rejection import Rejection, RejectionCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.localization.acceptance import AcceptanceConfig
    from glace_ros.localization.generalized_solver import RigImage
    from glace_ros.localization.landmark_refinement import RefinedPose
    from glace_ros.localization.localizer_config import LandmarkRefinementConfig, LocalizerConfig
    from glace_ros.localization.pose_estimate import Regression
    from glace_ros.maps.scene_map import SceneMap


class FirstSearch(NamedTuple):
    """What landmarks say of an image before any head is asked.

    estimate: that they verify; None: there is none.
    unmistakable: few of its landmarks look like others elsewhere.
    exhausted: all of the image's features were looked for, not the best alone.
    """

    estimate: PoseEstimate | None = None
    unmistakable: bool = False
    exhausted: bool = False


class PoseFinder:
    """Solves poses of a map's points, makes them exact by its landmarks, and doubts them.

    scene_map: on the device of the regressions.
    config: of the localizer.
    """

    def __init__(self, scene_map: SceneMap, config: LocalizerConfig) -> None:
        self._scene_map, self._config = scene_map, config
        self._origin_3 = np.array(scene_map.metadata.origin_m)
        self._twins = None
        if scene_map.landmarks and config.search:
            self._twins = LandmarkTwins(scene_map.landmarks, config.search)

    def find(
        self, regression: Regression, camera: Camera, start: float, *, by_landmarks: bool = True
    ) -> PoseEstimate | Rejection:
        """The pose by the first head of what the map predicts.

        regression: of the encoded image.
        camera: of the image as it was given.
        start: perf_counter() from which the result's seconds count.
        by_landmarks: whether landmarks may verify a pose that few of the head's points agree with;
            where all features were looked for among them in vain, that is not tried.
        """
        solver, pixels_n2 = self._solver_config(), regression.pixels_n2
        if by_landmarks and self._scene_map.landmarks and self._config.refinement:
            best = self._config.first_points
            seen = pixels_n2[:best], regression.points_n3(best)
            coarse = solve_pose(*seen, regression.camera, solver)
            if coarse is not None:
                found = self._judged(coarse, *seen, regression, camera, start, self._config)
                if isinstance(found, PoseEstimate) and found.landmark_verified:
                    return found
        points_n3 = regression.points_n3()
        coarse = solve_pose(pixels_n2, points_n3, regression.camera, solver)
        if coarse is None:
            seconds = time.perf_counter() - start
            return Rejection(RejectionCode.NO_POSE, points=len(pixels_n2), seconds=seconds)
        if not by_landmarks:
            rejection = self._too_few(coarse.inliers, len(pixels_n2), self._config.acceptance)
            if rejection is not None:
                return replace(rejection, seconds=time.perf_counter() - start)
        return self._judged(coarse, pixels_n2, points_n3, regression, camera, start, self._config)

    def search_first(self, regression: Regression, camera: Camera, start: float) -> FirstSearch:
        """The pose by the landmarks that the image's best features look most like, before any head
        is asked. Arguments as of `find`.
        """
        config, refinement = self._config.search, self._config.refinement
        landmarks = self._scene_map.landmarks
        if landmarks is None or config is None or refinement is None or self._twins is None:
            return FirstSearch()
        if len(landmarks) > config.most_searched_first:
            return FirstSearch()
        matched = matched_landmarks(
            regression.features.head(config.first_features), landmarks, config
        )
        solver = replace(self._solver_config(), ransac_px=config.ransac_px, min_iterations=50)
        coarse = solve_pose(*matched, regression.camera, solver)
        if coarse is None or coarse.inliers < config.first_matches:
            return FirstSearch()
        nearest = replace(
            refinement, radii_px=refinement.radii_px[-1:], patches=refinement.patches[-1:],
            begins_near=True,
        )  # fmt: skip
        verified: list[PoseEstimate] = []
        for each in (nearest, refinement):
            found = self._judged(
                coarse, *matched, regression, camera, start, replace(self._config, refinement=each)
            )
            if isinstance(found, PoseEstimate) and found.landmark_verified:
                verified.append(found)
                if found.landmarks >= config.first_landmarks:
                    break
        best = min(
            verified, key=lambda each: float(np.trace(each.covariance_66[:3, :3])), default=None
        )
        exhausted = best is None
        if best is None:
            best = self.search(regression, camera, start)  # blurred: all features count
        return FirstSearch(
            best, exhausted=exhausted,
            unmistakable=best is not None and not self._has_twin(best, config.first_twins),
        )  # fmt: skip

    def search(
        self,
        regression: Regression,
        camera: Camera,
        start: float,
        apart_from: PoseEstimate | None = None,
    ) -> PoseEstimate | None:
        """The pose by the landmarks that the image shows, wherever they are; None where they do not
        verify it. Arguments as of `find`.

        apart_from: a pose that landmarks verify; what is looked for is in another place.
        """
        config, refinement = self._config.search, self._config.refinement
        landmarks = self._scene_map.landmarks
        if landmarks is None or config is None or refinement is None:
            return None
        solver = replace(self._solver_config(), ransac_px=config.ransac_px)
        judging = replace(
            self._config,
            refinement=replace(
                refinement, most_oblique_deg=config.most_oblique_deg,
                verifying_inliers=config.verifying_landmarks,
                # of a blurred image, which is what is mostly looked for here, the best features
                # are too few to begin with
                patches=(self._config.points,) * len(refinement.patches),
            ),
            acceptance=replace(self._config.acceptance, max_sigma_m=config.max_sigma_m),
        )  # fmt: skip
        elsewhere_l = None
        if apart_from is not None and apart_from.landmark_index_m is not None:
            elsewhere_l = elsewhere(landmarks, apart_from.landmark_index_m, config.apart_m)
        matched = matched_landmarks(regression.features, landmarks, config, elsewhere_l)
        coarse = solve_pose(*matched, regression.camera, solver)
        if coarse is None:
            return None
        if len(np.unique(matched[1][coarse.inlier_n], axis=0)) < config.verifying_matches:
            return None
        found = self._judged(coarse, *matched, regression, camera, start, judging)
        return found if isinstance(found, PoseEstimate) and found.landmark_verified else None

    def verify(
        self, map_from_camera: Pose, regression: Regression, camera: Camera, verifying: int
    ) -> PoseEstimate | Rejection:
        """The pose by the landmarks in view of one that others say; by the head's points alone it
        is not moved.

        map_from_camera: where the camera is said to be, in the map.
        regression, camera: as of `find`.
        verifying: so many landmarks verify the pose.
        """
        start, config = time.perf_counter(), self._config
        said = Pose(map_from_camera.rotation_33, map_from_camera.translation_3 - self._origin_3)
        pixels_n2, points_n3 = regression.pixels_n2, regression.points_n3()
        coarse = seen_from(said, pixels_n2, points_n3, regression.camera, config.ransac_px)
        if coarse is None:
            coarse = PoseSolution(said, np.zeros(len(pixels_n2), bool), np.empty((0, 2)))
        if refinement := config.refinement:
            config = replace(config, refinement=replace(refinement, verifying_inliers=verifying))
        return self._judged(coarse, pixels_n2, points_n3, regression, camera, start, config)

    def solve_together(self, images: Sequence[RigImage]) -> Pose | None:
        """map_from_rig that the points of all images agree on; None where there is none."""
        found = solve_together(images, self._solver_config())
        return found and Pose(found.rotation_33, found.translation_3 + self._origin_3)

    def has_twin(self, estimate: PoseEstimate, *, looked_for: bool = False) -> bool:
        """Whether many of the landmarks that verify a pose look like others elsewhere.

        looked_for: nearly all of them, so that it may be there though no pose was found there.
        """
        config = self._config.search
        return config is not None and self._has_twin(
            estimate, config.most_unfound_twins if looked_for else config.most_twins
        )

    def _has_twin(self, estimate: PoseEstimate, most: float) -> bool:
        if self._twins is None or estimate.landmark_index_m is None:
            return False
        return self._twins.ratio(estimate.landmark_index_m) > most

    def _judged(
        self,
        coarse: PoseSolution,
        pixels_n2: NDArray[np.float64],
        points_n3: NDArray[np.float64],
        regression: Regression,
        camera: Camera,
        start: float,
        config: LocalizerConfig,
    ) -> PoseEstimate | Rejection:
        """The pose made exact, or why it is not to be trusted.

        coarse: of the points (metres from the map's origin) seen at the pixels.
        config: what it takes to be trusted.
        """
        count, inliers_m3 = len(pixels_n2), points_n3[coarse.inlier_n]
        solution, index_m, covariance_66, inexact = self._refine(
            coarse, inliers_m3, regression, config.refinement
        )
        landmarks = 0 if index_m is None else len(index_m)
        verified = (
            config.refinement is not None and landmarks >= config.refinement.verifying_inliers
        )
        metadata = self._scene_map.metadata
        by_head = CovarianceModel(metadata.covariance_scale)
        model = metadata.landmark_covariance if landmarks else by_head
        by_inliers_66 = None if covariance_66 is None else model.of(covariance_66)
        rejection = self._doubt(
            coarse.inliers, count, by_inliers_66, config.acceptance, verified=verified
        )
        if rejection is not None:
            return replace(rejection, seconds=time.perf_counter() - start)
        assert covariance_66 is not None, "a pose without one is rejected"
        if inexact and config.refinement:
            # nothing of the image looks as it should, mostly since it is blurred: which of the
            # matches agree is then half by chance
            covariance_66 = covariance_66 + half_sample_covariance(
                solution.map_from_camera, inexact.pixels_n2, inexact.points_n3, regression.camera,
                refinement_solver(config.refinement), config.refinement.half_samples,
            )  # fmt: skip
        working_camera = regression.camera
        given_camera = working_camera.scaled_to(camera.width_px, camera.height_px)
        scale_2 = np.array([given_camera.fx_px, given_camera.fy_px]) / [
            working_camera.fx_px, working_camera.fy_px,
        ]  # fmt: skip
        return PoseEstimate(
            map_from_camera=self._in_map(solution),
            covariance_66=model.of(covariance_66),
            inliers=coarse.inliers,
            points=count,
            reprojection_px=float(np.median(np.linalg.norm(solution.residuals_m2, axis=1))),
            seconds=time.perf_counter() - start,
            pixels_m2=(pixels_n2[coarse.inlier_n] + 0.5) * scale_2 - 0.5,
            points_m3=inliers_m3 + self._origin_3,
            camera=given_camera,
            landmarks=landmarks,
            landmark_index_m=index_m,
            landmark_verified=verified,
            seen_ratio=self._seen_ratio(solution.map_from_camera, index_m, working_camera),
        )

    def unrepeated(self, estimate: PoseEstimate, regression: Regression) -> Rejection | None:
        """The rejection of an estimate that another seed of RANSAC speaks against, else None."""
        solver = replace(self._solver_config(), seed=self._config.seed + 1)
        again = solve_pose(regression.pixels_n2, regression.points_n3(), regression.camera, solver)
        map_from_camera = None
        if again is not None:
            inliers_m3 = regression.points_n3()[again.inlier_n]
            solution, *_ = self._refine(again, inliers_m3, regression, self._config.refinement)
            map_from_camera = self._in_map(solution)
        return not_repeated(estimate, map_from_camera, self._config.acceptance)

    def _seen_ratio(
        self, map_from_camera: Pose, index_m: torch.Tensor | None, camera: Camera
    ) -> Callable[[], float]:
        """Of PoseEstimate. map_from_camera: from the map's origin; camera: of the encoded image."""
        landmarks, config = self._scene_map.landmarks, self._config.refinement
        if landmarks is None or config is None or index_m is None:
            return all_seen
        return functools.cache(
            functools.partial(
                seen_ratio, map_from_camera, index_m, landmarks, camera, config.most_oblique_deg
            )
        )

    def _in_map(self, solution: PoseSolution) -> Pose:
        pose = solution.map_from_camera
        return Pose(pose.rotation_33, pose.translation_3 + self._origin_3)

    def _refine(
        self,
        coarse: PoseSolution,
        points_m3: NDArray[np.float64],
        regression: Regression,
        config: LandmarkRefinementConfig | None,
    ) -> tuple[PoseSolution, torch.Tensor | None, NDArray[np.float64] | None, RefinedPose | None]:
        """The solution to publish, which landmarks it is made of, its covariance given its inliers,
        and its matches where templates should have made it exact and did not.

        points_m3: that agree with the coarse one.
        """
        landmarks, templates = self._scene_map.landmarks, self._config.templates
        solution, index_m, refine_px = coarse, None, PoseSolverConfig.refine_px
        refined, inexact, nuisance = None, None, None
        if landmarks and config:
            refined = refine_pose(
                coarse.map_from_camera, regression.features, landmarks, regression.camera, config,
                regression.shutter(),
            )  # fmt: skip
        if landmarks and config and refined:
            solution, points_m3 = refined.solution, refined.points_m3
            index_m, refine_px = refined.index_m, config.refine_px
            if landmarks.templates and templates and regression.grey_hw is not None:
                aligned = align_pose(
                    solution.map_from_camera, regression.grey_hw, landmarks, regression.camera,
                    regression.shutter(), templates,
                )  # fmt: skip
                if aligned:
                    (solution, points_m3, nuisance), refine_px = aligned, templates.refine_px
                else:
                    inexact = refined
        covariance_66 = camera_covariance(
            points_m3, solution.residuals_m2, regression.camera, solution.map_from_camera,
            refine_px, nuisance,
        )  # fmt: skip
        return solution, index_m, covariance_66, inexact

    def _solver_config(self) -> PoseSolverConfig:
        return PoseSolverConfig(
            ransac_px=self._config.ransac_px,
            max_iterations=self._config.max_iterations,
            seed=self._config.seed,
        )

    def _doubt(
        self,
        inliers: int,
        count: int,
        covariance_66: NDArray[np.float64] | None,
        acceptance: AcceptanceConfig,
        *,
        verified: bool,
    ) -> Rejection | None:
        """The rejection of a pose that is not to be trusted, else None."""
        if not verified:
            rejection = self._too_few(inliers, count, acceptance)
            if rejection is not None:
                return rejection
        return too_uncertain(covariance_66, inliers, count, acceptance)

    def _too_few(self, inliers: int, count: int, acceptance: AcceptanceConfig) -> Rejection | None:
        """The rejection of a pose that the head's points do not carry by themselves, else None."""
        ratio = self._scene_map.metadata.min_inlier_ratio
        return too_few_inliers(inliers, count, ratio, acceptance)
