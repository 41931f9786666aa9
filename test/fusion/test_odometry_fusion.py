"""Where the odometry frame lies in the map, out of fixes that come late."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.odometry import MAP_FROM_ODOM, NS, SURE_66, odometry_at

from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.fusion.odometry_fusion import Fix, OdometryFusion
from glace_ros.fusion.odometry_fusion_config import OdometryFusionConfig
from glace_ros.geometry.pose import Pose
from glace_ros.rejection import Rejection, RejectionCode

COVARIANCE_66 = np.diag([0.04, 0.09, 0.16, 0.01, 0.02, 0.03])


def test_a_late_fix_of_a_moving_robot_gives_the_true_map_from_odom():
    fusion = OdometryFusion()
    for stamp_ns in range(NS, 5 * NS, NS // 4):
        exposure_ns = stamp_ns - 3 * NS // 10  # 0.3 s late: 0.3 m and 9 deg of driving
        truth = MAP_FROM_ODOM @ odometry_at(exposure_ns)
        fix = fusion.fix(exposure_ns, truth, COVARIANCE_66, odometry_at(exposure_ns))
        assert isinstance(fix, Fix)
        assert fix.map_from_base.distance_m(truth) < 1e-9
        assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) < 1e-9
        assert fusion.map_from_odom.angle_rad(MAP_FROM_ODOM) < 1e-9
        # so that the robot's pose of now comes out, not that of the exposure
        now = fusion.map_from_odom @ odometry_at(stamp_ns)
        assert now.distance_m(MAP_FROM_ODOM @ odometry_at(stamp_ns)) < 1e-9


def test_two_d_mode_projects_the_base_before_it_composes():
    tilted = Pose.from_rotation_vector([4.0, 1.0, 0.3], [0.05, -0.08, 1.1])
    odom_from_base = Pose.from_planar(50.0, 20.0, 0.4)  # far out, where a tilt would matter
    fusion = OdometryFusion()
    fix = fusion.fix(NS, tilted, COVARIANCE_66, odom_from_base)
    assert fix.map_from_base.translation_3 == pytest.approx([4.0, 1.0, 0.0])
    assert fix.map_from_base.yaw_rad == pytest.approx(tilted.yaw_rad)
    assert fix.map_from_base.rotation_33[2] == pytest.approx([0.0, 0.0, 1.0])
    assert fusion.map_from_odom.translation_3[2] == pytest.approx(0.0)
    robot = fusion.map_from_odom @ odom_from_base
    assert robot.distance_m(fix.map_from_base) < 1e-9

    in_space = OdometryFusion(OdometryFusionConfig(two_d_mode=False))
    fix = in_space.fix(NS, tilted, COVARIANCE_66, odom_from_base)
    assert fix.map_from_base is tilted
    assert (in_space.map_from_odom @ odom_from_base).angle_rad(tilted) < 1e-9


def test_without_odometry_there_is_a_pose_but_no_transform():
    fusion = OdometryFusion()
    fix = fusion.fix(NS, MAP_FROM_ODOM, COVARIANCE_66, None)
    assert isinstance(fix, Fix)
    assert fix.map_from_odom is None
    assert fusion.map_from_odom is None
    assert fusion.state(NS) == LocalizationState.TRACKING
    first = fusion.fix(2 * NS, MAP_FROM_ODOM, COVARIANCE_66, Pose.identity())
    fusion.fix(3 * NS, Pose.from_planar(9.0, 9.0, 0.0), COVARIANCE_66, None)
    assert fusion.map_from_odom is first.map_from_odom


def test_the_state_follows_the_age_of_the_last_fix():
    fusion = OdometryFusion(OdometryFusionConfig(degraded_timeout_s=2.0, lost_timeout_s=10.0))
    assert fusion.state(5 * NS) == LocalizationState.UNLOCALIZED
    assert math.isnan(fusion.seconds_since_fix(5 * NS))
    fusion.fix(100 * NS, MAP_FROM_ODOM, COVARIANCE_66, None)
    states = {
        99 * NS: LocalizationState.TRACKING,  # the camera's clock may be a little ahead
        102 * NS - 1000: LocalizationState.TRACKING,
        102 * NS: LocalizationState.DEGRADED,
        110 * NS - 1000: LocalizationState.DEGRADED,
        110 * NS: LocalizationState.LOST,
        1000 * NS: LocalizationState.LOST,
    }
    assert {now_ns: fusion.state(now_ns) for now_ns in states} == states
    assert fusion.seconds_since_fix(103 * NS) == pytest.approx(3.0)
    assert fusion.seconds_since_fix(99 * NS) == 0.0
    fusion.fix(1000 * NS, MAP_FROM_ODOM, COVARIANCE_66, None)
    assert fusion.state(1001 * NS) == LocalizationState.TRACKING


def test_clear_forgets_even_newer_fixes():
    fusion = OdometryFusion()
    fusion.fix(100 * NS, MAP_FROM_ODOM, COVARIANCE_66, Pose.identity())
    fusion.clear()
    assert fusion.map_from_odom is None
    assert fusion.last_fix is None
    assert fusion.state(100 * NS) == LocalizationState.UNLOCALIZED
    assert isinstance(fusion.fix(50 * NS, MAP_FROM_ODOM, COVARIANCE_66, None), Fix)


@pytest.mark.parametrize(
    ("stamp_ns", "covariance_66", "rotation_vector_3", "said"),
    [
        (100 * NS, COVARIANCE_66, [0, 0, 0], "not newer"),
        (99 * NS, COVARIANCE_66, [0, 0, 0], "not newer"),
        (101 * NS, COVARIANCE_66 * np.nan, [0, 0, 0], "not positive definite"),
        (101 * NS, np.diag([1, 1, 1, 1, 1, np.inf]), [0, 0, 0], "not positive definite"),
        (101 * NS, np.diag([1, 1, 1, 1, 1, -1e-6]), [0, 0, 0], "not positive definite"),
        (101 * NS, COVARIANCE_66 + np.eye(6, k=1) * 0.01, [0, 0, 0], "not positive definite"),
        (101 * NS, np.eye(5), [0, 0, 0], "not positive definite"),
        (101 * NS, COVARIANCE_66 * 1e5, [0, 0, 0], "standard deviation is"),
        (101 * NS, COVARIANCE_66, [0, 1.0, 0], "tilted by 57 deg"),
        (101 * NS, COVARIANCE_66, [3.1, 0, 0], "tilted by 178 deg"),
    ],
)
def test_a_pose_that_cannot_be_used_changes_nothing(
    stamp_ns, covariance_66, rotation_vector_3, said
):
    fusion = OdometryFusion()
    good = fusion.fix(100 * NS, MAP_FROM_ODOM, COVARIANCE_66, Pose.identity())
    pose = Pose.from_rotation_vector([9.0, 9.0, 0.0], rotation_vector_3)
    rejection = fusion.fix(stamp_ns, pose, covariance_66, Pose.identity())
    assert isinstance(rejection, Rejection)
    assert said in rejection.reason
    assert fusion.last_fix is good
    assert fusion.map_from_odom is good.map_from_odom


@st.composite
def covariances(draw) -> np.ndarray:
    """Symmetric and positive definite, of sigmas from 0.1 mm to 20 m."""
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    sigma_6 = 10.0 ** random.uniform(-4.0, 1.3, 6)
    factor_66 = sigma_6[:, None] * np.linalg.qr(random.normal(size=(6, 6)))[0]
    return factor_66 @ factor_66.T


@settings(deadline=None)
@given(covariances(), st.booleans(), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_published_covariances_can_be_used_by_a_filter(covariance_66, two_d_mode, roll, pitch):
    config = OdometryFusionConfig(two_d_mode=two_d_mode)
    pose = Pose.from_rotation_vector([1.0, 2.0, 0.0], [roll, pitch, 1.0])
    fix = OdometryFusion(config).fix(NS, pose, covariance_66, None)
    assert isinstance(fix, Fix)
    published_66 = fix.covariance_66
    np.testing.assert_allclose(published_66, published_66.T)
    assert np.linalg.eigvalsh(published_66).min() > 0.0
    sigma_6 = np.sqrt(published_66.diagonal())
    assert (sigma_6[:3] >= config.min_sigma_xy_m * (1 - 1e-9)).all()
    assert (sigma_6[3:] >= config.min_sigma_yaw_rad * (1 - 1e-9)).all()
    if not two_d_mode:  # never smaller than what the solver says
        assert (published_66.diagonal() >= covariance_66.diagonal() * (1 - 1e-9)).all()


def test_the_covariance_is_that_of_the_published_x_y_and_yaw():
    """Against the poses that small errors of the solved one lead to, through `Pose.planar`."""
    pose = Pose.from_rotation_vector([1.0, 2.0, 0.5], [0.3, -0.4, 1.2])
    random = np.random.default_rng(0)
    factor_66 = random.normal(size=(6, 6)) * 0.1
    covariance_66 = factor_66 @ factor_66.T
    step, jacobian_36 = 1e-6, np.zeros((3, 6))
    for axis in range(6):
        error_6 = np.eye(6)[axis] * step
        turned = Pose.from_rotation_vector([0, 0, 0], error_6[3:]) @ pose
        moved = Pose(turned.rotation_33, pose.translation_3 + error_6[:3]).planar()
        jacobian_36[:2, axis] = (moved.translation_3 - pose.planar().translation_3)[:2] / step
        jacobian_36[2, axis] = (moved.yaw_rad - pose.yaw_rad) / step
    expected_33 = jacobian_36 @ covariance_66 @ jacobian_36.T
    fix = OdometryFusion().fix(NS, pose, covariance_66, None)
    np.testing.assert_allclose(
        fix.covariance_66[np.ix_([0, 1, 5], [0, 1, 5])], expected_33, rtol=1e-4
    )
    given = OdometryFusionConfig()
    np.testing.assert_allclose(fix.covariance_66[2, 2], given.min_sigma_xy_m**2)
    np.testing.assert_allclose(fix.covariance_66[3, 3], given.min_sigma_yaw_rad**2)


def test_covariance_scale_is_a_factor_on_variances():
    config = OdometryFusionConfig(two_d_mode=False)
    plain = OdometryFusion(config).fix(NS, MAP_FROM_ODOM, COVARIANCE_66, None)
    config = replace(config, covariance_scale=4.0)
    scaled = OdometryFusion(config).fix(NS, MAP_FROM_ODOM, COVARIANCE_66, None)
    np.testing.assert_allclose(plain.covariance_66, COVARIANCE_66)
    np.testing.assert_allclose(scaled.covariance_66, 4.0 * COVARIANCE_66)


def drive(fusion, seconds, offset=None, start_s=1.0, noise_m=0.0, seed=0):
    """Outcomes of fixes twice a second; `offset` moves what the camera says in the map."""
    rng = np.random.default_rng(seed)
    outcomes = []
    for stamp_s in np.arange(start_s, start_s + seconds, 0.5):
        stamp_ns = round(stamp_s * NS)
        truth = MAP_FROM_ODOM @ odometry_at(stamp_ns)
        seen = (offset or Pose.identity()) @ truth
        seen = Pose(seen.rotation_33, seen.translation_3 + [*rng.normal(size=2) * noise_m, 0.0])
        outcomes.append(fusion.fix(stamp_ns, seen, SURE_66, odometry_at(stamp_ns)))
    return outcomes


def test_one_wrong_fix_leaves_the_transform_where_it_was():
    fusion = OdometryFusion()
    drive(fusion, 3.0)
    before, last = fusion.map_from_odom, fusion.last_fix
    (rejection,) = drive(fusion, 0.5, Pose.from_planar(2.0, 0.0, 0.0), start_s=4.0)
    assert isinstance(rejection, Rejection)
    assert "sigma from the prediction (1/3 toward re-initialisation)" in rejection.reason
    assert rejection.code == RejectionCode.OUTSIDE_GATE
    assert rejection.sigmas > 4.0
    assert rejection.reason.startswith(f"{rejection.sigmas:.1f} sigma ")
    assert fusion.map_from_odom is before
    assert fusion.last_fix is last
    (fix,) = drive(fusion, 0.5, start_s=4.5)
    assert isinstance(fix, Fix)


def test_a_carried_robot_is_believed_after_three_fixes_that_agree():
    """The wheels know nothing of it, and the robot drives on between these fixes."""
    fusion = OdometryFusion()
    drive(fusion, 3.0)
    carried = Pose.from_planar(7.0, -3.0, 2.0)
    outcomes = drive(fusion, 2.0, carried, start_s=4.0)
    assert [isinstance(outcome, Fix) for outcome in outcomes] == [False, False, True, True]
    assert "(2/3" in outcomes[1].reason
    there = carried @ MAP_FROM_ODOM @ odometry_at(round(5.0 * NS))
    before = MAP_FROM_ODOM @ odometry_at(round(5.0 * NS))
    assert outcomes[2].jumped_m == pytest.approx(there.distance_m(before), abs=0.01)
    assert outcomes[3].jumped_m is None
    assert fusion.map_from_odom.distance_m(carried @ MAP_FROM_ODOM) < 1e-6


def test_an_ambiguous_image_confirms_but_begins_and_overrules_nothing():
    def seen(fusion, stamp_s, offset, ambiguous):
        stamp_ns = round(stamp_s * NS)
        pose = offset @ MAP_FROM_ODOM @ odometry_at(stamp_ns)
        return fusion.fix(stamp_ns, pose, SURE_66, odometry_at(stamp_ns), ambiguous=ambiguous)

    here, twin = Pose.identity(), Pose.from_planar(5.0, 0.0, 0.0)
    fusion = OdometryFusion()
    first = seen(fusion, 1.0, twin, True)
    assert isinstance(first, Rejection)
    assert "another place" in first.reason
    assert fusion.map_from_odom is None
    assert isinstance(seen(fusion, 1.5, here, False), Fix)
    assert isinstance(seen(fusion, 2.0, here, True), Fix)
    for stamp_s in (2.5, 3.0, 3.5, 4.0, 4.5):  # as many would be a consensus
        rejection = seen(fusion, stamp_s, twin, True)
        assert isinstance(rejection, Rejection)
        assert "sigma from the prediction" in rejection.reason
    assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) < 1e-6
    # somebody's word is enough to make one of two places the likely one
    named = OdometryFusion()
    named.expect(MAP_FROM_ODOM @ odometry_at(NS), COVARIANCE_66, odometry_at(NS))
    assert isinstance(seen(named, 1.0, here, True), Fix)


def test_wrong_fixes_that_disagree_are_never_believed():
    fusion = OdometryFusion()
    drive(fusion, 3.0)
    for index in range(20):
        wrong = Pose.from_planar(3.0 + index % 5, 2.0 * (index % 3), 0.3 * index)
        (outcome,) = drive(fusion, 0.5, wrong, start_s=4.0 + 0.5 * index)
        assert isinstance(outcome, Rejection)
    assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) < 1e-6


def test_without_a_gate_every_fix_counts():
    fusion = OdometryFusion(OdometryFusionConfig(gate_sigma=0.0))
    drive(fusion, 3.0)
    outcomes = drive(fusion, 1.0, Pose.from_planar(2.0, 0.0, 0.0), start_s=4.0)
    assert all(isinstance(outcome, Fix) for outcome in outcomes)
    assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) > 0.3


def test_fixes_that_scatter_move_the_transform_less_than_each_of_them():
    fusion, raw = OdometryFusion(), OdometryFusion(OdometryFusionConfig(reinit_consensus=1))
    off_m, raw_m = [], []
    for index in range(80):
        drive(fusion, 0.5, start_s=1 + 0.5 * index, noise_m=0.03, seed=index)
        raw.clear()
        drive(raw, 0.5, start_s=1 + 0.5 * index, noise_m=0.03, seed=index)
        now = odometry_at(round((1 + 0.5 * index) * NS))
        truth = MAP_FROM_ODOM @ now
        off_m.append((fusion.map_from_odom @ now).distance_m(truth))
        raw_m.append((raw.map_from_odom @ now).distance_m(truth))
    assert fusion.last_fix.jumped_m is None
    assert np.mean(np.square(off_m[10:])) < 0.8 * np.mean(np.square(raw_m[10:]))


def test_odometry_that_drifts_is_followed():
    """A heading that drifts by 2 deg a second bends the map->odom of every fix a little."""
    fusion = OdometryFusion()
    for stamp_s in np.arange(1.0, 40.0, 0.5):
        stamp_ns = round(stamp_s * NS)
        bent = Pose.from_planar(0.0, 0.0, math.radians(2.0) * stamp_s) @ odometry_at(stamp_ns)
        truth = MAP_FROM_ODOM @ odometry_at(stamp_ns)
        assert isinstance(fusion.fix(stamp_ns, truth, SURE_66, bent), Fix)
        assert (fusion.map_from_odom @ bent).distance_m(truth) < 0.05


def test_a_place_that_somebody_names_is_no_fix_but_what_fixes_are_measured_by():
    named_66 = np.diag([0.25, 0.25, 0.25, 0.07, 0.07, 0.07])
    fusion = OdometryFusion()
    named = MAP_FROM_ODOM @ odometry_at(NS)
    fusion.expect(named, named_66, odometry_at(NS))
    assert fusion.map_from_odom is None
    assert fusion.state(NS) == LocalizationState.UNLOCALIZED
    far = drive(fusion, 0.5, Pose.from_planar(20.0, 0.0, 0.0))
    assert isinstance(far[0], Rejection)
    assert fusion.map_from_odom is None
    near = drive(fusion, 0.5, start_s=1.5)
    assert isinstance(near[0], Fix)
    # one look is worth more than a word: the word has sigmas of half a metre
    assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) < 0.02


def test_covariance_scale_is_not_about_a_place_that_somebody_names():
    """2 m off, named to 0.1 m: refused, however little the solver is trusted."""
    fusion = OdometryFusion(OdometryFusionConfig(covariance_scale=100.0))
    named = Pose.from_planar(2.0, 0.0, 0.0) @ MAP_FROM_ODOM @ odometry_at(NS)
    fusion.expect(named, 0.01 * np.eye(6), odometry_at(NS))
    (seen,) = drive(fusion, 0.5)
    assert isinstance(seen, Rejection)


def test_a_wrong_place_named_again_and_again_holds_nobody_up_for_longer_than_a_consensus():
    """As Nav2's BasicNavigator does with the identity, until a pose comes."""
    fusion, wrong = OdometryFusion(), Pose.from_planar(30.0, 30.0, 0.0)
    accepted = []
    for index in range(8):
        stamp_s = 1.0 + 0.5 * index
        fusion.expect(wrong, 0.01 * np.eye(6), None)
        accepted += [isinstance(o, Fix) for o in drive(fusion, 0.5, start_s=stamp_s)]
    assert accepted == [False, False, True, True, True, True, True, True]
    assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) < 1e-6


@pytest.mark.parametrize(
    ("pose", "said"),
    [
        (Pose.from_rotation_vector([1.0, 2.0, 0.0], [0, 1.0, 0]), "tilted by 57 deg"),
        (Pose.from_planar(1e300, 0.0, 0.0), "off the Earth"),
    ],
)
def test_nobody_can_expect_a_robot_where_none_can_be(pose, said):
    fusion = OdometryFusion()
    assert said in fusion.expect(pose, COVARIANCE_66, None).reason
    assert isinstance(fusion.fix(NS, pose, COVARIANCE_66, Pose.identity()), Rejection)
    (fix,) = drive(fusion, 0.5)
    assert isinstance(fix, Fix)
