"""A belief's covariance is that of its errors, and a distance in sigmas is as rare as it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from glace_ros.fusion.odometry_fusion_config import OdometryNoise
from glace_ros.fusion.pose_belief import PoseBelief
from glace_ros.geometry.pose import Pose

EXACT = OdometryNoise(0.0, 0.0, 0.0, 0.0, shared=0.0)
ODOM_THEN = Pose.from_planar(40.0, -7.0, 2.0)
WAY = Pose.from_rotation_vector([3.0, 1.0, 0.2], [0.1, -0.05, 0.8])


def moved(pose: Pose, error_6: np.ndarray) -> Pose:
    """The pose with an error: position, and a rotation about the map's axes."""
    turn_33 = Rotation.from_rotvec(error_6[3:]).as_matrix()
    return Pose(turn_33 @ pose.rotation_33, pose.translation_3 + error_6[:3])


def covariance(seed: int, sigma: float = 0.02) -> np.ndarray:
    factor_66 = sigma * np.random.default_rng(seed).normal(size=(6, 6))
    return factor_66 @ factor_66.T + 1e-6 * np.eye(6)


def test_odometry_carries_the_errors_of_position_and_heading_along():
    """Against the spread of many starts that went the same way."""
    rng = np.random.default_rng(0)
    truth, covariance_66 = Pose.from_planar(5.0, 6.0, 1.0), covariance(1)
    belief = PoseBelief(truth, covariance_66, ODOM_THEN).carried_to(ODOM_THEN @ WAY, EXACT)
    assert belief.map_from_base.distance_m(truth @ WAY) < 1e-9
    errors_n6 = rng.multivariate_normal(np.zeros(6), covariance_66, 20_000)
    ends_n6 = np.stack([belief.error_of(moved(truth, error_6) @ WAY) for error_6 in errors_n6])
    spread_66 = np.cov(ends_n6.T)
    scale_66 = np.sqrt(np.outer(spread_66.diagonal(), spread_66.diagonal()))
    assert np.abs(belief.covariance_66 - spread_66).max() < 0.05 * scale_66.max()
    assert np.abs((belief.covariance_66 - spread_66) / scale_66).max() < 0.05


def test_a_longer_way_is_less_sure_and_standing_still_changes_nothing():
    noise = OdometryNoise()
    start = PoseBelief(Pose.identity(), covariance(2), ODOM_THEN)
    still = start.carried_to(ODOM_THEN, noise)
    np.testing.assert_allclose(still.covariance_66, start.covariance_66)
    ways = [Pose.from_planar(x_m, 0.0, 0.0) for x_m in (1.0, 4.0, 20.0)]
    sigmas = [
        np.sqrt(start.carried_to(ODOM_THEN @ way, noise).covariance_66.diagonal()) for way in ways
    ]
    assert (np.diff(np.stack(sigmas), axis=0) > 0).all()
    turned = start.carried_to(ODOM_THEN @ Pose.from_planar(0, 0, np.pi / 2), noise)
    assert turned.covariance_66[5, 5] == pytest.approx(
        start.covariance_66[5, 5] + (noise.rad_per_rad * np.pi / 2) ** 2
    )


def test_fixes_of_a_standing_robot_average_out():
    """Independent errors, and a filter that is told so: as sure as the mean of all, and as good."""
    rng = np.random.default_rng(3)
    truth, covariance_66 = Pose.from_planar(5.0, 6.0, 1.0), covariance(4)
    scores = []
    for _ in range(60):
        belief = None
        for error_6 in rng.multivariate_normal(np.zeros(6), covariance_66, 25):
            fix = moved(truth, error_6)
            belief = (
                belief.corrected_by(fix, covariance_66, EXACT)
                if belief
                else PoseBelief(fix, covariance_66, None)
            )
        np.testing.assert_allclose(belief.covariance_66, covariance_66 / 25, rtol=1e-6)
        error_6 = belief.error_of(truth)
        scores.append(error_6 @ np.linalg.solve(belief.covariance_66, error_6) / 6)
    assert 0.75 < np.mean(scores) < 1.25


def test_a_belief_goes_on_moving_however_many_fixes_there_were():
    covariance_66 = covariance(4)
    belief = PoseBelief(Pose.identity(), covariance_66, None)
    for _ in range(300):
        belief = belief.corrected_by(Pose.identity(), covariance_66, OdometryNoise())
    share_6 = belief.covariance_66.diagonal() / covariance_66.diagonal()
    assert ((share_6 > 0.15) & (share_6 < 0.25)).all()
    there = Pose.from_planar(1.0, 0.0, 0.0)
    for _ in range(15):
        belief = belief.corrected_by(there, covariance_66, OdometryNoise())
    assert belief.map_from_base.distance_m(there) < 0.05


@pytest.mark.parametrize("freedoms", [3, 6])
def test_sigmas_are_as_rare_as_those_of_one_normal_number(freedoms):
    rng = np.random.default_rng(5)
    numbers = [0, 1, 5] if freedoms == 3 else list(range(6))
    ours_66, theirs_66 = covariance(6), covariance(7)
    if freedoms == 3:
        for each in (ours_66, theirs_66):
            mask_66 = np.zeros((6, 6))
            mask_66[np.ix_(numbers, numbers)] = 1
            each *= mask_66
            each += np.diag([0, 0, 1e-4, 1e-4, 1e-4, 0])
    truth = Pose.from_planar(1.0, 2.0, 0.5)
    free_6 = np.isin(np.arange(6), numbers)
    ours_n6, theirs_n6 = (
        np.where(free_6, rng.multivariate_normal(np.zeros(6), covariance_66, 2000), 0.0)
        for covariance_66 in (ours_66, theirs_66)
    )
    found = []
    for ours, theirs in zip(ours_n6, theirs_n6, strict=True):
        belief = PoseBelief(moved(truth, ours), ours_66, None)
        found.append(belief.sigmas_to(moved(truth, theirs), theirs_66, freedoms))
    assert kstest(found, "halfnorm").statistic < 0.04


@settings(deadline=None)
@given(st.floats(0.0, 500.0))
def test_what_is_further_is_more_sigmas_and_never_infinite(metres):
    belief = PoseBelief(Pose.identity(), 1e-4 * np.eye(6), None)
    near, far = (
        belief.sigmas_to(Pose.from_planar(x_m, 0.0, 0.0), 1e-4 * np.eye(6), 3)
        for x_m in (metres, 1.1 * metres + 0.01)
    )
    assert 0.0 <= near < far < 1e6
