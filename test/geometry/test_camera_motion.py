"""What rows see that are exposed one after the other, by points whose place is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core_scenes import poses
from support.textured_wall import CAMERA, camera_at, seen_by_rows

from glace_ros.geometry.pose import Pose
from glace_ros.geometry.rolling_shutter import CameraMotion, Shutter

MIDDLE = camera_at(0.2, 0.1, turned_deg=(2.0, 5.0, -3.0))
TURNING_3 = np.array([0.1, 0.4, -0.2])
MOVING_3 = np.array([0.3, -0.1, 0.5])


@pytest.mark.parametrize("readout_s", [0.02, -0.015])
def test_pixels_are_those_of_the_middle_row_and_back(readout_s):
    rng = np.random.default_rng(0)
    middle_n2 = rng.uniform((20, 10), (300, 230), (50, 2))
    depth_n = rng.uniform(0.8, 4.0, 50)
    points_n3 = MIDDLE.transform(CAMERA.bearings(middle_n2) * depth_n[:, None])
    depth_n = MIDDLE.inverse().transform(points_n3)[:, 2]
    motion = CameraMotion(TURNING_3, MOVING_3)
    exposed_n2 = seen_by_rows(MIDDLE, points_n3, motion, readout_s)
    assert np.linalg.norm(exposed_n2 - middle_n2, axis=1).max() > 1.0
    shutter = Shutter(motion, readout_s)
    assert np.abs(shutter.at_middle(exposed_n2, depth_n, CAMERA) - middle_n2).max() < 0.02
    assert np.abs(shutter.as_exposed(middle_n2, depth_n, CAMERA) - exposed_n2).max() < 0.05


@given(poses(10.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_the_motion_is_about_the_cameras_own_axes(start, turn_rad, metres):
    motion = Pose.from_rotation_vector((metres, 0.0, 0.0), (0.0, turn_rad, 0.0))
    found = CameraMotion.between(start, start @ motion, 0.1)
    assert found.turning_3 == pytest.approx([0.0, 10 * turn_rad, 0.0], abs=1e-6)
    assert found.moving_3 == pytest.approx([10 * metres, 0.0, 0.0], abs=1e-6)


def driving(begin_ns, end_ns, jump_m=0.0):
    """Half a metre a second along x, known in between; after 1 s it jumps."""

    def pose(at_ns):
        if not begin_ns <= at_ns <= end_ns:
            return None
        return Pose(np.eye(3), np.array([0.5e-9 * at_ns + jump_m * (at_ns > 10**9), 0.0, 0.0]))

    return pose


@pytest.mark.parametrize("end_ms", [2000, 1025, 1000])
def test_what_comes_after_an_exposure_need_not_be_known_yet(end_ms):
    motion = CameraMotion.at(10**9, driving(0, end_ms * 10**6))
    assert motion.moving_3 == pytest.approx([0.5, 0.0, 0.0])


def test_a_motion_that_is_not_known_is_none():
    assert CameraMotion.at(10**9, driving(0, 999_000_000)) is None
    assert CameraMotion.at(10**9, driving(985_000_000, 2 * 10**9)) is None
    assert CameraMotion.at(10**9, driving(0, 2 * 10**9, jump_m=3.0)) is None


def test_of_a_camera_whose_motion_nobody_knows_little_is_believed():
    motion = CameraMotion(TURNING_3, MOVING_3)
    known, unknown = Shutter.of(motion, 0.02), Shutter.of(None, 0.02)
    assert known.motion is motion
    assert not np.concatenate(unknown.motion).any()
    assert unknown.turning_sigma > 3 * known.turning_sigma
    assert unknown.moving_sigma > 3 * known.moving_sigma
    assert Shutter.of(motion, 0.0) is None
