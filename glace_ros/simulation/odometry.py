"""Wheel odometry: the true motion, step by step, with the errors that wheels make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.pose import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.simulation.drive import Trajectory


@dataclass(frozen=True)
class OdometryNoise:
    """Errors of odometry. Zero everywhere gives the truth.

    distance_scale: relative error of every length (a worn tyre). distance_per_root_m: random error
    after one metre, metres. yaw_per_m_rad: the turn that comes with every metre (unequal tyres).
    yaw_per_root_m_rad, yaw_per_root_rad: random error of the heading after one metre, one radian.
    """

    distance_scale: float = 0.01
    distance_per_root_m: float = 0.006
    yaw_per_m_rad: float = 0.002
    yaw_per_root_m_rad: float = 0.006
    yaw_per_root_rad: float = 0.006


def odometry(
    trajectory: Trajectory, times_s: NDArray[np.float64], noise: OdometryNoise, seed: int
) -> list[Pose]:
    """odom_from_base at increasing times; the odom frame is where the robot stood at the first."""
    rng = np.random.default_rng([seed, 303])
    truth = [trajectory.planar(time_s) for time_s in times_s]
    odom_from_base = Pose.identity()
    poses = [odom_from_base]
    for before_3, after_3 in zip(truth, truth[1:], strict=False):
        moved = Pose.from_planar(*before_3).inverse() @ Pose.from_planar(*after_3)
        distance_m = float(np.hypot(*moved.translation_3[:2]))
        turn_rad = float(after_3[2] - before_3[2])
        error_m, error_m_rad, error_rad = rng.standard_normal(3)
        stretch = 1.0 + noise.distance_scale
        if distance_m > 0:
            stretch += error_m * noise.distance_per_root_m / np.sqrt(distance_m)
        turn_rad += noise.yaw_per_m_rad * distance_m
        turn_rad += error_m_rad * noise.yaw_per_root_m_rad * np.sqrt(distance_m)
        turn_rad += error_rad * noise.yaw_per_root_rad * np.sqrt(abs(after_3[2] - before_3[2]))
        x_m, y_m = stretch * moved.translation_3[:2]
        odom_from_base = odom_from_base @ Pose.from_planar(float(x_m), float(y_m), turn_rad)
        poses.append(odom_from_base)
    return poses
