"""Whether truth and map are in two frames of one name: odometry starts anew with each drive.

It explains figures to a person; no pose is ever corrected by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.evaluation import LocalizedFrame
    from glace_ros.pose import Pose

WITHIN = (0.5, 5.0)  # m, deg
_FEWEST, _MOST = 5, 200
_EXPLAINED = 0.5
_WAY_M = 1.0
"""Of a robot that stands still, any pose is an offset away."""


class FrameOffset(NamedTuple):
    """truth_from_map: what takes `share` of the poses to their truth, within WITHIN."""

    truth_from_map: Pose
    share: float

    def __str__(self) -> str:
        x_m, y_m, z_m = self.truth_from_map.translation_3
        turn_deg = np.degrees(np.linalg.norm(self.truth_from_map.rotation_vector_3))
        return (
            f"{self.share:.0%} of the poses are within {WITHIN[0]:g} m / {WITHIN[1]:g} deg of the "
            f"truth once the map is turned by {turn_deg:.0f} deg and moved by "
            f"({x_m:.1f}, {y_m:.1f}, {z_m:.1f}) m: truth and map are in two frames, as odometry "
            "starts anew with each drive (name a truth in the map's frame with --pose-source), or "
            "the place is taken for one that looks alike"
        )


def frame_offset(frames: Sequence[LocalizedFrame]) -> FrameOffset | None:
    """The one offset that explains most poses. None where the poses are right as they are, where
    no offset explains half of them, and of fewer than five poses or of less than a metre of way.
    """
    pairs = [
        (frame.truth, frame.estimate)
        for frame in frames
        if frame.truth is not None and frame.estimate is not None
    ]
    pairs = pairs[:: -(-len(pairs) // _MOST) or 1]
    if len(pairs) < _FEWEST or _share(None, pairs) >= _EXPLAINED:
        return None
    way_m = np.ptp([truth.translation_3 for truth, _ in pairs], axis=0).max()
    if way_m < _WAY_M:
        return None
    offsets = [truth @ estimate.inverse() for truth, estimate in pairs]
    best = max((FrameOffset(each, _share(each, pairs)) for each in offsets), key=lambda o: o.share)
    return best if best.share >= _EXPLAINED else None


def _share(truth_from_map: Pose | None, pairs: Sequence[tuple[Pose, Pose]]) -> float:
    near = 0
    for truth, estimate in pairs:
        moved = truth_from_map @ estimate if truth_from_map else estimate
        turned_deg = np.degrees(moved.angle_rad(truth))
        near += bool(moved.distance_m(truth) <= WITHIN[0] and turned_deg <= WITHIN[1])
    return near / len(pairs)
