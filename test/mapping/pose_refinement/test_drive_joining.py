"""Where loops put a stretch of way: where most of them agree, in position and in angle."""

from __future__ import annotations

import numpy as np
import pytest

from glace_ros.errors import MappingError
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.drive_joining import join_stretches
from glace_ros.mapping.pose_refinement.loop_closures import Loop

POSES = [Pose.identity(), Pose.identity()]  # one view in each stretch, at its origin
STRETCHES_V = np.array([0, 1])


def joined(*first_from_second: Pose) -> Pose:
    """Where the second stretch comes to lie by such loops; four have to agree."""
    loops = [Loop(0, 1, pose, np.empty((0, 3)), np.empty((0, 2))) for pose in first_from_second]
    return join_stretches(POSES, STRETCHES_V, loops, ["a", "b"], 4, planar=False)[1]


def turned(angle_rad: float, x_m: float = 2.0) -> Pose:
    """About an axis of no coordinate."""
    axis_3 = np.array([1.0, 2.0, -2.0]) / 3.0
    return Pose.from_rotation_vector([x_m, 0.0, 1.0], angle_rad * axis_3)


def test_the_most_that_agree_in_angle_win_over_more_in_the_same_position():
    scattered = [turned(angle_rad) for angle_rad in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)]
    found = joined(*scattered, *[turned(-1.0 + 0.02 * n) for n in range(4)])
    assert found.angle_rad(turned(-1.0)) < 0.07


@pytest.mark.parametrize("angle_rad", [0.0, 1.0, 3.0])
def test_they_agree_within_0_15_rad_and_half_a_metre(angle_rad):
    others = [turned(angle_rad)] * 3
    assert joined(turned(angle_rad + 0.149), *others).angle_rad(turned(angle_rad)) < 0.15
    assert joined(turned(angle_rad, 2.49), *others).distance_m(turned(angle_rad)) < 0.5
    for beside in (turned(angle_rad + 0.151), turned(angle_rad - 0.151), turned(angle_rad, 2.51)):
        with pytest.raises(MappingError, match="only 3 of its views agree on where it is"):
            joined(beside, *others)
