"""What a predicted point is told about where it should be.

Section 3.1 of the paper, eq. 2 to 4: the dynamic tanh of the reprojection error, and a pull to 10 m
depth for points that are behind the camera, too far, or wildly off. Beyond the paper: a patch that
was triangulated from the recorded poses is also told its place
(docs/experiments/2026-11-22-training-variants.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from glace_ros.mapping.views.feature_buffer import Observations


DEPTH_MIN_M, DEPTH_MAX_M, DEPTH_INVALID_TARGET_M = 0.1, 1000.0, 10.0
ERROR_MAX_PX = 1000.0
"""The paper's set V of valid predictions, and where the others are pulled to (eq. 3)."""


@dataclass(frozen=True)
class ReprojectionLossConfig:
    """The paper's loss, and what is added to it."""

    tau_max_px: float = 50.0
    """The clamp of the tanh at the start of training (eq. 4)."""
    tau_min_px: float = 1.0
    """What is left of it at the end."""
    error_norm: int = 2
    """Of the pixel error: 1 as in the paper, 2 is independent of the camera's roll."""
    point_weight: float = 1.0
    """Of the triangulated points' error beside the reprojection error; 0 = off (paper)."""
    metres_weight: float = 0.1
    """Pixels per metre of a slope that never saturates, so that points far off come home."""
    near_m: float = 0.0
    """Points nearer than about this count less, their pixel errors being blown up by errors of the
    recorded poses: weight z / sqrt(z^2 + near^2). 0 = off (paper)."""


def tau_px(progress: float, config: ReprojectionLossConfig) -> float:
    """The clamp tau(t) at `progress` t in [0, 1] (eq. 4)."""
    return config.tau_max_px * math.sqrt(max(0.0, 1.0 - progress**2)) + config.tau_min_px


def _clamped(error_n: torch.Tensor, tau: float) -> torch.Tensor:
    return tau * torch.tanh(error_n / tau)


def reprojection_loss(
    predicted_n3: torch.Tensor,
    observed: Observations,
    progress: float,
    config: ReprojectionLossConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean loss, ratio of valid predictions within 10 px).

    predicted_n3: float32, in metres from the map's origin.
    observed: what the cameras saw of the same patches.
    progress: of training, in [0, 1].
    """
    tau = tau_px(progress, config)
    matrix_n34 = observed.camera_from_map_n34
    in_camera_n3 = (
        torch.einsum("nij,nj->ni", matrix_n34[:, :, :3], predicted_n3) + matrix_n34[:, :, 3]
    )
    depth_n = in_camera_n3[:, 2]
    focal_n2, centre_n2 = observed.intrinsics_n4[:, :2], observed.intrinsics_n4[:, 2:]
    # eq. 2, clamped only so that invalid rows stay finite: their error is not used
    projected_n2 = (
        focal_n2 * in_camera_n3[:, :2] / depth_n.clamp(min=DEPTH_MIN_M)[:, None] + centre_n2
    )
    error_n = torch.linalg.vector_norm(
        projected_n2 - observed.pixels_n2, ord=config.error_norm, dim=1
    )
    valid_n = (depth_n > DEPTH_MIN_M) & (depth_n < DEPTH_MAX_M) & (error_n <= ERROR_MAX_PX)
    # eq. 3: the valid by the tanh, the others by their distance from a point 10 m ahead
    ray_n3 = torch.cat(
        [(observed.pixels_n2 - centre_n2) / focal_n2, torch.ones_like(depth_n)[:, None]], dim=1
    )
    pull_n = (in_camera_n3 - DEPTH_INVALID_TARGET_M * ray_n3).abs().sum(dim=1)
    valid_loss_n = _clamped(error_n, tau)
    if config.near_m > 0:
        z_n = depth_n.detach()
        valid_loss_n = valid_loss_n * z_n / torch.sqrt(z_n**2 + config.near_m**2)
    # a triangulated point knows better than the pull to 10 m
    pull_n = torch.where(observed.has_point_n, 0.0, pull_n)
    loss_n = torch.where(valid_n, valid_loss_n, pull_n)
    if config.point_weight > 0:
        loss_n = loss_n + config.point_weight * _point_loss(predicted_n3, observed, tau, config)
    inlier_ratio = (valid_n & (error_n.detach() < 10.0)).float().mean()
    return loss_n.mean(), inlier_ratio


def _point_loss(
    predicted_n3: torch.Tensor,
    observed: Observations,
    tau: float,
    config: ReprojectionLossConfig,
) -> torch.Tensor:
    """Distance to the triangulated point, in the pixels that it would span across the line of
    sight.
    """
    matrix_n34 = observed.camera_from_map_n34
    depth_n = (matrix_n34[:, 2, :3] * observed.points_n3).sum(dim=1) + matrix_n34[:, 2, 3]
    distance_n = torch.linalg.vector_norm(predicted_n3 - observed.points_n3, dim=1)
    pixels_n = distance_n * observed.intrinsics_n4[:, 0] / depth_n.clamp(min=DEPTH_MIN_M)
    loss_n = _clamped(pixels_n, tau) + config.metres_weight * distance_n * tau
    return torch.where(observed.has_point_n, loss_n, 0.0)
