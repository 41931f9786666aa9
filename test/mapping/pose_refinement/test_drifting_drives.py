"""The whole refinement, on drives whose truth is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.drifting_drive import bases, corridor, drifted, record, refined, rmse_m, room, rounds

from glace_ros.geometry.pose import Pose

pytest.importorskip("gtsam")

VIEWS = 64


def driven(seed: int, count: float = 2.0, *, odometry=(), **seen):
    """(truth, recorded, refined poses of the base, findings)."""
    rng = np.random.default_rng(seed)
    truth = rounds(VIEWS, count)
    recorded = drifted(truth, rng, **dict(odometry))
    result = refined(record(room(1), truth, recorded, rng, **seen))
    return truth, recorded, bases(result.map_from_camera), result.findings


@pytest.fixture(scope="module")
def wheels():
    """Two rounds by wheels that are 2 % too small, on a gyroscope that drifts."""
    return driven(0)


def test_drift_is_taken_out(wheels):
    truth, recorded, poses, _ = wheels
    assert rmse_m(recorded, truth) > 0.06  # 8 cm
    assert rmse_m(poses, truth) < 0.006  # 2 mm


def test_odometry_says_how_long_a_metre_is(wheels):
    """Images do not know: a map by wheels that say 2 % too much is 2 % too large."""
    truth, _, poses, _ = wheels
    spread_m = [
        np.std([pose.translation_3 for pose in some], axis=0).sum() for some in (poses, truth)
    ]
    assert spread_m[0] / spread_m[1] == pytest.approx(1.02, abs=0.006)


def test_the_first_pose_stays(wheels):
    truth, _, poses, _ = wheels
    assert poses[0].distance_m(truth[0]) < 1e-6
    assert poses[0].angle_rad(truth[0]) < 1e-6


def test_planar_odometry_stays_planar(wheels):
    _, _, poses, _ = wheels
    assert max(abs(pose.translation_3[2]) for pose in poses) < 0.004
    assert max(np.abs(pose.rotation_33[2, :2]).max() for pose in poses) < 0.004


def test_what_is_found_of_a_drive_with_loops(wheels):
    _, recorded, poses, findings = wheels
    assert findings.loops_found == len(findings.loops) > 100
    assert all(abs(first - second) >= 10 for first, second in findings.loops)
    assert findings.loops_between_drives == 0
    way_m = sum(a.distance_m(b) for a, b in itertools.pairwise(recorded))
    assert findings.way_m == pytest.approx(way_m, rel=0.2)  # cameras turn about the base
    assert 0.01 < findings.drift_ratio < 0.04
    assert findings.reprojection_px == pytest.approx(0.55, abs=0.15)
    assert findings.readout_ms == 0
    moved_m = [a.distance_m(b) for a, b in zip(recorded, poses, strict=True)]
    assert findings.moved_median_m == pytest.approx(np.median(moved_m), rel=0.1)
    assert findings.moved_most[0][1] == pytest.approx(max(moved_m), rel=0.1)
    assert "loops over 1" in findings.sentences()[0]


def test_perfect_odometry_is_left_as_it_is():
    truth, _, poses, findings = driven(0, odometry={"scale": 1.0, "yaw_deg": 0.0})
    assert max(a.distance_m(b) for a, b in zip(poses, truth, strict=True)) < 0.003  # 0.8 mm
    assert max(a.angle_rad(b) for a, b in zip(poses, truth, strict=True)) < 0.002
    assert findings.rotation_noise_deg < 0.15  # a ninth of what is assumed at first
    assert findings.position_noise_m < 0.003


@pytest.fixture(scope="module")
def there():
    """Along a corridor, and not back."""
    rng = np.random.default_rng(0)
    truth = [Pose.from_planar(x, 0.1 * np.sin(x), 0.1 * np.cos(x)) for x in np.arange(0, 12, 0.3)]
    recorded = drifted(truth, rng)
    result = refined(record(corridor(2, 16.0, 2.8), truth, recorded, rng))
    return truth, recorded, bases(result.map_from_camera), result.findings


def test_a_drive_without_loops_says_that_it_has_none(there):
    *_, findings = there
    assert findings.loops == []
    assert findings.drift_ratio is None
    assert findings.drift_deg_per_m is None
    said = findings.sentences()
    assert "loops" not in said[0]
    assert said[1].startswith("no loop closes")


def test_a_drive_without_loops_is_no_worse_for_it(there):
    truth, recorded, poses, _ = there
    assert rmse_m(poses, truth) < rmse_m(recorded, truth)


@pytest.mark.parametrize("readout_ms", [20.0, -15.0])
def test_a_rolling_shutter_is_found(readout_ms):
    truth, _, poses, findings = driven(0, readout_s=1e-3 * readout_ms)
    assert findings.readout_ms == pytest.approx(readout_ms, abs=4)
    assert rmse_m(poses, truth) < 0.006
    assert "rolling shutter of about" in " ".join(findings.sentences())


@pytest.mark.parametrize("ratio", [0.985, 1.015])
def test_a_wrong_focal_length_is_found(ratio):
    rng = np.random.default_rng(0)
    truth = rounds(VIEWS, 2.0)
    result = refined(record(room(1), truth, drifted(truth, rng), rng, focal_ratio=ratio))
    correction = result.check.intrinsics.correction
    assert correction.focal_x == pytest.approx(ratio - 1, abs=0.003)
    assert correction.focal_y == pytest.approx(ratio - 1, abs=0.003)
    assert rmse_m(bases(result.map_from_camera), truth) < 0.006


@pytest.mark.parametrize("times", [0.3, 1.0, 3.0])
def test_a_recording_shows_how_large_odometry_s_errors_are(times):
    """The noise is that of an axis: wheels err about one of three, and along two of three. Of
    positions that are right to millimetres it says what images can tell at best.
    """
    odometry = {"scale": 1.0, "yaw_deg": times, "metres": 0.02 * times}
    *_, findings = driven(5, odometry=odometry)
    of_axis_deg, of_axis_m = times / np.sqrt(3), 0.02 * times * np.sqrt(2 / 3)
    assert of_axis_deg / 1.5 < findings.rotation_noise_deg < 1.5 * of_axis_deg
    assert of_axis_m / 2 < findings.position_noise_m < max(2 * of_axis_m, 0.015)
