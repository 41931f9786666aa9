"""What the demo says of a live run: errors that are known come out, and the verdict follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glace_ros.demo.comparison import compare
from glace_ros.demo.live_run import ImageOutcome, LiveRun
from glace_ros.demo.results import DemoResults, NotRejected
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.rejection import RejectionCode
from glace_ros.simulation import drive
from glace_ros.simulation.bag import BagConfig, write_bag
from glace_ros.simulation.bag_messages import TRUTH_TOPIC
from glace_ros.simulation.building import BuildingConfig, build
from glace_ros.simulation.photographer import Photographer

CAMERA = Camera(48, 36, 40.0, 40.0, 24.5, 17.5)
SHIFT = Pose.from_planar(0.03, 0.0, np.radians(0.5))  # the error that all fixes are given


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """The bags of a mapping and of a query drive, 3 s each."""
    folder = tmp_path_factory.mktemp("recording")
    building = build(BuildingConfig(rooms=1, texels_per_m=15.0))
    trajectory = drive.drive(building, drive.query_route(building, seed=1))
    common = BagConfig(camera=CAMERA, duration_s=3.0, image_rate_hz=5.0)
    with Photographer(building, workers=0) as photographer:
        for name, config in (
            ("mapping", replace(common, with_map_frame=True)),
            ("query", replace(common, with_truth=True)),
        ):
            write_bag(folder / name, trajectory, photographer, config)
    return folder


@pytest.fixture(scope="module")
def run(recording):
    """A node that is wrong by SHIFT in the base's frame, on all images but the first and second."""
    live = LiveRun()
    with (
        RecordingReader(recording / "query", pose_source=TRUTH_TOPIC) as truth,
        RecordingReader(recording / "query", pose_source="tf:odom") as odometry,
    ):
        stamps_ns = [image.stamp_ns for image in truth.images()]
        for stamp_ns in stamps_ns[2:]:
            live.fixes[stamp_ns] = truth.map_from_base(stamp_ns) @ SHIFT
            live.outcomes[stamp_ns] = ImageOutcome(
                stamp_ns, True, 500, 1000, 0.1, 0.15, RejectionCode.NONE
            )
        code = RejectionCode.FEW_INLIERS
        live.outcomes[stamps_ns[0]] = ImageOutcome(stamps_ns[0], False, 12, 900, 0.1, 0.15, code)
        for stamp_ns in truth.pose_stamps_n()[40:]:
            odom_from_base = odometry.map_from_base(int(stamp_ns))
            map_from_base = truth.map_from_base(int(stamp_ns)) @ SHIFT
            live.map_from_odom.append((int(stamp_ns), map_from_base @ odom_from_base.inverse()))
    return live


@pytest.fixture(scope="module")
def results(recording, run):
    return compare(recording / "mapping", recording / "query", TRUTH_TOPIC, run)


def test_known_errors_come_out(results):
    assert len(results.error_m_f) == 13
    assert np.isnan(results.error_m_f[:2]).all()
    assert results.error_m_f[2:] == pytest.approx(0.03, abs=1e-9)
    assert results.error_deg_f[2:] == pytest.approx(0.5, abs=1e-9)
    assert results.median_m == pytest.approx(0.03)
    assert results.ratio == pytest.approx(11 / 13)
    assert results.recall()["5cm_5deg"] == pytest.approx(11 / 13)


def test_map_odom_base_is_judged_wherever_it_was_there(results):
    assert len(results.between_m_n) == 150 - 40
    assert results.between_m_n == pytest.approx(0.03, abs=1e-6)
    assert results.between_deg_n == pytest.approx(0.5, abs=1e-6)


def test_every_image_without_a_pose_has_its_reason(results):
    assert results.without_pose == {RejectionCode.FEW_INLIERS: 1, NotRejected.NOT_LOOKED_AT: 1}
    assert [why.words for why in results.without_pose] == [
        "n inliers of n points, fewer than n",
        "not looked at (a newer image was there)",
    ]
    assert results.as_json()["without_pose"] == {"few_inliers": 1, "not_looked_at": 1}


def test_an_accepted_image_whose_pose_did_not_arrive_is_no_rejection(recording, run):
    lost = replace(run, fixes={})
    found = compare(recording / "mapping", recording / "query", TRUTH_TOPIC, lost).without_pose
    assert found == {
        RejectionCode.FEW_INLIERS: 1, NotRejected.NOT_LOOKED_AT: 1, NotRejected.NOT_ARRIVED: 11,
    }  # fmt: skip


def test_the_verdict_needs_both_many_poses_and_exact_ones(results):
    assert not results.passed
    assert "only 11 of 13 images got a pose" in results.verdict
    many = with_errors(results, np.full(13, 0.03), np.full(13, 0.5))
    assert many.passed
    assert "13 of 13" in many.verdict
    assert not with_errors(many, np.full(13, 0.06), np.full(13, 0.5)).passed
    assert not with_errors(many, np.full(13, 0.03), np.full(13, 1.2)).passed
    # the missing one counts as infinitely wrong, so that the 7th of 13 is the median
    missing = np.arange(1.0, 14.0) * 0.01
    missing[0] = np.nan
    assert with_errors(many, missing, np.full(13, 0.5)).median_m == pytest.approx(0.08)


def test_figures_without_any_fix_are_still_figures(recording):
    nothing = compare(recording / "mapping", recording / "query", TRUTH_TOPIC, LiveRun())
    assert nothing.ratio == 0.0
    metrics = nothing.as_json()
    assert metrics["median_translation_m"] is None
    assert metrics["map_odom_base"]["median_translation_m"] is None
    assert all(figure.value for figure in nothing.metrics())
    assert not nothing.passed


def with_errors(results: DemoResults, error_m: np.ndarray, error_deg: np.ndarray) -> DemoResults:
    return replace(results, error_m_f=error_m, error_deg_f=error_deg)
