"""Explicit triangulation: keypoints matched between co-visible mapping views of known pose.

The paper leaves triangulation to the network ("implicit", section 3.1). With recorded poses it
costs seconds to do it outright for the keypoints that match, and the network then only has to
remember places instead of discovering them: the same accuracy takes a fraction of the training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from glace_ros.features.descriptor_matching import mutual_matches

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TriangulationConfig:
    """Which views are matched and which points are believed."""

    neighbours: int = 16
    """Views that each view is matched to."""
    distance_m: float = 1.5
    """How far they may be from it."""
    angle_deg: float = 35.0
    """How far they may be turned from it."""
    min_cosine: float = 0.65
    """Of two descriptors; the epipolar test and the agreement of several views allow less than a
    matcher without poses would ask for."""
    epipolar_px: float = 4.0
    """From a match to its epipolar line, in the encoded image."""
    reprojection_px: float = 3.0
    """From a match to the triangulated point, in the encoded image."""
    min_views: int = 3
    """That agree, the view itself counted."""
    min_parallax_deg: float = 1.2
    """Between the rays of the two outermost of these."""


class View(NamedTuple):
    """One mapping view as triangulation sees it, everything on one device.

    descriptors_nC: unit norm, best first, fp16 or fp32.
    pixels_n2: theirs, of the recorded image at working size.
    camera_from_map_34: metres.
    intrinsics_4: fx, fy, cx, cy.
    """

    descriptors_nC: torch.Tensor
    pixels_n2: torch.Tensor
    camera_from_map_34: torch.Tensor
    intrinsics_4: torch.Tensor

    @property
    def centre_3(self) -> torch.Tensor:
        """The camera's centre in the map."""
        return -self.camera_from_map_34[:, :3].T @ self.camera_from_map_34[:, 3]

    def rays(self) -> torch.Tensor:
        """Unit rays (n, 3) in the map."""
        xy_n2 = (self.pixels_n2 - self.intrinsics_4[2:]) / self.intrinsics_4[:2]
        rays_n3 = torch.cat([xy_n2, torch.ones_like(xy_n2[:, :1])], dim=1)
        rays_n3 = rays_n3 @ self.camera_from_map_34[:, :3]
        return torch.nn.functional.normalize(rays_n3, dim=1)


def choose_neighbours(
    camera_from_map_v34: NDArray[np.float32], config: TriangulationConfig
) -> list[list[int]]:
    """For each view the views to match: near enough to match, and spread over the baselines."""
    rotations_v33 = camera_from_map_v34[:, :, :3]
    centres_v3 = -np.einsum("vji,vj->vi", rotations_v33, camera_from_map_v34[:, :, 3])
    axes_v3 = rotations_v33[:, 2]
    tree = cKDTree(centres_v3)
    chosen: list[list[int]] = []
    for index, (centre_3, axis_3) in enumerate(zip(centres_v3, axes_v3, strict=True)):
        near = tree.query_ball_point(centre_3, config.distance_m, return_sorted=True)
        near_m = np.array([other for other in near if other != index], dtype=int)
        baseline_m = np.linalg.norm(centres_v3[near_m] - centre_3, axis=1)
        angle_m = np.degrees(np.arccos(np.clip(axes_v3[near_m] @ axis_3, -1.0, 1.0)))
        effort_m = baseline_m / config.distance_m + angle_m / config.angle_deg
        effort_m[(baseline_m >= config.distance_m) | (angle_m >= config.angle_deg)] = np.inf
        # evenly over the ranking: short baselines match best, long ones place best
        ranked_m = near_m[np.argsort(effort_m)][: int(np.isfinite(effort_m).sum())]
        picks = np.unique(np.linspace(0, len(ranked_m) - 1, config.neighbours).round().astype(int))
        chosen.append([int(i) for i in ranked_m[picks]] if len(ranked_m) else [])
    return chosen


def triangulate_view(
    view: View, neighbours: list[View], config: TriangulationConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n, 3) of the view's patches and a mask (n,) of those to believe."""
    nothing_n3 = torch.zeros_like(view.pixels_n2[:, :1]).expand(-1, 3)
    if len(neighbours) + 1 < config.min_views or len(nothing_n3) == 0:
        return nothing_n3, torch.zeros_like(nothing_n3[:, 0], dtype=torch.bool)
    matched = [match_views(view, other, config) for other in neighbours]
    seen_nk = torch.stack([seen_n for _, seen_n in matched], dim=1)
    pixels_nk2 = torch.stack(
        [other.pixels_n2[index_n] for (index_n, _), other in zip(matched, neighbours, strict=True)],
        dim=1,
    )
    rays_nk3 = torch.stack(
        [other.rays()[index_n] for (index_n, _), other in zip(matched, neighbours, strict=True)],
        dim=1,
    )
    # the view itself observes each of its own patches
    everyone = [view, *neighbours]
    seen_nk = torch.cat([torch.ones_like(seen_nk[:, :1]), seen_nk], dim=1)
    pixels_nk2 = torch.cat([view.pixels_n2[:, None], pixels_nk2], dim=1)
    rays_nk3 = torch.cat([view.rays()[:, None], rays_nk3], dim=1)
    camera_from_map_k34 = torch.stack([v.camera_from_map_34 for v in everyone])
    intrinsics_k4 = torch.stack([v.intrinsics_4 for v in everyone])
    centres_k3 = torch.stack([v.centre_3 for v in everyone])
    enough_n = seen_nk.sum(dim=1) >= config.min_views
    points_n3, good_n = nothing_n3.clone(), enough_n.clone()
    points_n3[enough_n], good_n[enough_n] = _intersect(
        rays_nk3[enough_n], pixels_nk2[enough_n], seen_nk[enough_n],
        centres_k3, camera_from_map_k34, intrinsics_k4, config,
    )  # fmt: skip
    return points_n3, good_n


