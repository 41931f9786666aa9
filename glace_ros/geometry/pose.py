"""Rigid transforms in float64. Named `target_from_source`, so that names chain under `@`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_UNIT = 0.01
"""How far the length of a quaternion that somebody wrote may be off 1 by its digits."""


@dataclass(frozen=True, eq=False)
class Pose:
    """A rigid transform `target_from_source`: p_target = rotation_33 @ p_source + translation_3.

    rotation_33: float64 (3, 3), a rotation matrix.
    translation_3: float64 (3,), metres.
    """

    rotation_33: NDArray[np.float64]
    translation_3: NDArray[np.float64]

    @staticmethod
    def identity() -> Pose:
        """The transform between a frame and itself. Never a stand-in for one that is missing."""
        return Pose(np.eye(3), np.zeros(3))

    @staticmethod
    def from_quaternion(translation_3: ArrayLike, quaternion_xyzw: ArrayLike) -> Pose:
        """From a position and a quaternion.

        translation_3: metres.
        quaternion_xyzw: of any non-zero norm.
        Raises ValueError where a number is not finite or the quaternion is (nearly) zero.
        """
        translation_3 = np.array(translation_3, dtype=np.float64).reshape(3)
        quaternion_xyzw = np.array(quaternion_xyzw, dtype=np.float64).reshape(4)
        if not (np.isfinite(translation_3).all() and np.isfinite(quaternion_xyzw).all()):
            raise ValueError("the pose has a number that is not finite")
        largest = np.abs(quaternion_xyzw).max()
        if np.linalg.norm(quaternion_xyzw / max(1.0, largest)) < 0.1:
            raise ValueError("the pose has a zero quaternion")
        quaternion_xyzw /= largest  # the squares of very large numbers are infinite
        return Pose(Rotation.from_quat(quaternion_xyzw).as_matrix(), translation_3)

    @staticmethod
    def from_rotation_vector(translation_3: ArrayLike, rotation_vector_3: ArrayLike) -> Pose:
        """From a position and a rotation vector.

        translation_3: metres.
        rotation_vector_3: axis times angle in radians.
        """
        return Pose(
            Rotation.from_rotvec(np.asarray(rotation_vector_3, dtype=np.float64)).as_matrix(),
            np.array(translation_3, dtype=np.float64).reshape(3),
        )

    @staticmethod
    def from_matrix(matrix_44: ArrayLike) -> Pose:
        """From a (4, 4) or (3, 4) matrix. Raises ValueError where it is no rigid transform."""
        matrix_44 = np.asarray(matrix_44, dtype=np.float64)
        rotation_33 = matrix_44[:3, :3]
        if not np.isfinite(matrix_44).all():
            raise ValueError("the pose has a number that is not finite")
        if np.linalg.det(rotation_33) < 0.5 or not np.allclose(
            rotation_33 @ rotation_33.T, np.eye(3), atol=1e-3
        ):
            raise ValueError("the pose's 3x3 part is not a rotation")
        # the nearest rotation, so that errors of a text file do not add up in products
        left_33, _, right_33 = np.linalg.svd(rotation_33)
        return Pose(left_33 @ right_33, matrix_44[:3, 3].copy())

    @staticmethod
    def of_seven(numbers_7: Sequence[float]) -> Pose:
        """Of what `as_seven` gave. Raises ValueError as `from_quaternion` does."""
        return Pose.from_quaternion(numbers_7[:3], numbers_7[3:])

    def as_seven(self) -> tuple[float, ...]:
        """x y z in metres, qx qy qz qw."""
        return (*map(float, self.translation_3), *map(float, self.quaternion_xyzw))

    @staticmethod
    def from_planar(x_m: float, y_m: float, yaw_rad: float) -> Pose:
        """A pose in the x-y plane (REP-103: x forward, y left, z up, yaw counter-clockwise)."""
        return Pose.from_rotation_vector([x_m, y_m, 0.0], [0.0, 0.0, yaw_rad])

    def __matmul__(self, other: Pose) -> Pose:
        """a_from_b @ b_from_c = a_from_c."""
        return Pose(
            self.rotation_33 @ other.rotation_33,
            self.rotation_33 @ other.translation_3 + self.translation_3,
        )

    def inverse(self) -> Pose:
        """source_from_target."""
        rotation_33 = self.rotation_33.T
        return Pose(rotation_33, -rotation_33 @ self.translation_3)

    def transform(self, points_n3: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (n, 3) in the source frame, given in the target frame."""
        return points_n3 @ self.rotation_33.T + self.translation_3

    def planar(self) -> Pose:
        """The pose's x, y and yaw alone (`two_d_mode`)."""
        return Pose.from_planar(self.translation_3[0], self.translation_3[1], self.yaw_rad)

    @property
    def matrix_44(self) -> NDArray[np.float64]:
        """The homogeneous (4, 4) matrix."""
        matrix_44 = np.eye(4)
        matrix_44[:3, :3] = self.rotation_33
        matrix_44[:3, 3] = self.translation_3
        return matrix_44

    @property
    def quaternion_xyzw(self) -> NDArray[np.float64]:
        """The unit quaternion (4,) with w >= 0."""
        return np.asarray(Rotation.from_matrix(self.rotation_33).as_quat(canonical=True))

    @property
    def rotation_vector_3(self) -> NDArray[np.float64]:
        """Axis times angle (3,), radians."""
        return np.asarray(Rotation.from_matrix(self.rotation_33).as_rotvec())

    @property
    def yaw_rad(self) -> float:
        """Heading of the x axis in the target's x-y plane."""
        return float(np.arctan2(self.rotation_33[1, 0], self.rotation_33[0, 0]))

    def distance_m(self, other: Pose) -> float:
        """Distance between the two origins, metres."""
        return float(np.linalg.norm(self.translation_3 - other.translation_3))

    def angle_rad(self, other: Pose) -> float:
        """Angle of the rotation between the two, radians in [0, pi]."""
        relative_33 = self.rotation_33.T @ other.rotation_33
        return float(np.linalg.norm(Rotation.from_matrix(relative_33).as_rotvec()))


def pose_of_text(text: str) -> Pose:
    """Of "x y z qx qy qz qw": metres, and a quaternion. Raises ValueError, with half a sentence,
    where that is something else.
    """
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 7:
        raise ValueError(f"'{text}' must be seven numbers: x y z qx qy qz qw")
    if not abs(math.sqrt(sum(number**2 for number in numbers[3:])) - 1.0) < _UNIT:
        raise ValueError(f"'{text}' must end in a quaternion qx qy qz qw of length 1")
    return Pose.of_seven(numbers)


def interpolate(before: Pose, after: Pose, fraction: float) -> Pose:
    """The pose at `fraction` in [0, 1] of the way: linear in translation, slerp in rotation."""
    rotations = Rotation.from_matrix(np.stack([before.rotation_33, after.rotation_33]))
    return Pose(
        np.asarray(Slerp([0.0, 1.0], rotations)(fraction).as_matrix()),
        (1.0 - fraction) * before.translation_3 + fraction * after.translation_3,
    )


def stack(poses: Sequence[Pose]) -> NDArray[np.float64]:
    """The poses as one float64 array (n, 3, 4)."""
    return np.stack([pose.matrix_44[:3] for pose in poses])
