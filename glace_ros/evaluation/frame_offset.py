"""Whether truth and map are in two frames of one name: odometry starts anew with each drive.

It explains metrics to a person; no pose is ever corrected by it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.evaluation.metrics import RECALL_THRESHOLDS
from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.evaluation.localized_frame import LocalizedFrame

WITHIN = RECALL_THRESHOLDS["50cm_5deg"]
"""(m, deg) within which a pose counts as explained."""
_FEWEST = 5
"""Of fewer poses some offset explains half by chance."""
_MOST = 60
"""Of more poses an even part is looked at: the offset of each is held against all."""
_EXPLAINED = 0.5
"""Ratio of poses that an offset must explain; fewer may be gross errors that happen to agree."""


class FrameOffset(NamedTuple):
    """The rigid motion between the frames of truth and map."""

    truth_from_map: Pose
    """Takes poses of the map's frame to the truth's, metres."""
    ratio: float
    """How many of the poses it takes to their truth, within WITHIN."""

    def __str__(self) -> str:
        x_m, y_m, z_m = self.truth_from_map.translation_3.round(1) + 0.0  # no -0.0
        turn_deg = np.degrees(np.linalg.norm(self.truth_from_map.rotation_vector_3))
        return (
            f"{self.ratio:.0%} of the poses are within {WITHIN[0]:g} m / {WITHIN[1]:g} deg of the "
            f"truth once the map is turned by {turn_deg:.0f} deg and moved by "
            f"({x_m:.1f}, {y_m:.1f}, {z_m:.1f}) m: truth and map are in two frames, as odometry "
            "starts anew with each drive (name a truth in the map's frame with --pose-source), or "
            "the place is taken for one that looks alike"
        )


def frame_offset(frames: Sequence[LocalizedFrame]) -> FrameOffset | None:
    """The one offset that explains most poses.

    None where the poses are right as they are, where no offset explains half of them, and of fewer
    than five poses or of a robot that stands still.
    """
    pairs = [
        (frame.truth, frame.estimate)
        for frame in frames
        if frame.truth is not None and frame.estimate is not None
    ]
    pairs = pairs[:: max(1, math.ceil(len(pairs) / _MOST))]
    if len(pairs) < _FEWEST or _ratio_explained(_errors(Pose.identity(), pairs)) >= _EXPLAINED:
        return None
    extent_m = np.ptp([truth.translation_3 for truth, _ in pairs], axis=0).max()
    if extent_m < WITHIN[0]:  # of a robot that stands still, any pose is an offset away
        return None
    offsets = [truth @ estimate.inverse() for truth, estimate in pairs]
    best = max(offsets, key=lambda offset: _rank(_errors(offset, pairs)))
    ratio = _ratio_explained(_errors(best, pairs))
    return FrameOffset(best, ratio) if ratio >= _EXPLAINED else None


def _errors(truth_from_map: Pose, pairs: Sequence[tuple[Pose, Pose]]) -> NDArray[np.float64]:
    """(n, 2) m, deg that the estimates are off their truth once the offset is applied."""
    moved = [(truth, truth_from_map @ estimate) for truth, estimate in pairs]
    return np.array([
        (pose.distance_m(truth), np.degrees(pose.angle_rad(truth))) for truth, pose in moved
    ])  # fmt: skip


def _ratio_explained(errors_n2: NDArray[np.float64]) -> float:
    return float((errors_n2 <= WITHIN).all(axis=1).mean())


def _rank(errors_n2: NDArray[np.float64]) -> tuple[float, float]:
    """Of offsets that explain as many poses, the one that does so best."""
    return _ratio_explained(errors_n2), -float(np.median(errors_n2 / WITHIN, axis=0).sum())
