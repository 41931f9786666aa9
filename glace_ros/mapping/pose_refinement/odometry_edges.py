"""Odometry as a constraint: the motion between neighbouring views, and how far it may be off.

Wheels' odometry is precise over a metre and drifts over many: its errors are of the motion between
two views. How large they are is seen from the recording itself (`noise_scales`): what odometry says
of a motion, against what odometry and images together say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.refinement_config import OdometryNoiseModel

_PLANAR_M = 0.002
_PLANAR_RAD = 0.001
"""Recorded heights and tilts that change by less than these are of odometry that knows none."""

_LEAST_REDUNDANCY = 0.01
_MOST_STEP = 3.0
"""By which the noise is believed to be larger or smaller, from one adjustment to the next."""


@dataclass(frozen=True, eq=False)
class OdometryEdge:
    """What odometry says of the motion from one view to the next of its stretch."""

    first: int
    second: int
    first_from_second: Pose
    """Of the cameras."""
    way_m: float
    """Driven between them, turns counted as `turn_m`."""
    sigmas_6: NDArray[np.float64]
    """Standard deviations: rotation (rad) and position (m) of the base, about its own axes."""
    base_from_camera: Pose

    @property
    def whitening_66(self) -> NDArray[np.float64]:
        """Times the error of the motion (rotation, translation; in the second camera's axes) it has
        unit variances.
        """
        return adjoint_66(self.base_from_camera) / self.sigmas_6[:, None]

    def errors_6(self, first_from_second: Pose) -> NDArray[np.float64]:
        """How many standard deviations a motion differs by: rotation, then position, of the base.
        To first order, as edges are short.
        """
        error = self.base_from_camera @ self.first_from_second.inverse() @ first_from_second
        error = error @ self.base_from_camera.inverse()
        error_6 = np.concatenate([error.rotation_vector_3, error.translation_3])
        return np.asarray(error_6 / self.sigmas_6)

    def scaled(self, rotation: float, position: float) -> OdometryEdge:
        """With other standard deviations."""
        sigmas_6 = self.sigmas_6 * np.repeat([rotation, position], 3)
        return OdometryEdge(
            self.first, self.second, self.first_from_second, self.way_m, sigmas_6,
            self.base_from_camera,
        )  # fmt: skip


def odometry_edges(
    map_from_camera: Sequence[Pose],
    stretches_v: NDArray[np.int64],
    base_from_camera: Sequence[Pose],
    noise: OdometryNoiseModel,
) -> list[OdometryEdge]:
    """Between neighbouring views of each stretch.

    map_from_camera: as recorded.
    stretches_v: which stretch of way each view is of.
    base_from_camera: the camera on the robot, of each view.
    """
    edges = []
    for first in range(len(map_from_camera) - 1):
        second = first + 1
        if stretches_v[first] != stretches_v[second]:
            continue
        first_from_second = map_from_camera[first].inverse() @ map_from_camera[second]
        mount = base_from_camera[second]
        motion = mount @ first_from_second @ mount.inverse()
        turn_rad = float(np.linalg.norm(motion.rotation_vector_3))
        way_m = float(np.linalg.norm(motion.translation_3)) + noise.turn_m * turn_rad
        rotation_rad = np.hypot(noise.rotation_rad * np.sqrt(way_m), noise.least_rotation_rad)
        position_m = np.hypot(noise.translation_m * np.sqrt(way_m), noise.least_translation_m)
        sigmas_6 = np.repeat([rotation_rad, position_m], 3)
        edges.append(OdometryEdge(first, second, first_from_second, way_m, sigmas_6, mount))
    return edges


def way_until_v(edges: Sequence[OdometryEdge], views: int) -> NDArray[np.float64]:
    """Metres that the camera went until each view (v,); from stretch to stretch none are added."""
    steps_v = np.zeros(views)
    for edge in edges:
        steps_v[edge.second] = np.linalg.norm(edge.first_from_second.translation_3)
    return np.cumsum(steps_v)


def learned_noise_2(
    edges: Sequence[OdometryEdge],
    map_from_camera: Sequence[Pose],
    scales_2: NDArray[np.float64],
    redundancy_2: NDArray[np.float64],
    image_noise: float,
    noise: OdometryNoiseModel,
) -> NDArray[np.float64]:
    """How large odometry's errors are, as multiples of the noise model's, for rotations and
    positions: what an adjustment changed in its motions, by the part that it could change. (Koch,
    Parameter Estimation and Hypothesis Testing in Linear Models, 3.6: variance components; here of
    images whose noise was assumed too large, and so explains less of the changes.)

    edges: as the adjustment had them.
    map_from_camera: what it gave.
    scales_2: multiples that the edges have.
    redundancy_2: as `OdometryShown` has it.
    image_noise: that of keypoints by that which the adjustment assumed, as a ratio.
    """
    if not edges:
        return scales_2
    errors_n6 = np.array([
        edge.errors_6(map_from_camera[edge.first].inverse() @ map_from_camera[edge.second])
        for edge in edges
    ])  # fmt: skip
    squares_2 = np.array([(errors_n6[:, :3] ** 2).mean(), (errors_n6[:, 3:] ** 2).mean()])
    r_2 = np.clip(redundancy_2, _LEAST_REDUNDANCY, 1.0)
    of_images_2 = image_noise**2 * (1.0 - r_2) / r_2
    factor_2 = np.sqrt(np.maximum(squares_2 / r_2**2 - of_images_2, 0.0))
    factor_2 = np.clip(factor_2, 1.0 / _MOST_STEP, _MOST_STEP)
    return np.asarray(np.clip(scales_2 * factor_2, noise.least_scale, noise.most_scale))


def is_planar(map_from_base: Sequence[Pose]) -> bool:
    """Whether a drive's odometry knows no height and no tilt: that of wheels on a floor."""
    heights_n = np.array([pose.translation_3[2] for pose in map_from_base])
    up_n3 = np.stack([pose.rotation_33[2] for pose in map_from_base])
    tilts_n2 = up_n3[:, :2]
    return bool(np.ptp(heights_n) < _PLANAR_M and np.ptp(tilts_n2, axis=0).max() < _PLANAR_RAD)


def adjoint_66(target_from_source: Pose) -> NDArray[np.float64]:
    """Takes a small motion (rotation, translation) about the source's axes to the target's
    (Barfoot, State Estimation for Robotics, 7.1.4, in the order rotation, translation).
    """
    rotation_33, (x, y, z) = target_from_source.rotation_33, target_from_source.translation_3
    cross_33 = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    adjoint_66 = np.zeros((6, 6))
    adjoint_66[:3, :3] = adjoint_66[3:, 3:] = rotation_33
    adjoint_66[3:, :3] = cross_33 @ rotation_33
    return adjoint_66
