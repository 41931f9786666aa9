"""Acceptance: what speaks against the best pose of an image, in words for a log line.

A wrong pose has few inliers, does not come again with another seed of RANSAC, or has a rival in
another place that nearly as much of the map agrees with (docs/method.md has how often). A rival is
one whoever found it, the same head of the map or another: of rooms that look alike each may have
its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.localization.pose_estimate import PoseEstimate, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose


_SIMILARITY_WEIGHT = 0.5


@dataclass(frozen=True)
class AcceptanceConfig:
    """min_inliers: of the regressed points; the map's own min_inlier_ratio applies besides, and
    neither where landmarks vouch for the pose.

    max_sigma_m: a position that its own inliers leave less certain is refused. repeat_m,
    repeat_deg: how far apart the poses of two seeds may be, where landmarks do not vouch for it.
    """

    min_inliers: int = 50
    max_sigma_m: float = 1.0
    repeat_m: float = 0.2
    repeat_deg: float = 5.0


def too_few_inliers(
    inliers: int, points: int, min_inlier_ratio: float, config: AcceptanceConfig
) -> str:
    """Why so many inliers are not enough; empty where they are."""
    if inliers < config.min_inliers:
        return f"{inliers} inliers of {points} points, fewer than {config.min_inliers}"
    if inliers < min_inlier_ratio * points:
        return f"{inliers} inliers of {points} points, a smaller share than {min_inlier_ratio:.2f}"
    return ""


def too_uncertain(
    covariance_66: NDArray[np.float64] | None, inliers: int, config: AcceptanceConfig
) -> str:
    """Why a pose of this covariance (None: there is none) does not count; empty where it does."""
    if covariance_66 is None:
        return f"the {inliers} inliers do not fix the pose"
    sigma_m = float(np.sqrt(np.linalg.eigvalsh(covariance_66[:3, :3])[-1]))
    if not sigma_m < config.max_sigma_m:
        return f"the position is uncertain by {sigma_m:.2f} m"
    return ""


def not_repeated(map_from_camera: Pose, again: Pose | None, config: AcceptanceConfig) -> str:
    """Why the pose is not to be trusted beside that of another seed; empty where both agree."""
    if again is None:
        return "another seed of RANSAC finds no pose"
    apart_m = map_from_camera.distance_m(again)
    apart_deg = float(np.degrees(map_from_camera.angle_rad(again)))
    if apart_m > config.repeat_m or apart_deg > config.repeat_deg:
        return f"another seed of RANSAC finds a pose {apart_m:.2f} m and {apart_deg:.0f} deg away"
    return ""


def agreement(result: PoseEstimate | Rejection, similarity: float) -> tuple[bool, float, int]:
    """Larger for what more of the map vouches for: landmarks, times how like its place the image
    is, then inliers.
    """
    if isinstance(result, Rejection):
        return False, 0.0, result.inliers
    return True, result.landmarks * math.exp(_SIMILARITY_WEIGHT * similarity), result.inliers


def second_best_ratio(
    best: PoseEstimate,
    similarity: float,
    others: Iterable[tuple[PoseEstimate | Rejection, float]],
    apart_m: float,
) -> float:
    """Share of the best pose's agreement that the next one has, of those further away than
    apart_m; 0 where there is none. others: with their similarities.
    """
    agreements = [
        agreement(other, like)
        for other, like in others
        if isinstance(other, PoseEstimate)
        and other.map_from_camera.distance_m(best.map_from_camera) > apart_m
    ]
    if not agreements:
        return 0.0
    _, by_landmarks, by_inliers = agreement(best, similarity)
    if by_landmarks == 0.0:
        return max(agreements)[2] / by_inliers
    return max(agreements)[1] / by_landmarks
