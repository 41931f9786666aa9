"""Covariance of a solved pose: from the inliers' Jacobian and residuals.

Convention (that of geometry_msgs/PoseWithCovariance): x y z in metres and small rotations about
the *map's*
fixed x y z axes in radians, of a stated point: p_true = p + dp, R_true = exp(dr) R.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.camera import Camera
    from glace_ros.pose import Pose


def camera_covariance(
    points_m3: NDArray[np.float64],
    residuals_m2: NDArray[np.float64],
    camera: Camera,
    map_from_camera: Pose,
    refine_px: float,
) -> NDArray[np.float64] | None:
    """(6, 6) of the camera from its m inlier points in the map and their residuals in px.

    Cauchy weights as in the refinement, and the sandwich H^-1 (sum w^2 J^T r r^T J) H^-1 (Huber
    1967), which does
    not take the residuals for equally large everywhere. None where the points do not fix the pose.
    """
    jacobian_m26 = projection_jacobian(points_m3, camera, map_from_camera)
    weight_m = 1.0 / (1.0 + (residuals_m2**2).sum(axis=1) / refine_px**2)
    # the loss bends as w - 2 w^2 r r^T / c^2, over all directions of r: as w^2. With w alone, the
    # matrix of the reweighted least squares, errors of 1 px would look 1.3 times too certain.
    hessian_66 = np.einsum("m,mki,mkj->ij", weight_m**2, jacobian_m26, jacobian_m26)
    score_m6 = weight_m[:, None] * np.einsum("mki,mk->mi", jacobian_m26, residuals_m2)
    degrees = max(1, 2 * len(points_m3) - 6)
    scatter_66 = score_m6.T @ score_m6 * (2 * len(points_m3) / degrees)
    if np.linalg.cond(hessian_66) > 1e14:
        return None
    inverse_66 = np.linalg.inv(hessian_66)
    covariance_66 = inverse_66 @ scatter_66 @ inverse_66
    covariance_66 = 0.5 * (covariance_66 + covariance_66.T)
    return covariance_66 if np.isfinite(covariance_66).all() else None


def projection_jacobian(
    points_m3: NDArray[np.float64], camera: Camera, map_from_camera: Pose
) -> NDArray[np.float64]:
    """d pixel / d (dp, dr) as (m, 2, 6), in the convention above."""
    camera_from_map = map_from_camera.inverse()
    in_camera_m3 = camera_from_map.transform(points_m3)
    x_m, y_m, z_m = in_camera_m3.T
    by_point_m23 = np.zeros((len(points_m3), 2, 3))
    by_point_m23[:, 0, 0] = camera.fx_px / z_m
    by_point_m23[:, 0, 2] = -camera.fx_px * x_m / z_m**2
    by_point_m23[:, 1, 1] = camera.fy_px / z_m
    by_point_m23[:, 1, 2] = -camera.fy_px * y_m / z_m**2
    # q = R^T exp(-dr) (X - p - dp): dq/ddp = -R^T, dq/ddr = R^T [X - p]_x
    by_position_m23 = -by_point_m23 @ camera_from_map.rotation_33
    lever_m33 = skew(points_m3 - map_from_camera.translation_3)
    return np.concatenate([by_position_m23, -by_position_m23 @ lever_m33], axis=2)


def base_covariance(
    covariance_66: NDArray[np.float64], map_from_camera: Pose, map_from_base: Pose
) -> NDArray[np.float64]:
    """The camera's covariance moved to the base's origin, rigidly attached to the camera."""
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
    """scale times the covariance, with no smaller standard deviation of a position, of an angle.

    Adding to the diagonal alone keeps the matrix positive definite.
    """
    covariance_66 = scale * 0.5 * (covariance_66 + covariance_66.T)
    floor_6 = np.repeat([min_sigma_m, min_sigma_rad], 3) ** 2
    missing_6 = np.maximum(0.0, floor_6 - covariance_66.diagonal())
    return np.asarray(covariance_66 + np.diag(missing_6))
