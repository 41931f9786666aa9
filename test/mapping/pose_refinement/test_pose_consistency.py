"""What images say of poses, and what that says of them."""

from __future__ import annotations

import numpy as np
import pytest
from support.drifting_drive import drifted, record, refined, room, rounds

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.loop_closures import Loop
from glace_ros.mapping.pose_refinement.pose_consistency import PoseConsistency, loops_agreeing


@pytest.mark.parametrize(
    ("ratio", "loops", "agreeing", "fits", "need_nothing"),
    [
        (0.85, 100, 99, True, True),
        (0.85, 100, 90, True, False),  # drifts, if only a little
        (0.70, 100, 99, True, False),
        (0.85, 100, 50, False, False),
        (0.30, 100, 99, False, False),
        (0.85, 9, 0, True, False),  # too few loops to say
        (None, 0, 0, True, False),
    ],
)
def test_poses_fit_by_both(ratio, loops, agreeing, fits, need_nothing):
    found = PoseConsistency(ratio, loops, agreeing)
    assert (found.fits, found.need_nothing) == (fits, need_nothing)
    assert bool(found.sentence()) != fits


def test_a_loop_agrees_with_poses_that_are_nearly_where_it_says():
    poses = [Pose.identity(), Pose.from_planar(1.0, 0.0, 0.0)]
    for off_m, off_rad, agrees in ((0.0, 0.0, 1), (0.2, 0.0, 1), (0.3, 0.0, 0), (0.0, 0.2, 0)):
        assert loops_agreeing([Loop(0, 1, Pose.from_planar(1.0, off_m, off_rad), 40)], poses) == (
            agrees
        )


def test_after_refinement_agreeing_loops_are_some_of_all_loops():
    """A view may find another one, and be found by it: both count, or neither."""
    pytest.importorskip("gtsam")
    rng = np.random.default_rng(2)
    truth = rounds(64)
    drive = record(room(1), truth, drifted(truth, rng), rng)
    found = refined(drive)
    assert len(found.findings.loops) < found.consistency.loops  # most are there both ways round
    assert found.consistency.loops_agreeing <= found.consistency.loops
