"""Odometry between views: what is known of its errors, and about which axes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.drifting_drive import BASE_FROM_CAMERA

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.odometry_edges import (
    adjoint_66,
    is_planar,
    learned_noise_2,
    odometry_edges,
)
from glace_ros.mapping.pose_refinement.refinement_config import OdometryNoiseModel

NOISE = OdometryNoiseModel()
three = st.tuples(*[st.floats(-3, 3)] * 3).map(np.array)
any_pose = st.builds(Pose.from_rotation_vector, three, three)


def small(motion_6: np.ndarray) -> Pose:
    return Pose.from_rotation_vector(motion_6[3:], motion_6[:3])


def cameras(*bases: Pose) -> list[Pose]:
    return [base @ BASE_FROM_CAMERA for base in bases]


def edges_of(poses: list[Pose], stretches=None, noise=NOISE):
    stretches_v = np.zeros(len(poses), np.int64) if stretches is None else np.array(stretches)
    return odometry_edges(poses, stretches_v, [BASE_FROM_CAMERA] * len(poses), noise)


@settings(deadline=None)
@given(any_pose, three, three)
def test_the_adjoint_takes_a_small_motion_to_other_axes(target_from_source, turn_3, move_3):
    motion_6 = 1e-6 * np.concatenate([turn_3, move_3])
    moved = target_from_source @ small(motion_6) @ target_from_source.inverse()
    expected_6 = np.concatenate([moved.rotation_vector_3, moved.translation_3])
    assert np.abs(adjoint_66(target_from_source) @ motion_6 - expected_6).max() < 1e-10


@settings(deadline=None)
@given(any_pose, any_pose)
def test_adjoints_chain_as_poses_do(a_from_b, b_from_c):
    chained_66 = adjoint_66(a_from_b) @ adjoint_66(b_from_c)
    assert np.abs(chained_66 - adjoint_66(a_from_b @ b_from_c)).max() < 1e-9


def test_the_same_motion_has_no_errors():
    a, b = cameras(Pose.from_planar(1, 2, 0.3), Pose.from_planar(1.4, 2.1, 0.5))
    (edge,) = edges_of([a, b])
    assert np.abs(edge.errors_6(a.inverse() @ b)).max() < 1e-9


def test_errors_are_those_of_the_robot_in_standard_deviations():
    """Not of the camera, which looks along other axes and stands beside the robot's middle."""
    before, after = Pose.from_planar(1, 2, 0.3), Pose.from_planar(1.4, 2.1, 0.5)
    (edge,) = edges_of(cameras(before, after))
    off = after @ small(np.array([0.0, 0.0, 0.004, 0.002, 0.0, 0.0]))
    first, second = cameras(before, off)
    errors_6 = edge.errors_6(first.inverse() @ second)
    expected_6 = np.array([0, 0, 0.004, 0.002, 0, 0]) / edge.sigmas_6
    assert np.abs(errors_6 - expected_6).max() < 1e-3
    motion = edge.first_from_second.inverse() @ first.inverse() @ second
    of_camera_6 = np.concatenate([motion.rotation_vector_3, motion.translation_3])
    assert np.abs(edge.whitening_66 @ of_camera_6 - expected_6).max() < 0.01
    assert np.abs(edge.scaled(2.0, 4.0).errors_6(first.inverse() @ second) * [2, 2, 2, 4, 4, 4]
                  - errors_6).max() < 1e-9  # fmt: skip


def test_errors_grow_with_the_root_of_the_way():
    steps = [0.0, 1.0, 5.0, 5.0]
    line = cameras(*[Pose.from_planar(x, 0, 0) for x in steps])
    one_m, four_m, none = edges_of(line)
    assert (one_m.way_m, four_m.way_m, none.way_m) == pytest.approx((1.0, 4.0, 0.0))
    assert one_m.sigmas_6 == pytest.approx(np.repeat([0.0175, 0.02], 3), rel=0.01)
    assert four_m.sigmas_6 == pytest.approx(2 * one_m.sigmas_6, rel=0.01)
    assert none.sigmas_6 == pytest.approx(np.repeat([0.0005, 0.001], 3))


def test_a_turn_on_the_spot_is_a_way_too():
    (edge,) = edges_of(cameras(Pose.from_planar(0, 0, 0), Pose.from_planar(0, 0, 0.8)))
    assert edge.way_m == pytest.approx(0.4)


def test_no_edge_leads_from_one_stretch_to_another():
    line = cameras(*[Pose.from_planar(x, 0, 0) for x in range(5)])
    edges = edges_of(line, [0, 0, 1, 1, 1])
    assert [(edge.first, edge.second) for edge in edges] == [(0, 1), (2, 3), (3, 4)]


@pytest.mark.parametrize("times", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("redundancy", [0.6, 0.9])
def test_noise_is_learned_from_what_an_adjustment_changed(times, redundancy):
    """Only a part of odometry's errors comes out in the result, images' own noise with it."""
    rng = np.random.default_rng(2)
    line = cameras(*[Pose.from_planar(0.2 * x, 0, 0) for x in range(600)])
    edges, poses = edges_of(line), line[:1]
    for edge in edges:
        error_6 = times * rng.normal(size=6) * redundancy
        error_6 += np.sqrt(redundancy * (1 - redundancy)) * rng.normal(size=6)  # by images
        base = poses[-1] @ edge.first_from_second @ BASE_FROM_CAMERA.inverse()
        poses.append(base @ small(error_6 * edge.sigmas_6) @ BASE_FROM_CAMERA)
    ones = np.ones(2)
    learned_2 = learned_noise_2(edges, poses, ones, redundancy * ones, 1.0, NOISE)
    assert learned_2 == pytest.approx([times, times], rel=0.15)
    twice_2 = learned_noise_2(edges, poses, 2 * ones, redundancy * ones, 1.0, NOISE)
    assert twice_2 == pytest.approx(2 * learned_2)


def test_noise_is_learned_in_steps_and_within_bounds():
    line = cameras(*[Pose.from_planar(0.2 * x, 0, 0) for x in range(9)])
    edges, ones = edges_of(line), np.ones(2)
    assert learned_noise_2(edges, line, ones, ones, 1.0, NOISE) == pytest.approx(ones / 3)
    far = [pose @ Pose.from_planar(9.0 * n, 0, 0) for n, pose in enumerate(line)]
    assert learned_noise_2(edges, far, ones, ones, 1.0, NOISE)[1] == pytest.approx(3)
    tenfold = learned_noise_2(edges, far, 9 * ones, ones, 1.0, NOISE)
    assert tenfold[1] == NOISE.most_scale
    assert (learned_noise_2(edges, line, 0.03 * ones, ones, 1.0, NOISE) == NOISE.least_scale).all()
    assert (learned_noise_2([], line, ones, ones, 1.0, NOISE) == ones).all()


def test_planar_is_what_changes_neither_height_nor_tilt():
    flat = [Pose.from_planar(x, 0, x) for x in range(4)]
    assert is_planar(flat)
    tilted = Pose.from_rotation_vector([0, 0, 0.7], [0.02, 0, 0])
    assert is_planar([tilted @ Pose.from_planar(0, 0, 0)] * 3)  # a mount, not a slope
    higher = Pose.from_rotation_vector([0, 0, 0.01], [0, 0, 0])
    assert not is_planar([*flat, higher @ flat[1]])
    assert not is_planar([*flat, Pose.from_rotation_vector([0, 0, 0], [0, 0.01, 0])])