def match_views(
    view: View, other: View, config: TriangulationConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """(index (n,) into the other's patches, whether to believe it): mutual, similar, epipolar."""
    best_n, index_n, mutual_n = mutual_matches(
        view.descriptors_nC.float() @ other.descriptors_nC.float().T
    )
    # epipolar test: how far the other's pixel is from the plane of baseline and own ray
    baseline_3 = view.centre_3 - other.centre_3
    normal_n3 = torch.linalg.cross(baseline_3.expand(len(index_n), 3), view.rays(), dim=1)
    normal_n3 = torch.nn.functional.normalize(normal_n3, dim=1)
    sine_n = (normal_n3 * other.rays()[index_n]).sum(dim=1).abs()
    epipolar_n = sine_n * other.intrinsics_4[0] < config.epipolar_px
    return index_n, mutual_n & epipolar_n & (best_n > config.min_cosine)


def _intersect(
    rays_nk3: torch.Tensor,
    pixels_nk2: torch.Tensor,
    seen_nk: torch.Tensor,
    centres_k3: torch.Tensor,
    camera_from_map_k34: torch.Tensor,
    intrinsics_k4: torch.Tensor,
    config: TriangulationConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Robust intersection of rays: least squares, reweighted by depth and by reprojection error."""
    eye_33 = torch.eye(3, device=rays_nk3.device)
    across_nk33 = eye_33 - rays_nk3[..., :, None] * rays_nk3[..., None, :]
    # relative to the view itself: float32 then does not care how far the map's origin is
    origin_3 = centres_k3[0]
    across_c_nk3 = torch.einsum("nkij,kj->nki", across_nk33, centres_k3 - origin_3)
    weight_nk = seen_nk.float()
    for step in range(6):
        weight_nk = weight_nk / weight_nk.sum(dim=1, keepdim=True).clamp(min=1e-12)
        # the small ridge keeps parallel rays solvable; the parallax test drops their points
        matrix_n33 = torch.einsum("nk,nkij->nij", weight_nk, across_nk33).double() + 1e-9 * eye_33
        right_n3 = torch.einsum("nk,nki->ni", weight_nk, across_c_nk3)
        points_n3 = torch.linalg.solve(matrix_n33, right_n3.double()).float() + origin_3
        error_nk, depth_nk = _reprojection(
            points_n3, pixels_nk2, camera_from_map_k34, intrinsics_k4
        )
        scale_px = max(config.reprojection_px, 4 * config.reprojection_px / 2**step)
        robust_nk = 1.0 / (1.0 + (error_nk / scale_px) ** 2) ** 2
        weight_nk = seen_nk * robust_nk / depth_nk.clamp(min=0.1) ** 2
    agrees_nk = seen_nk & (error_nk < config.reprojection_px) & (depth_nk > 0.1)
    to_centres_nk3 = torch.nn.functional.normalize(points_n3[:, None] - centres_k3, dim=2)
    cosine_nk = (to_centres_nk3 * to_centres_nk3[:, :1]).sum(dim=2)
    parallax_n = torch.where(agrees_nk, cosine_nk, 1.0).amin(dim=1)
    good_n = (
        agrees_nk[:, 0]
        & (agrees_nk.sum(dim=1) >= config.min_views)
        & (parallax_n < np.cos(np.radians(config.min_parallax_deg)))
        & torch.isfinite(points_n3).all(dim=1)
    )
    return torch.where(good_n[:, None], points_n3, 0.0), good_n


def _reprojection(
    points_n3: torch.Tensor,
    pixels_nk2: torch.Tensor,
    camera_from_map_k34: torch.Tensor,
    intrinsics_k4: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(error (n, k) in px, depth (n, k) in m) of each point in each view."""
    in_camera_nk3 = torch.einsum("kij,nj->nki", camera_from_map_k34[:, :, :3], points_n3)
    in_camera_nk3 = in_camera_nk3 + camera_from_map_k34[:, :, 3]
    depth_nk = in_camera_nk3[..., 2]
    xy_nk2 = in_camera_nk3[..., :2] / depth_nk.clamp(min=0.1)[..., None]
    projected_nk2 = xy_nk2 * intrinsics_k4[:, :2] + intrinsics_k4[:, 2:]
    return torch.linalg.vector_norm(projected_nk2 - pixels_nk2, dim=2), depth_nk
