"""An odometry and what its fixes are sure of."""

from __future__ import annotations

import numpy as np

from glace_ros.geometry.pose import Pose

SURE_66 = np.diag([0.01, 0.01, 0.01, 0.001, 0.001, 0.001]) ** 2 * 4
NS = 1_000_000_000

MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)


def odometry_at(stamp_ns: int) -> Pose:
    """odom_from_base of a robot on a circle of 2 m, 0.5 rad/s."""
    angle = 0.5 * stamp_ns / NS
    return Pose.from_planar(2.0 * np.cos(angle), 2.0 * np.sin(angle), angle + np.pi / 2)
