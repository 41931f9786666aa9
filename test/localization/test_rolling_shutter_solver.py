"""The motion of a camera beside its pose, by points whose place is known."""

from __future__ import annotations

import numpy as np
import pytest
from support.textured_wall import CAMERA, camera_at, seen_by_rows

from glace_ros.geometry.covariance import pose_error
from glace_ros.geometry.pose import Pose
from glace_ros.geometry.rolling_shutter import CameraMotion, Shutter
from glace_ros.localization.pose_covariance import camera_covariance
from glace_ros.localization.pose_solver import PoseSolverConfig
from glace_ros.localization.rolling_shutter_solver import solve_moving

TRUTH = camera_at(0.2, 0.1, turned_deg=(2.0, 5.0, -3.0))
NEAR = TRUTH @ Pose.from_rotation_vector((0.01, -0.015, 0.01), (0.002, -0.003, 0.001))
MOTION = CameraMotion(np.array([0.1, 0.4, -0.2]), np.array([0.3, -0.1, 0.5]))
OFF = CameraMotion(MOTION.turning_3 + [0.15, -0.12, 0.1], MOTION.moving_3 + [-0.05, 0.05, 0.1])
READOUT_S = 0.02
SIGMA_PX = 0.4
CONFIG = PoseSolverConfig(ransac_px=2.5, refine_px=1.0)


def seen(count=150, rows=(10, 230)):
    """(pixels as exposed (n, 2), points (n, 3)), the middle row's between these."""
    rng = np.random.default_rng(0)
    middle_n2 = rng.uniform((20, rows[0]), (300, rows[1]), (count, 2))
    depth_n = rng.uniform(1.0, 5.0, count)
    points_n3 = TRUTH.transform(CAMERA.bearings(middle_n2) * depth_n[:, None])
    return seen_by_rows(TRUTH, points_n3, MOTION, READOUT_S), points_n3


def solved(pixels_n2, points_n3, shutter):
    return solve_moving(NEAR, pixels_n2, points_n3, CAMERA, shutter, CONFIG, SIGMA_PX)


@pytest.mark.parametrize(
    ("said", "position_m"), [(MOTION, 0.0005), (OFF, 0.001), (None, 0.0015)],
    ids=["right", "off", "unknown"],
)  # fmt: skip
def test_pose_and_motion_are_found_whatever_odometry_says(said, position_m):
    found = solved(*seen(), Shutter.of(said, READOUT_S))
    pose = found.solution.map_from_camera
    assert found.solution.inliers == 150
    assert pose.distance_m(TRUTH) < position_m
    assert pose.angle_rad(TRUTH) < 0.0005
    # turning across the image, which moves pixels most, is told best
    assert np.abs(found.shutter.motion.turning_3 - MOTION.turning_3)[:2].max() < 0.05


def test_odometry_that_is_taken_for_certain_is_kept():
    shutter = Shutter(OFF, READOUT_S, 1e-4, 1e-4)
    found = solved(*seen(), shutter)
    assert np.abs(np.subtract(found.shutter.motion, OFF)).max() < 1e-3
    assert found.solution.map_from_camera.distance_m(TRUTH) > 0.0015


def test_odometry_counts_by_its_standard_deviation():
    """Where pixels and odometry are about as sure, the motion lies between what they say."""
    found = solved(*seen(40), Shutter(OFF, READOUT_S, 0.045, 0.045))
    off_3 = OFF.turning_3 - MOTION.turning_3
    ratio = (found.shutter.motion.turning_3 - MOTION.turning_3) @ off_3 / (off_3 @ off_3)
    assert 0.3 < ratio < 0.7


def test_points_in_the_same_rows_leave_the_pose_as_uncertain_as_odometry():
    pixels_n2, points_n3 = seen(100, rows=(12, 14))
    shutter = Shutter(MOTION, READOUT_S, 1.0, 0.01)
    found = solved(pixels_n2, points_n3, shutter)
    covariance_66 = camera_covariance(
        points_n3, found.solution.residuals_m2, CAMERA, found.solution.map_from_camera,
        CONFIG.refine_px, found.nuisance,
    )  # fmt: skip
    late_s = shutter.late(pixels_n2, CAMERA).mean()
    sigma_3 = np.sqrt(covariance_66.diagonal()[3:])
    assert sigma_3 == pytest.approx(np.full(3, abs(late_s)), rel=0.25)  # times 1 rad/s


def test_points_that_show_something_else_do_not_move_the_pose():
    pixels_n2, points_n3 = seen()
    wrong = np.arange(0, 150, 4)
    pixels_n2[wrong] += np.random.default_rng(1).uniform(4, 8, (len(wrong), 2))
    found = solved(pixels_n2, points_n3, Shutter.of(OFF, READOUT_S))
    assert not found.solution.inlier_n[wrong].any()
    assert found.solution.inliers == 150 - len(wrong)
    assert found.solution.map_from_camera.distance_m(TRUTH) < 0.002


def test_too_few_points_give_no_pose():
    pixels_n2, points_n3 = seen(3)
    assert solved(pixels_n2, points_n3, Shutter.of(OFF, READOUT_S)) is None
    behind_n3 = 2 * TRUTH.translation_3 - seen()[1]
    assert solved(seen()[0], behind_n3, Shutter.of(OFF, READOUT_S)) is None


def mean_nees(*, with_nuisance: bool, trials=60) -> float:
    """Of images with noise in the pixels and in what odometry says, as the sigmas have them."""
    rng, nees = np.random.default_rng(2), []
    pixels_n2, points_n3 = seen(200)
    sigmas = 0.4, 0.3
    for _ in range(trials):
        turning_3, moving_3 = (sigma * rng.normal(size=3) for sigma in sigmas)
        said = CameraMotion(MOTION.turning_3 + turning_3, MOTION.moving_3 + moving_3)
        noisy_n2 = pixels_n2 + SIGMA_PX * rng.normal(size=pixels_n2.shape)
        found = solved(noisy_n2, points_n3, Shutter(said, READOUT_S, *sigmas))
        solution = found.solution
        covariance_66 = camera_covariance(
            points_n3[solution.inlier_n], solution.residuals_m2, CAMERA, solution.map_from_camera,
            CONFIG.refine_px, found.nuisance if with_nuisance else None,
        )  # fmt: skip
        error_6 = pose_error(solution.map_from_camera, TRUTH)
        nees.append(error_6 @ np.linalg.solve(covariance_66, error_6) / 6)
    return float(np.mean(nees))


def test_the_covariance_knows_that_the_motion_is_not_known():
    nees = mean_nees(with_nuisance=True)
    assert 0.8 < nees < 1.3
    assert mean_nees(with_nuisance=False) > 1.25 * nees
