"""Wheel odometry: the true motion, step by step, with the errors that wheels make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    turn_scale: float = 0.0
    """Relative error of every turn (a track width that is not as configured)."""


def odometry(
    trajectory: Trajectory, times_s: NDArray[np.float64], noise: OdometryNoise, seed: int
) -> list[Pose]:
    """odom_from_base at increasing times; the odom frame is where the robot stood at the first."""
    truth_n3 = trajectory.planar(times_s)
    moved_m2 = np.diff(truth_n3[:, :2], axis=0)
    distance_m = np.linalg.norm(moved_m2, axis=1)
    stretched_m, turned_m = _with_errors(distance_m, np.diff(truth_n3[:, 2]), noise, seed)
    # in the robot's frame at the step's start, whose heading as odometry has it may be another
    ahead_m = np.arctan2(moved_m2[:, 1], moved_m2[:, 0]) - truth_n3[:-1, 2]
    yaw_n = np.concatenate([[0.0], np.cumsum(turned_m)])
    direction_m = yaw_n[:-1] + ahead_m
    steps_m2 = stretched_m[:, None] * np.stack([np.cos(direction_m), np.sin(direction_m)], axis=1)
    xy_n2 = np.concatenate([np.zeros((1, 2)), np.cumsum(steps_m2, axis=0)])
    return [Pose.from_planar(x, y, yaw) for (x, y), yaw in zip(xy_n2, yaw_n, strict=True)]


def drifted(world_from_base: Sequence[Pose], noise: OdometryNoise, seed: int) -> list[Pose]:
    """The poses, in order of time, as wheels would have them: z and tilt are the truth's, and so
    is the first pose.

    world_from_base: the truth, with z up; may be a drive that was recorded.
    """
    xyz_n3 = np.stack([pose.translation_3 for pose in world_from_base])
    rotations = Rotation.from_matrix(np.stack([pose.rotation_33 for pose in world_from_base]))
    moved_m3 = np.diff(xyz_n3, axis=0)
    turned_m = (rotations[1:] * rotations[:-1].inv()).as_rotvec()[:, 2]
    distance_m = np.linalg.norm(moved_m3[:, :2], axis=1)
    stretched_m, wrong_m = _with_errors(distance_m, turned_m, noise, seed)
    off_n = np.concatenate([[0.0], np.cumsum(wrong_m - turned_m)])
    world_from_wrong = Rotation.from_euler("z", off_n[:, None])
    stretch_m = np.divide(
        stretched_m, distance_m, out=np.ones_like(distance_m), where=distance_m > 0
    )
    steps_m3 = world_from_wrong[:-1].apply(
        moved_m3 * np.stack([stretch_m, stretch_m, np.ones_like(stretch_m)], axis=1)
    )
    wrong_xyz_n3 = xyz_n3[0] + np.concatenate([np.zeros((1, 3)), np.cumsum(steps_m3, axis=0)])
    wrong_n33 = (world_from_wrong * rotations).as_matrix()
    return [
        Pose(turn_33, place_3) for turn_33, place_3 in zip(wrong_n33, wrong_xyz_n3, strict=True)
    ]


def _with_errors(
    distance_m: NDArray[np.float64], turned_m: NDArray[np.float64], noise: OdometryNoise, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths (m,) and turns (m,) of steps as wheels measure them."""
    rng = np.random.default_rng([seed, 303])
    along_error_m, turn_error_m, spin_error_m = rng.standard_normal((3, len(distance_m)))
    root_m = np.sqrt(distance_m)
    stretched_m = (1.0 + noise.distance_scale) * distance_m
    stretched_m = stretched_m + along_error_m * noise.distance_per_root_m * root_m
    wrong_m = (
        (1.0 + noise.turn_scale) * turned_m
        + noise.yaw_per_m_rad * distance_m
        + turn_error_m * noise.yaw_per_root_m_rad * root_m
        + spin_error_m * noise.yaw_per_root_rad * np.sqrt(np.abs(turned_m))
    )
    return stretched_m, wrong_m
