"""Covariance of a solved pose: from the inliers' Jacobian and residuals, and from how much it moves
with the choice of the points.

Convention (that of geometry_msgs/PoseWithCovariance): x y z in metres and small rotations about
the *map's* fixed x y z axes in radians, of a stated point: p_true = p + dp, R_true = exp(dr) R.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.camera import projection_by_point
from glace_ros.geometry.covariance import pose_error, skew
from glace_ros.localization.pose_solver import solve_near

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_solver import PoseSolverConfig


class Nuisance(NamedTuple):
    """What was estimated beside a pose, and is known before to some standard deviation.

    jacobian_m2k: d (projected - observed) / d of these k quantities, of the m inliers.
    certainty_k: (pixel_sigma / standard deviation known before) ** 2.
    pixel_sigma: px, of what agrees, as the estimate took it.
    """

    jacobian_m2k: NDArray[np.float64]
    certainty_k: NDArray[np.float64]
    pixel_sigma: float


def camera_covariance(
    points_m3: NDArray[np.float64],
    residuals_m2: NDArray[np.float64],
    camera: Camera,
    map_from_camera: Pose,
    refine_px: float,
    nuisance: Nuisance | None = None,
) -> NDArray[np.float64] | None:
    """(6, 6) covariance of a camera's pose, in metres and radians; None where the points do not fix
    the pose.

    Cauchy weights as in the refinement, and the sandwich H^-1 (sum w^2 J^T r r^T J) H^-1 (Huber
    1967), which does not take the residuals for equally large everywhere.

    points_m3: (m, 3) metres, the inliers in the frame of the pose.
    residuals_m2: (m, 2) px, projected - observed.
    camera: the pinhole in whose pixels the residuals are.
    map_from_camera: the solved pose.
    refine_px: px, scale of the Cauchy loss.
    nuisance: what else was estimated of the same points.
    """
    if len(points_m3) < 3:
        return None
    jacobian_m2k = projection_jacobian(points_m3, camera, map_from_camera)
    if nuisance:
        jacobian_m2k = np.concatenate([jacobian_m2k, nuisance.jacobian_m2k], axis=2)
    weight_m = 1.0 / (1.0 + (residuals_m2**2).sum(axis=1) / refine_px**2)
    # the loss bends as w - 2 w^2 r r^T / c^2, over all directions of r: as w^2. With w alone, the
    # matrix of the reweighted least squares, errors of 1 px would look 1.3 times too certain.
    hessian_kk = np.einsum("m,mki,mkj->ij", weight_m**2, jacobian_m2k, jacobian_m2k)
    score_mk = weight_m[:, None] * np.einsum("mki,mk->mi", jacobian_m2k, residuals_m2)
    degrees = max(1, 2 * len(points_m3) - 6)
    scatter_kk = score_mk.T @ score_mk * (2 * len(points_m3) / degrees)
    if nuisance:
        # what is known before pulls by certainty * error, whose variance is this
        own = np.arange(6, len(hessian_kk))
        hessian_kk[own, own] += nuisance.certainty_k
        scatter_kk[own, own] += nuisance.certainty_k * nuisance.pixel_sigma**2
    if np.linalg.cond(hessian_kk) > 1e14:
        return None
    inverse_kk = np.linalg.inv(hessian_kk)
    covariance_66 = (inverse_kk @ scatter_kk @ inverse_kk)[:6, :6]
    covariance_66 = 0.5 * (covariance_66 + covariance_66.T)
    return covariance_66 if np.isfinite(covariance_66).all() else None


def half_sample_covariance(
    map_from_camera: Pose,
    pixels_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
    solver: PoseSolverConfig,
    halves: int,
) -> NDArray[np.float64]:
    """(6, 6) covariance of a pose by the poses that random halves of its points give, in metres
    and radians: the delete-half jackknife (Shao and Wu, "A general theory for jackknife variance
    estimation", Annals of Statistics 17, 1989). Zero where no half gives a pose.

    It knows what `camera_covariance` cannot, which takes the inliers for given: where half of the
    matches disagree, others of them would have made another pose.

    map_from_camera: solved from all of the points.
    pixels_n2, points_n3, camera, solver: as of `solve_near`; outliers among them.
    halves: how many; from six on they span all directions.
    """
    rng = np.random.default_rng(solver.seed)
    errors: list[NDArray[np.float64]] = []
    for _ in range(halves):
        half_m = rng.permutation(len(pixels_n2))[: len(pixels_n2) // 2]
        solution = solve_near(map_from_camera, pixels_n2[half_m], points_n3[half_m], camera, solver)
        if solution is not None:
            errors.append(pose_error(map_from_camera, solution.map_from_camera))
    errors_h6 = np.array(errors).reshape(-1, 6)
    return np.asarray(errors_h6.T @ errors_h6 / max(1, len(errors)))


def projection_jacobian(
    points_m3: NDArray[np.float64], camera: Camera, map_from_camera: Pose
) -> NDArray[np.float64]:
    """d pixel / d (dp, dr) as (m, 2, 6), px by metre and px by radian, in the convention above.

    points_m3: (m, 3) metres, in the frame of the pose, in front of the camera.
    camera: a pinhole.
    map_from_camera: the pose.
    """
    camera_from_map = map_from_camera.inverse()
    in_camera_m3 = camera_from_map.transform(points_m3)
    by_point_m23 = projection_by_point(in_camera_m3, np.array([camera.fx_px, camera.fy_px]))
    # q = R^T exp(-dr) (X - p - dp): dq/ddp = -R^T, dq/ddr = R^T [X - p]_x
    by_position_m23 = -by_point_m23 @ camera_from_map.rotation_33
    lever_m33 = skew(points_m3 - map_from_camera.translation_3)
    return np.concatenate([by_position_m23, -by_position_m23 @ lever_m33], axis=2)
