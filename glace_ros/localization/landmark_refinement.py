"""Landmark refinement: a pose from the coordinate head, made exact by the landmarks in its view.

The landmarks are projected by the pose so far and matched to the image's patches nearby, then the
pose is solved anew from the matches. Repeated once, in a narrower ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from glace_ros.localization.pose_solver import PoseSolution, PoseSolverConfig, solve_pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.camera import Camera
    from glace_ros.features.local_encoder import LocalFeatures
    from glace_ros.pose import Pose
    from glace_ros.scene.landmarks import Landmarks


@dataclass(frozen=True)
class LandmarkRefinementConfig:
    """radii_px: how far from its projection a landmark is looked for, round by round.

    min_cosine: of descriptors. inlier_px: of the last pose; min_inliers: fewer, and the pose of
    the head stands. All pixels are those of the encoded image.
    """

    radii_px: tuple[float, ...] = (48.0, 12.0)
    min_cosine: float = 0.7
    inlier_px: float = 4.0
    refine_px: float = 1.0
    min_inliers: int = 20
    max_iterations: int = 500
    seed: int = 0


class RefinedPose(NamedTuple):
    """solution: of the matched landmarks; points_m3: those that agree, from the map's origin."""

    solution: PoseSolution
    points_m3: NDArray[np.float64]


def refine_pose(
    map_from_camera: Pose,
    features: LocalFeatures,
    landmarks: Landmarks,
    camera: Camera,
    config: LandmarkRefinementConfig,
) -> RefinedPose | None:
    """The pose that the landmarks in view agree on; None where too few do."""
    solver = PoseSolverConfig(
        ransac_px=config.inlier_px, min_iterations=50, max_iterations=config.max_iterations,
        refine_px=config.refine_px, seed=config.seed,
    )  # fmt: skip
    refined = None
    for radius_px in config.radii_px:
        pixels_n2, points_n3 = _match(
            map_from_camera, features, landmarks, camera, radius_px, config.min_cosine
        )
        solution = solve_pose(pixels_n2, points_n3, camera, solver)
        if solution is None or solution.inliers < config.min_inliers:
            return None
        map_from_camera = solution.map_from_camera
        refined = RefinedPose(solution, points_n3[solution.inlier_n])
    return refined


def _match(
    map_from_camera: Pose,
    features: LocalFeatures,
    landmarks: Landmarks,
    camera: Camera,
    radius_px: float,
    min_cosine: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (n, 2) and points (n, 3) of patches and landmarks that are each other's best."""
    index_m, pixels_m2 = landmarks.in_view(map_from_camera, camera, radius_px)
    if len(index_m) == 0 or len(features.pixels_n2) == 0:
        return np.empty((0, 2)), np.empty((0, 3))
    cosine_nm = features.descriptors_nC.float() @ landmarks.descriptors_lC[index_m].T
    far_nm = torch.cdist(features.pixels_n2, pixels_m2) > radius_px
    cosine_nm.masked_fill_(far_nm, -1.0)
    best_n, match_n = cosine_nm.max(dim=1)
    mutual_n = cosine_nm.argmax(dim=0)[match_n] == torch.arange(len(match_n), device=match_n.device)
    good_n = mutual_n & (best_n > min_cosine)
    return (
        features.pixels_n2[good_n].cpu().numpy().astype(np.float64),
        landmarks.points_l3[index_m[match_n[good_n]]].cpu().numpy().astype(np.float64),
    )
