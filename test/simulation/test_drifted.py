"""Odometry that drifts: any drive can be given the errors of wheels, by known amounts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from glace_ros.geometry.pose import Pose
from glace_ros.simulation.drive import Trajectory
from glace_ros.simulation.odometry import OdometryNoise, drifted, odometry

pytest.importorskip("benchmark", reason="benchmark/ is not installed: tests of it run in the repo")
from benchmark.building_figures import Track, rmse_m
from benchmark.building_recordings import WHEELS

NO_NOISE = OdometryNoise(0.0, 0.0, 0.0, 0.0, 0.0)
SPEED_MPS, SIDE_M = 0.5, 20.0


def square_drive(length_m: float) -> Trajectory:
    """Around a square, turning as wheels do: a curve of 1 m at each corner."""
    times_s = np.arange(0, length_m / SPEED_MPS, 0.02)
    along_n = SPEED_MPS * times_s
    straight_m, curve_m = SIDE_M, np.pi / 2
    corners_n, rest_n = np.divmod(along_n, straight_m + curve_m)
    yaw_n = np.pi / 2 * corners_n + np.clip(rest_n - straight_m, 0, None)
    steps_n2 = SPEED_MPS * 0.02 * np.stack([np.cos(yaw_n), np.sin(yaw_n)], axis=1)
    xy_n2 = np.concatenate([np.zeros((1, 2)), np.cumsum(steps_n2[:-1], axis=0)])
    return Trajectory(times_s, np.column_stack([xy_n2, yaw_n]))


def tilted(way: Trajectory) -> list[Pose]:
    """A head's poses on that drive: it nods, leans and rises."""
    return [
        Pose(
            Rotation.from_euler("ZYX", [yaw, 0.3 * np.sin(t), 0.1 * np.cos(t)]).as_matrix(),
            np.array([x + 4.0, y - 2.0, 1.6 + 0.05 * np.sin(3 * t)]),
        )
        for t, (x, y, yaw) in zip(way.times_s, way.xy_yaw_n3, strict=True)
    ]


def test_a_planar_drive_drifts_as_the_simulated_robots_odometry():
    way = square_drive(60.0)
    noise = OdometryNoise(0.01, 0.02, 0.003, 0.01, 0.01, 0.02)
    truth = [way.map_from_base(float(time_s)) for time_s in way.times_s]
    expected = odometry(way, way.times_s, noise, 4)
    for start_from_base, wrong in zip(expected, drifted(truth, noise, 4), strict=True):
        assert (truth[0] @ start_from_base).distance_m(wrong) < 1e-9
        assert (truth[0] @ start_from_base).angle_rad(wrong) < 1e-6


def test_tilt_and_height_stay_and_so_does_the_first_pose():
    truth = tilted(square_drive(30.0))
    noise = OdometryNoise(0.02, 0.02, 0.01, 0.02, 0.02, 0.02)
    wrong = drifted(truth, noise, 1)
    assert wrong[0].distance_m(truth[0]) == 0.0
    assert wrong[0].angle_rad(truth[0]) < 1e-9
    for before, after in zip(truth, wrong, strict=True):
        assert after.translation_3[2] == pytest.approx(before.translation_3[2], abs=1e-9)
        assert after.rotation_33[2] == pytest.approx(before.rotation_33[2], abs=1e-9)
    assert wrong[-1].distance_m(truth[-1]) > 0.1


def test_each_error_has_the_size_that_was_asked_for():
    way = square_drive(90.0)
    truth = tilted(way)
    exact = drifted(truth, NO_NOISE, 1)
    assert max(a.distance_m(b) for a, b in zip(truth, exact, strict=True)) < 1e-9
    scaled = drifted(truth, OdometryNoise(0.02, 0.0, 0.0, 0.0, 0.0), 1)
    for before, after in zip(truth, scaled, strict=True):
        moved_2 = (before.translation_3 - truth[0].translation_3)[:2]
        expected_2 = truth[0].translation_3[:2] + 1.02 * moved_2
        assert after.translation_3[:2] == pytest.approx(expected_2, abs=1e-9)
    turned_rad = way.xy_yaw_n3[-1, 2]
    planar = [way.map_from_base(float(time_s)) for time_s in way.times_s]
    turned = drifted(planar, OdometryNoise(0.0, 0.0, 0.0, 0.0, 0.0, turn_scale=0.01), 1)
    assert turned[-1].angle_rad(planar[-1]) == pytest.approx(0.01 * turned_rad, rel=1e-3)
    steady = drifted(planar, OdometryNoise(0.0, 0.0, 0.002, 0.0, 0.0), 1)
    assert steady[-1].angle_rad(planar[-1]) == pytest.approx(0.002 * way.length_m, rel=1e-3)


def test_noise_grows_with_the_root_of_the_way():
    way = square_drive(80.0)
    planar = [way.map_from_base(float(time_s)) for time_s in way.times_s]
    quarter = len(planar) // 4
    noise = OdometryNoise(0.0, 0.0, 0.0, 0.02, 0.0)
    off_s2 = np.array(
        [
            [wrong[at].angle_rad(planar[at]) for at in (quarter, len(planar) - 1)]
            for wrong in (drifted(planar, noise, seed) for seed in range(40))
        ]
    )
    early_rad, late_rad = np.sqrt(np.square(off_s2).mean(axis=0))
    assert late_rad == pytest.approx(0.02 * np.sqrt(80.0), rel=0.35)
    assert late_rad / early_rad == pytest.approx(2.0, rel=0.35)


def test_seeds_give_the_same_drift_again_and_others_give_another():
    truth = tilted(square_drive(10.0))
    one, again, other = (drifted(truth, OdometryNoise(), seed) for seed in (1, 1, 2))
    assert one[-1].distance_m(again[-1]) == 0.0
    assert one[-1].distance_m(other[-1]) > 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_the_benchmarks_wheels_are_off_by_a_metre_over_400_m(seed):
    way = square_drive(400.0)
    wrong = odometry(way, way.times_s, WHEELS, seed)
    stamps_n = (way.times_s * 1e9).astype(np.int64)
    xyz_n3 = np.pad(way.xy_yaw_n3[:, :2], ((0, 0), (0, 1)))
    truth = Track(stamps_n, xyz_n3, Rotation.from_euler("z", way.xy_yaw_n3[:, 2:]))
    estimate = Track(stamps_n, np.stack([p.translation_3 for p in wrong]), truth.rotations)
    assert rmse_m(estimate, truth) > 1.0
