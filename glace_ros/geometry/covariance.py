"""Covariances of poses: of the base from that of the camera, of a planar robot, by a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose


class CovarianceModel(NamedTuple):
    """What the poses of a map err by, given what the solver says of one.

    A solver takes the residuals for independent, and so believes that a pose of many points has
    next to no error. The mapping poses have one of their own, which no number of points lessens.

    scale: of the solver's covariance.
    sigma_m, sigma_rad: standard deviations of what comes on top, of each axis.
    """

    scale: float = 1.0
    sigma_m: float = 0.0
    sigma_rad: float = 0.0

    def of(self, covariance_66: NDArray[np.float64]) -> NDArray[np.float64]:
        """(6, 6) covariance of the pose whose covariance is this by the solver, or (n, 6, 6)."""
        on_top_6 = np.repeat([self.sigma_m, self.sigma_rad], 3) ** 2
        return np.asarray(self.scale * covariance_66 + np.diag(on_top_6))


def base_covariance(
    covariance_66: NDArray[np.float64], map_from_camera: Pose, map_from_base: Pose
) -> NDArray[np.float64]:
    """(6, 6) covariance of the base's pose, from that of the camera rigidly attached to it.

    covariance_66: of the camera's pose; x, y, z, roll, pitch, yaw; metres and radians.
    map_from_camera, map_from_base: poses at the same time.
    """
    # base = camera + lever, and the lever turns with dr: d base = dp + dr x lever = dp -
    # [lever]_x dr
    lever_3 = map_from_base.translation_3 - map_from_camera.translation_3
    moved_66 = np.eye(6)
    moved_66[:3, 3:] = -skew(lever_3[None])[0]
    return moved_66 @ covariance_66 @ moved_66.T


def skew(vectors_n3: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3, 3) with skew(a) @ b = a x b."""
    matrices_n33 = np.zeros((len(vectors_n3), 3, 3))
    x_n, y_n, z_n = vectors_n3.T
    matrices_n33[:, 0, 1], matrices_n33[:, 0, 2], matrices_n33[:, 1, 2] = -z_n, y_n, -x_n
    return matrices_n33 - matrices_n33.transpose(0, 2, 1)


def is_covariance(covariance_66: NDArray[np.float64]) -> bool:
    """Whether it is (6, 6), finite, symmetric and positive definite."""
    if covariance_66.shape != (6, 6) or not np.isfinite(covariance_66).all():
        return False
    if not np.allclose(covariance_66, covariance_66.T, rtol=1e-6, atol=1e-12):
        return False
    return bool(np.linalg.eigvalsh(covariance_66).min() > 0.0)


def planar_covariance(
    covariance_66: NDArray[np.float64], map_from_base: Pose
) -> NDArray[np.float64]:
    """Covariance of `map_from_base.planar()`: of x, y and yaw; z, roll and pitch are given, so 0.

    A small rotation w turns the base's x axis c by w x c, hence its heading by
    w_z - c_z (c_x w_x + c_y w_y) / (c_x^2 + c_y^2). The floors make the result definite.
    """
    c_x, c_y, c_z = map_from_base.rotation_33[:, 0]
    jacobian_66 = np.zeros((6, 6))
    jacobian_66[0, 0] = jacobian_66[1, 1] = jacobian_66[5, 5] = 1.0
    jacobian_66[5, 3:5] = -c_z / (c_x**2 + c_y**2) * np.array([c_x, c_y])
    planar_66: NDArray[np.float64] = jacobian_66 @ covariance_66 @ jacobian_66.T
    return planar_66


def scaled_and_floored(
    covariance_66: NDArray[np.float64], scale: float, min_sigma_m: float, min_sigma_rad: float
) -> NDArray[np.float64]:
    """(6, 6) scale times the covariance, with no standard deviation below the floor.

    Adding to the diagonal alone keeps the matrix positive definite.
    covariance_66: x, y, z, roll, pitch, yaw; metres and radians.
    scale: of the covariance, not of the deviations.
    min_sigma_m: floor of each axis of the position.
    min_sigma_rad: floor of each axis of the rotation.
    """
    covariance_66 = scale * 0.5 * (covariance_66 + covariance_66.T)
    floor_6 = np.repeat([min_sigma_m, min_sigma_rad], 3) ** 2
    missing_6 = np.maximum(0.0, floor_6 - covariance_66.diagonal())
    return np.asarray(covariance_66 + np.diag(missing_6))


def pose_error(estimate: Pose, truth: Pose) -> NDArray[np.float64]:
    """(6,) position and small rotation about the map's axes that lead from the estimate to the
    truth.
    """
    turn = Rotation.from_matrix(truth.rotation_33 @ estimate.rotation_33.T)
    return np.concatenate([truth.translation_3 - estimate.translation_3, turn.as_rotvec()])
