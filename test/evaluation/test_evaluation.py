"""Figures: a refused frame is infinitely wrong, calibration is measured, files parse back."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from glace_ros.evaluation.calibration import (
    acceptance_threshold,
    covariance_model,
    covariance_scale,
    second_best_threshold,
)
from glace_ros.evaluation.localized_frame import LocalizedFrame
from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.evaluation.metrics_table import metrics_table
from glace_ros.evaluation.pose_files import write_tum
from glace_ros.geometry.covariance import CovarianceModel, pose_error
from glace_ros.geometry.pose import Pose
from glace_ros.recording.held_out import BLOCK_S, HeldOutBlocks
from glace_ros.rejection import Rejection, RejectionCode

TRUTH = Pose.from_rotation_vector([4.0, 5.0, 6.0], [0.3, -0.2, 1.0])
DOCUMENTED = {
    "frames", "localized", "median_translation_m", "median_rotation_deg", "recall", "nees_mean",
    "latency_ms",
}  # fmt: skip
RECALLS = {"5cm_5deg", "10cm_5deg", "25cm_2deg", "50cm_5deg", "5m_10deg"}


def frame(off_m=0.0, off_deg=0.0, stamp_ns=0, seconds=0.01, covariance_66=None, truth=TRUTH):
    estimate = Pose(
        Rotation.from_rotvec([0, 0, math.radians(off_deg)]).as_matrix() @ TRUTH.rotation_33,
        TRUTH.translation_3 + [off_m, 0, 0],
    )
    return LocalizedFrame(stamp_ns, truth, estimate, covariance_66, 100, 200, seconds)


FEW_INLIERS = Rejection(RejectionCode.FEW_INLIERS, inliers=10, points=900, needed_inliers=50)


def refused(rejection=FEW_INLIERS, truth=TRUTH):
    return LocalizedFrame(0, truth, None, None, 10, 900, 0.02, rejection)


def test_errors_are_metres_and_degrees():
    assert frame(0.3, 4.0).errors == pytest.approx((0.3, 4.0))
    assert refused().errors == (math.inf, math.inf)


def test_a_frame_that_was_refused_afterwards_is_none_by_landmarks():
    frames = [replace(frame(), landmarks=40), replace(frame(), landmarks=40, inliers=10), frame()]
    assert summarize_frames(frames)["by_landmarks"] == 2
    accepted = [each.accepted_from(0.3) for each in frames]
    metrics = summarize_frames(accepted)
    assert (metrics["localized"], metrics["by_landmarks"]) == (2, 1)


def test_recall_counts_refused_frames_as_wrong():
    frames = [frame(0.04, 1.0), frame(0.2, 1.0), frame(0.2, 3.0), frame(3.0, 9.0), refused()]
    metrics = summarize_frames(frames)
    assert (metrics["frames"], metrics["localized"]) == (5, 4)
    assert metrics["recall"] == {
        "5cm_5deg": 0.2, "10cm_5deg": 0.2, "25cm_2deg": 0.4, "50cm_5deg": 0.6, "5m_10deg": 0.8,
    }  # fmt: skip
    # over all frames: the third of five errors, infinity being the last
    assert metrics["median_translation_m"] == pytest.approx(0.2)
    assert metrics["median_rotation_deg"] == pytest.approx(3.0)
    assert metrics["false_accepts"] == 1


def test_with_most_frames_refused_there_is_no_median():
    metrics = summarize_frames([frame(), refused(), refused()])
    assert metrics["median_translation_m"] is None
    assert metrics["median_rotation_deg"] is None
    assert metrics["recall"]["5m_10deg"] == pytest.approx(1 / 3)


def test_frames_without_truth_are_counted_apart():
    metrics = summarize_frames([frame(), frame(truth=None), refused(truth=None)])
    assert metrics["frames"] == 1
    assert metrics["frames_without_truth"] == 2
    assert metrics["localized"] == 1
    assert metrics["recall"]["5cm_5deg"] == 1.0


def test_latency_is_over_all_frames():
    metrics = summarize_frames([frame(seconds=s / 1000) for s in range(1, 102)])
    assert metrics["latency_ms"] == {"p50": pytest.approx(51.0), "p95": pytest.approx(96.0)}


def test_rejections_are_counted_by_code_whatever_their_numbers():
    """Decimals too: once each of them made a key of its own."""
    rejections = [
        FEW_INLIERS,
        replace(FEW_INLIERS, inliers=7, points=800),
        Rejection(RejectionCode.UNCERTAIN_POSITION, sigma_m=1.23),
        Rejection(RejectionCode.UNCERTAIN_POSITION, sigma_m=4.56),
        Rejection(RejectionCode.REPEATED_ELSEWHERE, apart_m=1.33, apart_deg=41.0),
        Rejection(RejectionCode.REPEATED_ELSEWHERE, apart_m=0.27, apart_deg=3.0),
        Rejection(RejectionCode.LOW_INLIER_RATIO, inliers=60, points=900, needed_ratio=0.10),
        Rejection(RejectionCode.LOW_INLIER_RATIO, needed_ratio=0.25),
        Rejection(RejectionCode.NO_POSE, points=3),
    ]
    assert len({rejection.reason for rejection in rejections}) == len(rejections)
    metrics = summarize_frames([*map(refused, rejections), frame()])
    assert metrics["rejections"] == {
        "few_inliers": 2, "uncertain_position": 2, "repeated_elsewhere": 2, "low_inlier_ratio": 2,
        "no_pose": 1,
    }  # fmt: skip


def some_covariance(rng) -> np.ndarray:
    """Full, with metres and radians of different size."""
    root_66 = rng.normal(size=(6, 6)) * [[0.05]] * 3 + np.diag([0.1, 0.05, 0.02, 0.01, 0.02, 0.03])
    return root_66 @ root_66.T * 0.01


def sampled_frames(count: int, scale: float) -> list[LocalizedFrame]:
    """Estimates drawn from the covariance, which is then claimed to be `scale` times as large."""
    rng = np.random.default_rng(0)
    covariance_66 = some_covariance(rng)
    frames = []
    for error_6 in rng.multivariate_normal(np.zeros(6), covariance_66, count):
        # truth = exp(dr) R, p + dp
        turn_33 = Rotation.from_rotvec(error_6[3:]).as_matrix()
        estimate = Pose(turn_33.T @ TRUTH.rotation_33, TRUTH.translation_3 - error_6[:3])
        assert np.allclose(pose_error(estimate, TRUTH), error_6)
        frames.append(LocalizedFrame(0, TRUTH, estimate, scale * covariance_66, 100, 200, 0.01))
    return frames


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 1.0), (4.0, 0.25)])
def test_nees_is_1_where_errors_are_as_large_as_claimed(scale, expected):
    metrics = summarize_frames(sampled_frames(300, scale))
    assert metrics["nees_mean"] == pytest.approx(expected, rel=0.15)


def test_without_a_covariance_there_is_no_nees():
    assert summarize_frames([frame(), refused()])["nees_mean"] is None


@pytest.mark.parametrize(
    "frames",
    [[], [refused()], [frame(), refused()], [frame(truth=None)], sampled_frames(3, 1.0)],
    ids=["none", "refused", "mixed", "no_truth", "good"],
)
def test_figures_are_valid_json_with_the_documented_keys(frames):
    """Whoever reads them must not stumble over NaN or Infinity, which are no JSON."""
    metrics = summarize_frames(frames)
    again = json.loads(json.dumps(metrics, allow_nan=False))
    assert again == metrics
    assert set(metrics) >= DOCUMENTED
    assert set(metrics["recall"]) == RECALLS
    assert set(metrics["latency_ms"]) == {"p50", "p95"}
    assert all(isinstance(word, str) for row in metrics_table(metrics) for word in row)


def test_the_table_shows_the_figures():
    rows = dict(metrics_table(summarize_frames([frame(0.04, 1.0), frame(0.12, 1.5), refused()])))
    assert rows["localized"] == "2, 0 of them by landmarks"
    assert rows["median error"] == "12.00 cm, 1.50 deg"
    assert rows["within 5 cm / 5 deg"] == "33.33 %"
    assert rows["within 5 m / 10 deg"] == "66.67 %"
    assert sum(name.startswith("within ") for name in rows) == 5
    assert rows["off by over 1 m / 10 deg"] == "0"
    assert rows["NEES (1 = calibrated)"] == "none, none"
    assert rows["latency"] == "10.00 ms median, 19.00 ms p95"


# --- what the held-out frames of a new map decide ---


def with_ratio(ratio: float, off_m: float = 0.0, off_deg: float = 0.0) -> LocalizedFrame:
    return replace(frame(off_m, off_deg), inliers=round(1000 * ratio), points=1000)


def test_a_frame_below_a_threshold_is_refused():
    accepted, rejected = with_ratio(0.31).accepted_from(0.3), with_ratio(0.29).accepted_from(0.3)
    assert accepted.estimate is not None
    assert rejected.estimate is None
    assert rejected.covariance_66 is None
    assert rejected.rejection.code == RejectionCode.LOW_INLIER_RATIO
    assert rejected.reason == "a smaller share of inliers than 0.30"
    assert accepted.reason == ""


@pytest.mark.parametrize("gross_errors", [with_ratio(0.17, 0.8), with_ratio(0.17, 0.0, 12.0)])
def test_the_threshold_refuses_every_frame_that_went_astray(gross_errors):
    good = [with_ratio(ratio) for ratio in (0.12, 0.22, 0.4)]
    threshold = acceptance_threshold([*good, gross_errors, with_ratio(0.11, 3.0)])
    assert 0.17 < threshold < 0.22
    assert gross_errors.accepted_from(threshold).estimate is None
    assert good[1].accepted_from(threshold).estimate is not None
    assert acceptance_threshold(good) == acceptance_threshold([]) == 0.10
    # one that landmarks vouch for says nothing about the inliers of the head
    assert acceptance_threshold([*good, replace(gross_errors, landmark_verified=True)]) == 0.10
    # one frame that is wrong about everything does not forbid them all
    assert acceptance_threshold([*good, with_ratio(0.9, 5.0)]) == 0.25


def test_the_threshold_is_above_what_wrong_places_give():
    good = [with_ratio(ratio) for ratio in (0.12, 0.22, 0.4)]
    assert 0.11 < acceptance_threshold(good, [0.03, 0.11, 0.05]) < 0.15
    assert acceptance_threshold(good, [0.6]) == 0.25
    # beside landmarks more is asked
    assert acceptance_threshold(good, [0.03], 0.18) == 0.18
    assert 0.19 < acceptance_threshold(good, [0.16], 0.18) < 0.21


def test_an_image_is_ambiguous_before_held_out_frames_that_were_in_the_wrong_room_are_believed():
    def rivalled(second_best_ratio: float, off_m: float = 0.0) -> LocalizedFrame:
        return replace(frame(off_m), second_best_ratio=second_best_ratio)

    right = [rivalled(0.0), rivalled(0.75), rivalled(0.95)]
    assert second_best_threshold(right) == second_best_threshold([]) == 0.8
    assert 0.6 < second_best_threshold([*right, rivalled(0.7, 5.0), rivalled(0.9, 5.0)]) < 0.7
    assert second_best_threshold([*right, rivalled(0.2, 5.0)]) == 0.5
    # a wrong pose without a rival is no case for it
    assert second_best_threshold([*right, rivalled(0.0, 5.0)]) == 0.8


@pytest.mark.parametrize("too_small", [9.0, 100.0])
def test_the_covariance_scale_makes_claims_true(too_small):
    frames = sampled_frames(200, 1.0 / too_small)
    scale = covariance_scale(frames)
    assert scale == pytest.approx(too_small, rel=0.3)
    scaled = summarize_frames(
        [frame.with_covariance_of(CovarianceModel(scale)) for frame in frames]
    )
    assert scaled["nees_mean"] == pytest.approx(1.0, rel=0.3)


def test_the_covariance_is_never_made_smaller_nor_judged_by_a_few():
    assert covariance_scale(sampled_frames(100, 50.0)) == 1.0
    assert covariance_scale(sampled_frames(4, 0.01)) == 1.0
    assert covariance_scale([]) == 1.0


def test_one_wrong_pose_does_not_blur_all_others():
    frames = sampled_frames(30, 0.25)
    gross_errors = replace(frames[0], estimate=frame(40.0).estimate)
    assert covariance_scale([*frames, gross_errors]) < 1.5 * covariance_scale(frames)


def frames_of(model: CovarianceModel, count: int, seed: int) -> list[LocalizedFrame]:
    """Frames whose solver says between a part of a millimetre and centimetres of itself, and which
    err as the model makes of it.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for size in 10 ** rng.uniform(-1.5, 0.5, count):
        by_solver_66 = size**2 * some_covariance(rng)
        error_6 = rng.multivariate_normal(np.zeros(6), model.of(by_solver_66))
        turn_33 = Rotation.from_rotvec(error_6[3:]).as_matrix()
        estimate = Pose(turn_33.T @ TRUTH.rotation_33, TRUTH.translation_3 - error_6[:3])
        frames.append(LocalizedFrame(0, TRUTH, estimate, by_solver_66, 100, 200, 0.01))
    return frames


