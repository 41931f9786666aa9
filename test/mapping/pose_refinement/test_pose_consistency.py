"""What images say of poses, and what that says of them."""

from __future__ import annotations

import numpy as np
import pytest
from support.drifting_drive import drifted, record, refined, room, rounds

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.loop_closures import Loop
from glace_ros.mapping.pose_refinement.pose_consistency import PoseConsistency, loops_agreeing
from glace_ros.mapping.pose_refinement.pose_refinement import PoseRefinement
from glace_ros.mapping.pose_refinement.refinement_config import PoseRefinementConfig


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


def test_poses_of_amcl_fit_the_images_though_each_is_corrected_a_little():
    """Off by 3 cm and 0.7 degrees, each by itself: neither bent nor adrift, as odometry is."""
    rng = np.random.default_rng(4)
    truth = rounds(64)
    sigmas_3 = [0.03, 0.03, np.radians(0.7)]
    corrected = [pose @ Pose.from_planar(*rng.normal(0.0, sigmas_3)) for pose in truth]
    world = room(1)
    for recorded, fits in ((corrected, True), (drifted(truth, rng, yaw_deg=4.0), False)):
        views = record(world, truth, recorded, rng)
        found, _ = PoseRefinement(views, ["drive"], PoseRefinementConfig()).as_recorded()
        assert found.loops >= 10
        assert found.fits == fits
        assert bool(found.sentence()) != fits


def test_after_refinement_agreeing_loops_are_some_of_all_loops():
    """A view may find another one, and be found by it: both count, or neither."""
    pytest.importorskip("gtsam")
    rng = np.random.default_rng(2)
    truth = rounds(64)
    drive = record(room(1), truth, drifted(truth, rng), rng)
    found = refined(drive)
    assert len(found.findings.loops) < found.consistency.loops  # most are there both ways round
    assert found.consistency.loops_agreeing <= found.consistency.loops
