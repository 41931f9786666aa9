"""What held-out images teach: thresholds and covariance scales."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.evaluation.localized_frame import LocalizedFrame
    from glace_ros.geometry.pose import Pose


ASTRAY = (0.5, 10.0)
"""(m, deg) beyond which a held-out frame speaks for a stricter acceptance."""


RATIO_BOUNDS = (0.10, 0.25)
"""Photographs of other places reach 0.095 on the office's map: docs/method.md."""


RATIO_MARGIN = 1.25


RIVAL_BOUNDS = (0.5, 0.8)


RIVAL_MARGIN = 0.95


def is_astray(estimate: Pose, truth: Pose) -> bool:
    """Whether a pose is further off than ASTRAY."""
    metres, degrees = ASTRAY
    angle_deg = float(np.degrees(estimate.angle_rad(truth)))
    return estimate.distance_m(truth) > metres or angle_deg > degrees


def acceptance_threshold(
    frames: Sequence[LocalizedFrame], wrong_ratios: Sequence[float] = ()
) -> float:
    """Inlier ratio, by RATIO_MARGIN above that of every held-out frame that was astray and of every
    wrong place.

    frames: accepted whatever their ratio. The result is within RATIO_BOUNDS.
    """
    astray = [frame.inliers / frame.points for frame in _astray(frames) if not frame.sure]
    lowest, highest = RATIO_BOUNDS
    return float(
        np.clip(RATIO_MARGIN * max([*astray, *wrong_ratios], default=0.0), lowest, highest)
    )


def rival_threshold(frames: Sequence[LocalizedFrame]) -> float:
    """The rival's share of agreement from which a pose is ambiguous: by RIVAL_MARGIN under that of
    every held-out frame that was astray, within RIVAL_BOUNDS.
    """
    rivals = [frame.rival for frame in _astray(frames) if frame.rival > 0.0]
    lowest, highest = RIVAL_BOUNDS
    return float(np.clip(RIVAL_MARGIN * min(rivals, default=1.0), lowest, highest))


def _astray(frames: Sequence[LocalizedFrame]) -> list[LocalizedFrame]:
    return [
        frame
        for frame in frames
        if frame.estimate is not None
        and frame.truth is not None
        and is_astray(frame.estimate, frame.truth)
    ]


def covariance_scale(frames: Sequence[LocalizedFrame]) -> float:
    """What makes the mean NEES of these held-out frames that of a consistent filter, at least 1.

    The residuals of neighbouring patches err together, which the solver's Jacobian cannot know.
    The largest tenth is left out, so that one wrong pose does not blur all others. 1 where fewer
    than five frames can tell.
    """
    nees = sorted(value for frame in frames if (value := frame.nees) is not None)
    if len(nees) < 5:
        return 1.0
    return max(1.0, float(np.mean(nees[: math.ceil(0.9 * len(nees))])))
