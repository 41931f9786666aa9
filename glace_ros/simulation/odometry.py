"""Wheel odometry: the true motion, step by step, with the errors that wheels make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.simulation.drive import Trajectory


@dataclass(frozen=True)
class OdometryNoise:
    """Errors of odometry. Zero everywhere gives the truth."""

    distance_scale: float = 0.01
    """Relative error of every length (a worn tyre)."""
    distance_per_root_m: float = 0.006
    """Random error after one metre, metres."""
    yaw_per_m_rad: float = 0.002
    """The turn that comes with every metre (unequal tyres)."""
    yaw_per_root_m_rad: float = 0.006
    """Random error of the heading after one metre."""
    yaw_per_root_rad: float = 0.006
    """Random error of the heading after a turn of one radian."""


def odometry(
    trajectory: Trajectory, times_s: NDArray[np.float64], noise: OdometryNoise, seed: int
) -> list[Pose]:
    """odom_from_base at increasing times; the odom frame is where the robot stood at the first."""
    rng = np.random.default_rng([seed, 303])
    truth_n3 = trajectory.planar(times_s)
    moved_m2 = np.diff(truth_n3[:, :2], axis=0)
    turned_m = np.diff(truth_n3[:, 2])
    distance_m = np.linalg.norm(moved_m2, axis=1)
    along_error_m, turn_error_m, spin_error_m = rng.standard_normal((3, len(distance_m)))
    root_m = np.sqrt(distance_m)
    stretched_m = (1.0 + noise.distance_scale) * distance_m
    stretched_m = stretched_m + along_error_m * noise.distance_per_root_m * root_m
    turned_m = (
        turned_m
        + noise.yaw_per_m_rad * distance_m
        + turn_error_m * noise.yaw_per_root_m_rad * root_m
        + spin_error_m * noise.yaw_per_root_rad * np.sqrt(np.abs(turned_m))
    )
    # in the robot's frame at the step's start, whose heading as odometry has it may be another
    ahead_m = np.arctan2(moved_m2[:, 1], moved_m2[:, 0]) - truth_n3[:-1, 2]
    yaw_n = np.concatenate([[0.0], np.cumsum(turned_m)])
    direction_m = yaw_n[:-1] + ahead_m
    steps_m2 = stretched_m[:, None] * np.stack([np.cos(direction_m), np.sin(direction_m)], axis=1)
    xy_n2 = np.concatenate([np.zeros((1, 2)), np.cumsum(steps_m2, axis=0)])
    return [Pose.from_planar(x, y, yaw) for (x, y), yaw in zip(xy_n2, yaw_n, strict=True)]
