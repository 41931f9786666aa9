"""Acceptance: what speaks against the best pose of an image.

A wrong pose has few inliers, does not come again with another seed of RANSAC, or has a second-best
hypothesis in another place that nearly as much of the map agrees with
(docs/experiments/2026-11-22-wrong-poses.md has how often): one whoever found it, the same head of
the map or another, for of rooms that look alike each may have its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.rejection import Rejection, RejectionCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose


_SIMILARITY_WEIGHT = 0.5
"""By how much a similarity of 1 outweighs one of 0: e^0.5 times as many landmarks."""


@dataclass(frozen=True)
class AcceptanceConfig:
    """What a pose needs to be accepted."""

    min_inliers: int = 50
    """Of the predicted points. The map's own min_inlier_ratio applies besides, and neither where
    the pose is landmark-verified."""
    max_sigma_m: float = 1.0
    """A position that its own inliers leave less certain is rejected."""
    repeat_m: float = 0.2
    """How far apart the poses of two seeds may be, where the pose is not landmark-verified. Of
    the office's frames with too few landmarks a right one came again within 2 cm, wrong ones 0.22 m
    away and farther (docs/experiments/2026-11-22-wrong-poses.md)."""
    repeat_deg: float = 5.0
    """The same of their angle."""


def too_few_inliers(
    inliers: int, points: int, min_inlier_ratio: float, config: AcceptanceConfig
) -> Rejection | None:
    """The rejection of a pose with so many inliers; None where they are enough."""
    if inliers < config.min_inliers:
        return Rejection(
            RejectionCode.FEW_INLIERS,
            inliers=inliers, points=points, needed_inliers=config.min_inliers,
        )  # fmt: skip
    if inliers < min_inlier_ratio * points:
        return Rejection(
            RejectionCode.LOW_INLIER_RATIO,
            inliers=inliers, points=points, needed_ratio=min_inlier_ratio,
        )  # fmt: skip
    return None


def too_uncertain(
    covariance_66: NDArray[np.float64] | None, inliers: int, points: int, config: AcceptanceConfig
) -> Rejection | None:
    """The rejection of a pose of this covariance (None: there is none); None where it counts."""
    if covariance_66 is None:
        return Rejection(RejectionCode.DEGENERATE_POINTS, inliers=inliers, points=points)
    sigma_m = float(np.sqrt(np.linalg.eigvalsh(covariance_66[:3, :3])[-1]))
    if not sigma_m < config.max_sigma_m:
        return Rejection(
            RejectionCode.UNCERTAIN_POSITION, inliers=inliers, points=points, sigma_m=sigma_m
        )
    return None


def not_repeated(
    estimate: PoseEstimate, again: Pose | None, config: AcceptanceConfig
) -> Rejection | None:
    """The rejection of a pose beside that of another seed of RANSAC; None where both agree.

    again: map_from_camera of the other seed; None where it found none.
    """
    inliers, points = estimate.inliers, estimate.points
    if again is None:
        return Rejection(RejectionCode.NOT_REPEATED, inliers=inliers, points=points)
    apart_m = estimate.map_from_camera.distance_m(again)
    apart_deg = float(np.degrees(estimate.map_from_camera.angle_rad(again)))
    if apart_m > config.repeat_m or apart_deg > config.repeat_deg:
        return Rejection(
            RejectionCode.REPEATED_ELSEWHERE,
            inliers=inliers, points=points, apart_m=apart_m, apart_deg=apart_deg,
        )  # fmt: skip
    return None


def agreement(
    result: PoseEstimate | Rejection, similarity: float, weight: float = _SIMILARITY_WEIGHT
) -> tuple[bool, float, int]:
    """Larger for what more of the map agrees with: landmarks, times how many of those that should
    be seen there are, times how similar the image is to the place, then inliers.

    weight: of the similarity: one of 1 counts as e^weight times as many landmarks as one of 0.
    """
    if isinstance(result, Rejection):
        return False, 0.0, result.inliers
    by_landmarks = result.landmarks * result.seen_ratio() * math.exp(weight * similarity)
    return True, by_landmarks, result.inliers


def second_best_ratio(
    best: PoseEstimate,
    similarity: float,
    others: Iterable[tuple[PoseEstimate | Rejection, float]],
    apart_m: float,
) -> float:
    """Agreement of the second-best hypothesis as a ratio of the best one's; 0 where there is none.

    best: the pose with the largest agreement.
    similarity: of the image to the place of `best`.
    others: the other hypotheses, with their similarities.
    apart_m: m; those that are further than this from `best` count.
    """
    agreements = [
        agreement(other, its_similarity)
        for other, its_similarity in others
        if isinstance(other, PoseEstimate)
        and other.map_from_camera.distance_m(best.map_from_camera) > apart_m
    ]
    if not agreements:
        return 0.0
    _, by_landmarks, by_inliers = agreement(best, similarity)
    if by_landmarks == 0.0:
        return max(agreements)[2] / by_inliers
    return max(agreements)[1] / by_landmarks