@pytest.mark.parametrize("true", [(4.0, 0.02, 0.004), (20.0, 0.05, 0.01), (9.0, 0.0, 0.0)])
def test_what_poses_err_by_however_sure_the_solver_is_comes_on_top(true):
    true = CovarianceModel(*true)
    learned = covariance_model(frames_of(true, 400, seed=1))
    assert learned.scale == pytest.approx(true.scale, rel=0.3)
    assert learned.sigma_m == pytest.approx(true.sigma_m, rel=0.3, abs=0.003)
    assert learned.sigma_rad == pytest.approx(true.sigma_rad, rel=0.3, abs=0.0006)
    # of few, on other frames: neither those that the solver is sure of nor the others are off
    few, others = covariance_model(frames_of(true, 22, seed=2)), frames_of(true, 400, seed=3)
    others.sort(key=lambda each: np.linalg.det(each.covariance_66))
    for part in (others[:200], others[200:]):
        nees = summarize_frames([each.with_covariance_of(few) for each in part])["nees_mean"]
        assert 0.4 < nees < 1.6


def test_a_covariance_model_is_neither_smaller_than_the_solver_nor_learned_from_a_few():
    assert covariance_model(sampled_frames(4, 0.01)) == CovarianceModel()
    assert covariance_model([]) == CovarianceModel()
    wrong = replace(sampled_frames(1, 1.0)[0], estimate=frame(40.0).estimate)
    frames = frames_of(CovarianceModel(4.0, 0.02, 0.004), 30, seed=4)
    assert covariance_model([*frames, wrong]).scale < 2 * covariance_model(frames).scale


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_held_out_blocks_are_contiguous_and_spread_over_the_drive(fraction):
    stamps_n = 1_700_000_000 * 10**9 + np.arange(0, 60 * 10**9, 10**8)
    blocks = HeldOutBlocks(stamps_n, fraction)
    held_out_n = np.array([int(stamp) in blocks for stamp in stamps_n])
    assert held_out_n.mean() == pytest.approx(fraction, abs=0.02)
    edges = np.flatnonzero(np.diff(held_out_n.astype(int)))
    lengths_s = np.diff(edges)[::2] / 10
    assert lengths_s == pytest.approx(np.full(len(lengths_s), BLOCK_S), abs=0.11)
    thirds = held_out_n.reshape(3, -1).mean(axis=1)
    assert thirds.min() > 0.5 * fraction
    assert not any(int(stamp) in HeldOutBlocks(stamps_n, 0.0) for stamp in stamps_n)


# --- files ---


def test_tum_lines_hold_the_accepted_poses_to_the_nanosecond(tmp_path):
    stamps_ns = [1_700_000_000_123_456_789, 1_700_000_001_000_000_001]
    frames = [frame(0.1, 2.0, stamps_ns[0]), refused(), frame(0.2, 1.0, stamps_ns[1])]
    write_tum(tmp_path / "poses.txt", frames)
    lines = (tmp_path / "poses.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1700000000.123456789", "1700000001.000000001"]
    for line, kept in zip(lines, (frames[0], frames[2]), strict=True):
        numbers = [float(word) for word in line.split()[1:]]
        assert len(numbers) == 7
        again = Pose.from_quaternion(numbers[:3], numbers[3:])
        assert again.distance_m(kept.estimate) < 1e-8
        assert again.angle_rad(kept.estimate) < 1e-7


def test_without_an_accepted_pose_the_tum_file_is_empty(tmp_path):
    write_tum(tmp_path / "poses.txt", [refused()])
    assert (tmp_path / "poses.txt").read_text() == ""
