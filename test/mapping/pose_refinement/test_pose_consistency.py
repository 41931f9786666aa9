"""What images say of poses, and what that says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from support.drifting_drive import (
    HEIGHT,
    INTRINSICS_4,
    drifted,
    project,
    record,
    refined,
    room,
    rounds,
)

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement import loop_closures, pose_refinement
from glace_ros.mapping.pose_refinement.loop_closures import Loop
from glace_ros.mapping.pose_refinement.pose_consistency import PoseConsistency, loops_agreeing
from glace_ros.mapping.pose_refinement.pose_refinement import PoseRefinement
from glace_ros.mapping.pose_refinement.refinement_config import PoseRefinementConfig
from glace_ros.mapping.pose_refinement.refinement_view import RefinementView


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


def loop_and_views(first_from_second: Pose, points_m3: np.ndarray, truth: Pose) -> tuple:
    """A loop that says so, of points of the first camera that the second sees from `truth`."""
    view = RefinementView(
        torch.zeros(0, 64), np.zeros((0, 2)), INTRINSICS_4, float(HEIGHT), Pose.identity(),
        Pose.identity(), 0, None,
    )  # fmt: skip
    pixels_m2 = project(truth.inverse().transform(points_m3))
    return [Loop(0, 1, first_from_second, points_m3, pixels_m2)], [view, view]


FRONT = Pose(np.eye(3), np.array([0.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("off_m", "off_deg", "agrees"), [(0.0, 0.0, 1), (0.2, 0.0, 1), (0.3, 0.0, 0), (0.0, 11.0, 0)]
)
def test_a_loop_agrees_with_poses_that_are_nearly_where_it_says(off_m, off_deg, agrees):
    """Its matches, near and all around, are as the loop says."""
    points_m3 = np.random.default_rng(0).uniform([-1.0, -1.0, 1.5], [1.0, 1.0, 3.0], (60, 3))
    says = FRONT @ Pose(Rotation.from_euler("y", off_deg, degrees=True).as_matrix(), [off_m, 0, 0])
    loops, views = loop_and_views(says, points_m3, says)
    assert loops_agreeing(loops, views, [Pose.identity(), FRONT]) == agrees


def test_a_loop_that_its_matches_leave_open_agrees_where_they_do():
    """A picture on a wall, seen from 3 m: a step aside and a turn to it look nearly the same."""
    rng = np.random.default_rng(1)
    points_m3 = np.array([0.0, 0.0, 3.0]) + rng.uniform(-0.3, 0.3, (40, 3)) * [1.0, 1.0, 0.03]
    aside = Pose(Rotation.from_euler("y", -np.arctan2(0.5, 3.0)).as_matrix(), [0.5, 0.0, 0.0])
    loops, views = loop_and_views(aside, points_m3, Pose.identity())
    # what it stands on: the loop's own pose explains its matches as well
    assert np.abs(project(aside.inverse().transform(points_m3)) - loops[0].pixels_m2).max() < 8.0
    assert loops_agreeing(loops, views, [Pose.identity(), Pose.identity()]) == 1
    turned = Pose(Rotation.from_euler("y", 3.0, degrees=True).as_matrix(), [0.0, 0.0, 0.0])
    assert loops_agreeing(loops, views, [Pose.identity(), turned]) == 0
    behind = Pose(np.eye(3), np.array([0.0, 0.0, 6.0]))  # where the points would be mirrored
    assert loops_agreeing(loops, views, [Pose.identity(), behind]) == 0
    on_axis = loop_and_views(Pose.identity(), points_m3 * [0.1, 0.1, 1.0], Pose.identity())
    assert loops_agreeing(*on_axis, [Pose.identity(), behind]) == 0


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


def test_some_loops_suffice_and_are_of_the_whole_way(monkeypatch):
    views = record(room(1), truth := rounds(64), truth, np.random.default_rng(3))
    monkeypatch.setattr(loop_closures, "_VIEWS_OF_PASS", 16)

    def found(enough: int | None) -> list[tuple[int, int]]:
        ends = []

        def find_loops(*words):
            loops = loop_closures.find_loops(*words)
            ends.extend((loop.first, loop.second) for loop in loops)
            return loops

        monkeypatch.setattr(pose_refinement, "_CHECKED_LOOPS", enough)
        monkeypatch.setattr(pose_refinement, "find_loops", find_loops)
        check = PoseRefinement(views, ["drive"], PoseRefinementConfig()).as_recorded()
        assert check.consistency.loops_agreeing == check.consistency.loops > 0
        return ends

    every, some = found(None), found(1)
    assert found(10**6) == every
    assert set(some) < set(every)
    assert {first % 4 for first, _ in some} == {0}
    assert np.ptp([first for first, _ in some]) > 40
    # what odometry does not allow does not count: the views between are looked from as well
    allows = PoseRefinement._odometry_allows
    monkeypatch.setattr(
        PoseRefinement,
        "_odometry_allows",
        lambda self, loop, poses: loop.first % 4 != 0 and allows(self, loop, poses),
    )
    assert {first % 4 for first, _ in found(1)} == {1}


def test_after_refinement_agreeing_loops_are_some_of_all_loops():
    """A view may find another one, and be found by it: both count, or neither."""
    pytest.importorskip("gtsam")
    rng = np.random.default_rng(2)
    truth = rounds(64)
    drive = record(room(1), truth, drifted(truth, rng), rng)
    found = refined(drive)
    consistency = found.check.consistency
    assert len(found.findings.loops) < consistency.loops  # most are there both ways round
    assert consistency.loops_agreeing <= consistency.loops
