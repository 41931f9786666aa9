"""Truth and map in two frames of one name: the offset is found, nothing else taken for one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glace_ros.evaluation.frame_offset import frame_offset
from glace_ros.evaluation.localized_frame import LocalizedFrame
from glace_ros.geometry.pose import Pose


def drive(
    truth_from_map: Pose, seed: int, gross_errors: int = 0, count: int = 30, way_m: float = 5.0
) -> list[LocalizedFrame]:
    """Poses a few centimetres off their truth, which is in another frame; some anywhere."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        map_from_base = Pose.from_planar(way_m * index / count, rng.normal(), rng.uniform(-3, 3))
        off = Pose.from_rotation_vector(rng.normal(0, 0.02, 3), rng.normal(0, 0.01, 3))
        estimate = map_from_base @ off
        if index < gross_errors:
            estimate = Pose.from_planar(*rng.uniform(-30, 30, 2), rng.uniform(-3, 3))
        frames.append(
            LocalizedFrame(index, truth_from_map @ map_from_base, estimate, None, 9, 9, 0.1)
        )
    return frames


@given(
    st.tuples(st.floats(2, 100), st.floats(-100, 100), st.floats(-3, 3)),
    st.floats(-3.1, 3.1),
    st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_the_offset_is_found_among_poses_that_are_astray(moved_3, yaw, seed):
    truth_from_map = Pose.from_rotation_vector(moved_3, [0.0, 0.0, yaw])
    found = frame_offset(drive(truth_from_map, seed, gross_errors=9))
    assert found is not None
    assert found.ratio == pytest.approx(0.7, abs=0.07)
    assert found.truth_from_map.angle_rad(truth_from_map) < np.radians(2.0)
    assert found.truth_from_map.distance_m(truth_from_map) < 0.2


def test_it_is_told_in_metres_and_degrees():
    said = str(frame_offset(drive(Pose.from_planar(3.0, -2.0, np.radians(40.0)), 0)))
    assert said.startswith("100% of the poses")
    assert "turned by 40 deg and moved by (3.0, -2.0, " in said
    assert "--pose-source" in said


def test_poses_that_are_right_or_astray_or_refused_have_none():
    moved = Pose.from_planar(3.0, -2.0, 0.7)
    assert frame_offset(drive(Pose.identity(), 0, gross_errors=12)) is None
    assert frame_offset(drive(moved, 0, gross_errors=20)) is None
    assert frame_offset([replace(frame, estimate=None) for frame in drive(moved, 0)]) is None
    assert frame_offset([replace(frame, truth=None) for frame in drive(moved, 0)]) is None
    assert frame_offset([]) is None


def test_a_robot_that_stands_still_has_none():
    moved = Pose.from_planar(3.0, -2.0, 0.7)
    standing = [drive(moved, 0)[0]] * 30
    assert frame_offset(standing) is None
    assert frame_offset(drive(moved, 0, count=4)) is None
