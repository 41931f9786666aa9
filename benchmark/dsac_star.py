"""Scene coordinates -> camera pose as DSAC* describes it (Brachmann and Rother, TPAMI 2021), the
solver that the paper uses: the yardstick of `benchmark.pose_solvers`. Written from the description;
other than in the published programs, the tries for a hypothesis are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera

_UNDISTORTED = np.zeros(4)


@dataclass(frozen=True)
class DsacStarConfig:
    """Settings of the solver."""

    hypotheses: int = 64
    """The paper's 64."""
    inlier_px: float = 10.0
    """The paper's 10 px."""
    sharpness: float = 5.0
    """Of the soft count's sigmoid, over inlier_px; 5 is 0.5 a pixel, as in DSAC++ (CVPR 2018)."""
    tries: int = 32
    """Minimal sets sampled for a hypothesis until one agrees with its fourth point; then there is
    one hypothesis less. With 64 hypotheses 32 are as many sets as PoseSolverConfig's
    max_iterations."""
    rounds: int = 100
    """Of refinement, at most."""
    seed: int = 0
    """Of the minimal sets."""


def dsac_star(
    pixels_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
    config: DsacStarConfig,
) -> Pose | None:
    """map_from_camera by the hypothesis with the largest soft inlier count, refined on its inliers.

    None where no hypothesis was found.
    pixels_n2: of a pinhole.
    points_n3: in the map, metres.
    camera: without distortion.
    """
    if len(pixels_n2) < 4 or not (np.isfinite(points_n3).all() and np.isfinite(pixels_n2).all()):
        return None
    rng = np.random.default_rng(config.seed)
    sampled = [
        _hypothesis(pixels_n2, points_n3, camera, config, rng) for _ in range(config.hypotheses)
    ]
    hypotheses = [camera_from_map for camera_from_map in sampled if camera_from_map]
    if not hypotheses:
        return None
    soft = [
        _soft_inliers(_errors_px(camera_from_map, pixels_n2, points_n3, camera), config)
        for camera_from_map in hypotheses
    ]
    best = hypotheses[int(np.argmax(soft))]
    return _refined(best, pixels_n2, points_n3, camera, config).inverse()


def _hypothesis(
    pixels_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
    config: DsacStarConfig,
    rng: np.random.Generator,
) -> Pose | None:
    """camera_from_map of a minimal set that agrees with all its four points; None after `tries`."""
    for _ in range(config.tries):
        set_4 = rng.choice(len(pixels_n2), 4, replace=False)
        pixels_42, points_43 = pixels_n2[set_4], points_n3[set_4]
        found, rotation_3, translation_3 = cv2.solvePnP(
            points_43, pixels_42, camera.matrix_33, _UNDISTORTED, flags=cv2.SOLVEPNP_AP3P
        )
        if not found:
            continue
        camera_from_map = _pose(rotation_3, translation_3)
        # a NaN is no agreement either
        if (_errors_px(camera_from_map, pixels_42, points_43, camera) < config.inlier_px).all():
            return camera_from_map
    return None


def _errors_px(
    camera_from_map: Pose,
    pixels_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
) -> NDArray[np.float64]:
    """(n,) reprojection errors; infinite behind the camera."""
    in_camera_n3 = camera_from_map.transform(points_n3)
    in_front_n = in_camera_n3[:, 2] > 0.05
    in_camera_n3[~in_front_n, 2] = 1.0
    errors_n = np.linalg.norm(camera.project(in_camera_n3) - pixels_n2, axis=1)
    return np.where(in_front_n, errors_n, np.inf)


def _soft_inliers(errors_n: NDArray[np.float64], config: DsacStarConfig) -> float:
    """The sum of sigmoids: each near 1 well within the threshold, near 0 well beyond it."""
    # at 100 thresholds the sigmoid is 0, and exp of more would overflow
    beyond_n = np.minimum(errors_n / config.inlier_px - 1.0, 100.0)
    return float((1.0 / (1.0 + np.exp(config.sharpness * beyond_n))).sum())


def _refined(
    camera_from_map: Pose,
    pixels_n2: NDArray[np.float64],
    points_n3: NDArray[np.float64],
    camera: Camera,
    config: DsacStarConfig,
) -> Pose:
    """PnP on the inliers, again and again while their number grows."""
    inlier_n = _errors_px(camera_from_map, pixels_n2, points_n3, camera) < config.inlier_px
    for _ in range(config.rounds):
        rotation_3, translation_3 = cv2.solvePnPRefineLM(
            points_n3[inlier_n], pixels_n2[inlier_n], camera.matrix_33, _UNDISTORTED,
            cv2.Rodrigues(camera_from_map.rotation_33)[0],
            camera_from_map.translation_3[:, None].copy(),
        )  # fmt: skip
        better = _pose(rotation_3, translation_3)
        now_n = _errors_px(better, pixels_n2, points_n3, camera) < config.inlier_px
        if now_n.sum() < inlier_n.sum():
            break
        grown = now_n.sum() > inlier_n.sum()
        camera_from_map, inlier_n = better, now_n
        if not grown:
            break
    return camera_from_map


def _pose(rotation_3: Any, translation_3: Any) -> Pose:
    return Pose(
        np.asarray(cv2.Rodrigues(rotation_3)[0], dtype=np.float64),
        np.asarray(translation_3, dtype=np.float64).reshape(3),
    )
