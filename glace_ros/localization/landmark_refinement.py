"""Landmark refinement: a pose from the coordinate head, made exact by the landmarks in its view.

The landmarks are projected by the pose so far and matched to the local features nearby, then the
pose is solved anew from the matches. Repeated, in narrower rings.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from glace_ros.features.descriptor_matching import entries_above
from glace_ros.localization.localizer_config import LandmarkRefinementConfig
from glace_ros.localization.pose_solver import (
    PoseSolution,
    PoseSolverConfig,
    solve_near,
    solve_pose,
)
from glace_ros.maps.landmarks import COARSE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.geometry.rolling_shutter import Shutter
    from glace_ros.maps.landmarks import Landmarks


_MANY_PAIRS = 0.01
"""Ratio of all pairs that lie near enough to each other, from which on a product of matrices is
cheaper than looking for these and their cosines one by one."""


class RefinedPose(NamedTuple):
    """A pose by landmarks.

    solution: of the n matched landmarks.
    pixels_n2: where these are seen, as a global shutter would have seen them.
    points_n3: metres from the map's origin.
    index_m: which of the map's landmarks those m are that agree.
    """

    solution: PoseSolution
    pixels_n2: NDArray[np.float64]
    points_n3: NDArray[np.float64]
    index_m: torch.Tensor

    @property
    def points_m3(self) -> NDArray[np.float64]:
        """Of those that agree."""
        return self.points_n3[self.solution.inlier_n]


def refine_pose(
    map_from_camera: Pose,
    features: LocalFeatures,
    landmarks: Landmarks,
    camera: Camera,
    config: LandmarkRefinementConfig,
    shutter: Shutter | None = None,
) -> RefinedPose | None:
    """The pose that the landmarks in view agree on; None where too few do.

    map_from_camera: the pose so far, from the map's origin.
    features: of the encoded image, best first.
    landmarks: of the map.
    camera: the pinhole of the encoded image.
    config: radii and thresholds.
    shutter: of the image; None: all rows were exposed at once.
    """
    solver = refinement_solver(config)

    def solved(
        pose: Pose, radius_px: float, patches: int, *, near: bool = False
    ) -> RefinedPose | None:
        pixels_n2, points_n3, index_n = _match(
            pose, features.head(patches), landmarks, camera, radius_px, config
        )
        if len(pixels_n2) < config.min_inliers:
            return None
        if shutter:
            depth_n = pose.inverse().transform(points_n3)[:, 2]
            pixels_n2 = shutter.at_middle(pixels_n2, depth_n, camera)
        if near:
            solution = solve_near(pose, pixels_n2, points_n3, camera, solver)
        else:
            solution = solve_pose(pixels_n2, points_n3, camera, solver)
        if solution is None or solution.inliers < config.min_inliers:
            return None
        index_m = index_n[torch.from_numpy(solution.inlier_n)]
        return RefinedPose(solution, pixels_n2, points_n3, index_m)

    first, *narrower = zip(config.radii_px, config.patches, strict=True)
    refined = solved(map_from_camera, *first, near=config.begins_near)
    if refined is None and not config.begins_near:
        # a wider ring has more wrong pairs, and takes several times as long
        refined = solved(map_from_camera, config.wide_px, first[1])
    for radius_px, patches in narrower:
        if refined is not None:
            refined = solved(refined.solution.map_from_camera, radius_px, patches, near=True)
    return refined


def refinement_solver(config: LandmarkRefinementConfig) -> PoseSolverConfig:
    """How poses are solved from matched landmarks."""
    return PoseSolverConfig(
        ransac_px=config.inlier_px, min_iterations=50, max_iterations=config.max_iterations,
        refine_px=config.refine_px, seed=config.seed,
    )  # fmt: skip


def _match(
    map_from_camera: Pose,
    features: LocalFeatures,
    landmarks: Landmarks,
    camera: Camera,
    radius_px: float,
    config: LandmarkRefinementConfig,
) -> tuple[NDArray[np.float64], NDArray[np.float64], torch.Tensor]:
    """Pixels (n, 2), points (n, 3) and numbers (n,) of features and landmarks that are each other's
    best.
    """
    min_cosine = config.min_cosine
    index_m, pixels_m2 = landmarks.in_view(
        map_from_camera, camera, radius_px, config.most_oblique_deg
    )
    if len(index_m) == 0 or len(features.pixels_n2) == 0:
        return np.empty((0, 2)), np.empty((0, 3)), index_m[:0].cpu()
    descriptors_nC = features.descriptors_nC.float()
    if math.pi * radius_px**2 > _MANY_PAIRS * camera.width_px * camera.height_px:
        # coarse cosines: those of the few are made anew
        coarse_mC = landmarks.coarse_lC[index_m]
        coarse_nm = descriptors_nC.to(coarse_mC.dtype) @ coarse_mC.T
        patch_p, landmark_p = entries_above(coarse_nm, min_cosine - COARSE)
        off_p2 = features.pixels_n2[patch_p] - pixels_m2[landmark_p]
        near_p = (off_p2 * off_p2).sum(dim=1) <= radius_px**2
        patch_p, landmark_p = patch_p[near_p], landmark_p[near_p]
    else:
        patch_p, landmark_p = _pairs_within(features.pixels_n2, pixels_m2, radius_px)
    descriptors_pC = landmarks.descriptors_lC[index_m[landmark_p]]
    cosine_p = (descriptors_nC[patch_p] * descriptors_pC).sum(dim=1)
    alike_p = cosine_p > min_cosine
    cosine_p, patch_p, landmark_p = cosine_p[alike_p], patch_p[alike_p], landmark_p[alike_p]
    good_p = (cosine_p == _best(cosine_p, patch_p, len(features.pixels_n2))) & (
        cosine_p == _best(cosine_p, landmark_p, len(index_m))
    )
    return (
        features.pixels_n2[patch_p[good_p]].cpu().numpy().astype(np.float64),
        landmarks.points_l3[index_m[landmark_p[good_p]]].cpu().numpy().astype(np.float64),
        index_m[landmark_p[good_p]].cpu(),
    )


def _pairs_within(
    pixels_n2: torch.Tensor, pixels_m2: torch.Tensor, radius_px: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices (p,) into both of all pairs that are so near: few, where all n x m would be many."""
    trees = (cKDTree(pixels.cpu().numpy()) for pixels in (pixels_n2, pixels_m2))
    near_p = next(trees).sparse_distance_matrix(next(trees), radius_px, output_type="ndarray")
    first_p, second_p = (torch.from_numpy(near_p[name].astype(np.int64)) for name in "ij")
    return first_p.to(pixels_n2.device), second_p.to(pixels_n2.device)


def _best(value_p: torch.Tensor, row_p: torch.Tensor, rows: int) -> torch.Tensor:
    """For each pair the largest value among those of its row."""
    best_n = value_p.new_full((rows,), -1.0).scatter_reduce(0, row_p, value_p, "amax")
    return best_n[row_p]
