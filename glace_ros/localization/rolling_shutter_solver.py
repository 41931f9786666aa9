"""Rolling shutter solver: a pose, and how the camera moved while the image's rows were exposed.

Odometry says the turning to about 0.1 rad/s, as poses 40 ms apart and right to 0.1 deg do: in 19 ms
that moves the last row by a pixel against the first, more than aligned templates are off by. The
image knows better (docs/experiments/2026-11-30-turning.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from glace_ros.geometry.camera import projection_by_point
from glace_ros.geometry.covariance import skew
from glace_ros.geometry.pose import Pose
from glace_ros.geometry.rolling_shutter import CameraMotion
from glace_ros.localization.pose_covariance import Nuisance
from glace_ros.localization.pose_solver import PoseSolution, seen_from, solve_near

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.rolling_shutter import Shutter
    from glace_ros.localization.pose_solver import PoseSolverConfig

_ITERATIONS = 10
_STILL = 1e-4
"""Metres and radians, by less than which a pose that has arrived moves."""
_LEAST_DEPTH_M = 0.05


class MovingSolution(NamedTuple):
    """A pose of pixels whose rows were exposed one after the other.

    solution: as when the middle row was exposed.
    shutter: with the motion that the pixels and odometry say.
    nuisance: that motion, as the covariance of the pose takes it; of the m inliers.
    """

    solution: PoseSolution
    shutter: Shutter
    nuisance: Nuisance


def solve_moving(
    map_from_camera: Pose,
    exposed_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
    shutter: Shutter,
    config: PoseSolverConfig,
    pixel_sigma: float,
) -> MovingSolution | None:
    """The most likely pose and motion: Gauss-Newton with a Cauchy loss; None where fewer than four
    points agree.

    map_from_camera: right to some pixels, from the map's origin.
    exposed_n2: pixels (n, 2) as the image shows them.
    points_n3: metres from the map's origin, finite.
    camera: the pinhole of the image.
    shutter: of the image, as odometry says.
    config: as of `solve_near`.
    pixel_sigma: px, standard deviation of what agrees: what the shutter's are worth beside it.
    """
    depth_n = map_from_camera.inverse().transform(points_n3)[:, 2]
    near = solve_near(
        map_from_camera, shutter.at_middle(exposed_n2, depth_n, camera), points_n3, camera, config
    )
    if near is None:
        return None
    pose, odometry_6 = near.map_from_camera, np.concatenate(shutter.motion)
    motion_6 = odometry_6.copy()
    sigma_6 = np.repeat([shutter.turning_sigma, shutter.moving_sigma], 3)
    certainty_6 = (pixel_sigma / sigma_6) ** 2
    focal_2, late_n = np.array([camera.fx_px, camera.fy_px]), shutter.late(exposed_n2, camera)
    for _ in range(_ITERATIONS):
        in_camera_n3 = (points_n3 - pose.translation_3) @ pose.rotation_33
        in_front_n = in_camera_n3[:, 2] > _LEAST_DEPTH_M
        in_camera_n3[~in_front_n, 2] = 1.0
        by_motion_n26, rows_n3 = _by_motion(in_camera_n3, late_n, motion_6, focal_2)
        residuals_n2 = camera.project(rows_n3) - exposed_n2
        # a camera that turns and moves before the exposure: the same, but not by row
        by_all_n212 = np.concatenate([by_motion_n26, late_n[:, None, None] * by_motion_n26], axis=2)
        weight_n = in_front_n / (1.0 + (residuals_n2**2).sum(axis=1) / config.refine_px**2)
        by_all_k12 = by_all_n212.reshape(-1, 12)
        weighted_k12 = np.repeat(weight_n, 2)[:, None] * by_all_k12
        normal, slope = weighted_k12.T @ by_all_k12, weighted_k12.T @ residuals_n2.ravel()
        normal[6:, 6:] += np.diag(certainty_6)
        slope[6:] += certainty_6 * (motion_6 - odometry_6)
        try:
            step = -np.linalg.solve(normal, slope)
        except np.linalg.LinAlgError:
            return None
        pose = pose @ Pose(Rotation.from_rotvec(step[:3]).as_matrix(), step[3:6])
        motion_6 += step[6:]
        if np.abs(step[:6]).max() < _STILL:
            break
    shutter = shutter._replace(motion=CameraMotion(motion_6[:3], motion_6[3:]))
    in_camera_n3 = (points_n3 - pose.translation_3) @ pose.rotation_33
    at_middle_n2 = shutter.at_middle(exposed_n2, in_camera_n3[:, 2], camera)
    solution = seen_from(pose, at_middle_n2, points_n3, camera, config.ransac_px)
    if solution is None:
        return None
    inlier_n = solution.inlier_n
    by_motion_m26, _ = _by_motion(in_camera_n3[inlier_n], late_n[inlier_n], motion_6, focal_2)
    by_motion_m26 *= late_n[inlier_n, None, None]
    return MovingSolution(solution, shutter, Nuisance(by_motion_m26, certainty_6, pixel_sigma))


def _by_motion(
    points_n3: NDArray[np.float64],
    late_n: NDArray[np.float64],
    motion_6: NDArray[np.float64],
    focal_2: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels by turning (rad) and moving (m) of the camera about its own axes (n, 2, 6), and the
    points (n, 3) in the camera where their rows are exposed.

    points_n3: in the camera where the middle row is exposed.
    late_n: by how much later, s.
    motion_6: of the camera, rad/s and m/s.
    focal_2: fx and fy.
    """
    # a camera that turns by w and moves by v sees p at p - w x p - v
    moved_n3 = points_n3 @ skew(motion_6[None, :3])[0].T + motion_6[3:]
    rows_n3 = points_n3 - late_n[:, None] * moved_n3
    by_point_n23 = projection_by_point(rows_n3, focal_2)
    return np.concatenate([by_point_n23 @ skew(points_n3), -by_point_n23], axis=2), rows_n3
