"""Scene coordinates -> camera pose: LO-RANSAC with a cap on its work (PoseLib, BSD-3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import poselib

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera


@dataclass(frozen=True)
class PoseSolverConfig:
    """How a pose is solved."""

    ransac_px: float = 10.0
    """Inlier threshold in the encoded image."""
    min_iterations: int = 200
    """Of RANSAC."""
    max_iterations: int = 2000
    """Bounds the latency, whether a pose is found or not."""
    refine_px: float = 2.0
    """Scale of the Cauchy loss of the last refinement."""
    seed: int = 0
    """Of RANSAC."""


@dataclass(frozen=True, eq=False)
class PoseSolution:
    """A pose and what agrees with it.

    map_from_camera: from the map's origin, metres.
    inlier_n: bool (n,), which of the points agree.
    residuals_m2: (m, 2) px of the m inliers, projected - observed.
    """

    map_from_camera: Pose
    inlier_n: NDArray[np.bool_]
    residuals_m2: NDArray[np.float64]

    @property
    def inliers(self) -> int:
        """How many points agree."""
        return int(self.inlier_n.sum())


def solve_pose(
    pixels_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
    config: PoseSolverConfig,
) -> PoseSolution | None:
    """The pose from which points of the map are seen at pixels of a pinhole; None where no three
    points agree with a fourth in front of the camera.

    pixels_n2: (n, 2) px.
    points_n3: (n, 3) metres from the map's origin; one that is not finite agrees with no pose.
    camera: the pinhole.
    config: of RANSAC and the last refinement.
    """
    finite_n = np.asarray(np.isfinite(np.hstack([points_n3, pixels_n2])).all(axis=1))
    if not finite_n.all():  # PoseLib finds nothing where one of them is not
        solution = solve_pose(pixels_n2[finite_n], points_n3[finite_n], camera, config)
        if solution is None:
            return None
        of_all_n = np.zeros(len(finite_n), np.bool_)
        of_all_n[finite_n] = solution.inlier_n
        return replace(solution, inlier_n=of_all_n)
    if len(pixels_n2) < 4:
        return None
    found, _ = poselib.estimate_absolute_pose(
        pixels_n2, points_n3, described_to_poselib(camera), *options_of_poselib(config)
    )
    map_from_camera = pose_of_poselib(found)
    if map_from_camera is None:
        return None
    return seen_from(map_from_camera, pixels_n2, points_n3, camera, config.ransac_px)


def solve_near(
    map_from_camera: Pose,
    pixels_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
    config: PoseSolverConfig,
) -> PoseSolution | None:
    """The same from a pose that is right to some pixels, which the last refinement mends alone;
    None where fewer than four points agree.

    map_from_camera: that pose, from the map's origin.
    pixels_n2, points_n3, camera: as of `solve_pose`, all finite.
    config: of the last refinement, and from which a point does not agree.
    """
    if len(pixels_n2) < 4:
        return None
    found, _ = poselib.refine_absolute_pose(
        pixels_n2, points_n3, pose_to_poselib(map_from_camera.inverse()),
        described_to_poselib(camera), options_of_poselib(config)[1],
    )  # fmt: skip
    refined = pose_of_poselib(found)
    if refined is None:
        return None
    return seen_from(refined, pixels_n2, points_n3, camera, config.ransac_px)


def described_to_poselib(camera: Camera) -> dict[str, object]:
    """The pinhole as PoseLib takes it."""
    return {
        "model": "PINHOLE",
        "width": camera.width_px,
        "height": camera.height_px,
        "params": [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px],
    }


def pose_to_poselib(camera_from_frame: Pose) -> poselib.CameraPose:
    """A camera's pose as PoseLib takes it."""
    pose = poselib.CameraPose()
    pose.R, pose.t = camera_from_frame.rotation_33, camera_from_frame.translation_3
    return pose


def options_of_poselib(config: PoseSolverConfig) -> tuple[dict[str, object], dict[str, object]]:
    """Of RANSAC, and of the last refinement."""
    return (
        {
            "max_reproj_error": config.ransac_px,
            "min_iterations": config.min_iterations,
            "max_iterations": config.max_iterations,
            "seed": config.seed,
        },
        {"loss_type": "CAUCHY", "loss_scale": config.refine_px},
    )


def pose_of_poselib(found: poselib.CameraPose) -> Pose | None:
    """map_from_camera of the camera_from_map that PoseLib found; None where it is no pose."""
    matrix_34 = np.column_stack([found.R, found.t])
    if not np.isfinite(matrix_34).all() or abs(np.linalg.det(found.R) - 1.0) > 1e-6:
        return None
    return Pose(np.array(found.R), np.array(found.t)).inverse()


def seen_from(
    map_from_camera: Pose,
    pixels_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
    inlier_px: float,
) -> PoseSolution | None:
    """A given pose as a solution: what of the points agrees with it; None where fewer than four do.

    map_from_camera: from the map's origin.
    inlier_px: from which a point does not agree.
    """
    in_camera_n3 = map_from_camera.inverse().transform(points_n3)
    in_front_n = in_camera_n3[:, 2] > 0.05
    in_camera_n3[~in_front_n, 2] = 1.0
    residuals_n2 = camera.project(in_camera_n3) - pixels_n2
    inlier_n = in_front_n & (np.linalg.norm(residuals_n2, axis=1) < inlier_px)
    if inlier_n.sum() < 4:
        return None
    return PoseSolution(map_from_camera, inlier_n, residuals_n2[inlier_n])
