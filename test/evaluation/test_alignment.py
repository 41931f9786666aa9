"""A map in another frame and scale: the motion to the truth is found among gross errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glace_ros.evaluation.alignment import AlignmentImpossible, align
from glace_ros.evaluation.localized_frame import LocalizedFrame
from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.evaluation.metrics_table import aligned_table
from glace_ros.geometry.pose import Pose
from glace_ros.rejection import Rejection, RejectionCode

NO_POSE = Rejection(RejectionCode.NO_POSE, points=3)
MOVED = Pose.from_rotation_vector([40.0, -70.0, 2.0], [0.3, -0.2, 2.0])
ERROR_M = 0.01


def scaled(pose: Pose, scale: float) -> Pose:
    return Pose(pose.rotation_33, scale * pose.translation_3)


def drive(
    seed: int,
    *,
    gross_errors: int = 0,
    rejected: int = 0,
    count: int = 40,
    standing: int = 0,
    width_m: float = 3.0,
) -> list[LocalizedFrame]:
    """Poses about a centimetre and half a degree off their truth, some anywhere, some rejected."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count + standing):
        at = max(0, index - standing) / count
        truth = Pose.from_planar(
            8.0 * at, width_m * np.sin(6.0 * at), rng.uniform(-3, 3)
        ) @ Pose.from_rotation_vector([0.0, 0.0, 0.3], rng.normal(0, 0.01, 3))
        estimate = truth @ Pose.from_rotation_vector(
            rng.normal(0, ERROR_M, 3), rng.normal(0, 0.005, 3)
        )
        frames.append(LocalizedFrame(index, truth, estimate, np.eye(6), 9, 9, 0.1))
    for index in rng.permutation(np.arange(standing, count + standing))[: gross_errors + rejected]:
        astray = Pose.from_rotation_vector(rng.uniform(-30, 30, 3), rng.uniform(-2, 2, 3))
        frames[index] = replace(frames[index], estimate=astray)
        gross_errors -= 1
        if gross_errors < 0:
            frames[index] = replace(
                frames[index], estimate=None, covariance_66=None, rejection=NO_POSE
            )
    return frames


def in_another_frame(
    frames: list[LocalizedFrame], truth_from_map: Pose, scale: float
) -> list[LocalizedFrame]:
    """The frames with estimates of a map for which p_truth = truth_from_map(scale * p_map)."""
    map_from_truth = truth_from_map.inverse()
    return [
        replace(frame, estimate=scaled(map_from_truth @ frame.estimate, 1.0 / scale))
        if frame.estimate
        else frame
        for frame in frames
    ]


rotations = st.tuples(*[st.floats(-1.7, 1.7)] * 3)
translations = st.tuples(*[st.floats(-1000, 1000)] * 3)
scales = st.floats(-3.0, 3.0).map(lambda power: 10.0**power)


@given(rotations, translations, scales, st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_similarity_is_found_among_poses_that_are_astray(turn_3, moved_3, scale, seed):
    truth_from_map = Pose.from_rotation_vector(moved_3, turn_3)
    frames = in_another_frame(drive(seed, gross_errors=16, rejected=4), truth_from_map, scale)
    found = align(frames, "similarity")
    assert (found.fitted, found.poses) == (20, 36)
    assert found.scale == pytest.approx(scale, rel=0.005)
    assert found.truth_from_map.angle_rad(truth_from_map) < np.radians(0.4)
    of_a_point = scaled(Pose.from_rotation_vector([4.0, 0.0, 0.3], [0.0, 0.0, 0.0]), 1.0)
    in_the_map = scaled(truth_from_map.inverse() @ of_a_point, 1.0 / scale)
    assert found.applied(in_the_map).distance_m(of_a_point) < 3 * ERROR_M


@given(rotations, translations, scales, st.integers(0, 99), st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_the_metrics_are_the_same_in_whatever_frame_and_scale_the_map_is(
    turn_3, moved_3, scale, seed, gross_errors
):
    truth_from_map = Pose.from_rotation_vector(moved_3, turn_3)
    frames = drive(seed, gross_errors=gross_errors, rejected=3)
    here = align(frames, "similarity").metrics(frames)
    moved = in_another_frame(frames, truth_from_map, scale)
    there = align(moved, "similarity").metrics(moved)
    assert here["scale"] * scale == pytest.approx(there["scale"], rel=1e-6)
    for name in ("median_translation_m", "median_rotation_deg"):
        assert there[name] == pytest.approx(here[name], rel=1e-4)
    for name in ("frames", "localized", "false_accepts", "recall", "fitted"):
        assert there[name] == here[name]


def test_a_rigid_motion_leaves_the_scale_wrong():
    frames = in_another_frame(drive(0), MOVED, 1.05)
    rigid, similarity = (align(frames, kind).metrics(frames) for kind in ("rigid", "similarity"))
    assert rigid["scale"] == 1.0
    assert rigid["median_translation_m"] > 5 * similarity["median_translation_m"]
    assert rigid["median_rotation_deg"] == pytest.approx(similarity["median_rotation_deg"], abs=0.2)
    assert similarity["recall"]["5cm_5deg"] == 1.0
    assert similarity["scale"] == pytest.approx(1.05, rel=0.002)


def test_metrics_count_what_is_rejected_and_leave_the_plain_ones_alone():
    frames = in_another_frame(drive(3, gross_errors=6, rejected=10), MOVED, 1.0)
    before = summarize_frames(frames)
    metrics = align(frames, "rigid").metrics(frames)
    assert summarize_frames(frames) == before
    assert before["recall"]["5m_10deg"] == 0.0
    assert (metrics["frames"], metrics["localized"]) == (40, 30)
    assert metrics["recall"]["5cm_5deg"] == 24 / 40
    assert metrics["false_accepts"] == 6
    assert metrics["median_translation_m"] < 4 * ERROR_M  # over 40, the 20th of 24 right ones
    assert set(metrics) == {
        "kind", "scale", "truth_from_map", "fitted", "frames", "localized", "recall",
        "median_translation_m", "median_rotation_deg", "false_accepts",
    }  # fmt: skip
    motion_7 = metrics["truth_from_map"]
    told = Pose.from_quaternion(motion_7[:3], motion_7[3:])
    assert told.angle_rad(MOVED) < np.radians(0.3)
    json.dumps(metrics, allow_nan=False)


def test_most_rejected_there_is_no_median():
    frames = in_another_frame(drive(3, rejected=25), MOVED, 2.0)
    metrics = align(frames, "similarity").metrics(frames)
    assert metrics["median_translation_m"] is None
    assert metrics["recall"]["5cm_5deg"] == 15 / 40


def test_a_drive_along_a_line_is_not_turned_about_it():
    frames = in_another_frame(drive(1, width_m=0.0), MOVED, 1.0)
    for kind in ("rigid", "similarity"):
        assert align(frames, kind).truth_from_map.angle_rad(MOVED) < np.radians(0.5)


def test_a_robot_that_stands_most_of_the_time_does_not_outvote_its_drive():
    frames = in_another_frame(drive(2, standing=200), MOVED, 1.3)
    found = align(frames, "similarity")
    assert found.scale == pytest.approx(1.3, rel=0.005)
    assert found.fitted > 230


def test_of_a_bent_map_all_poses_count_not_the_better_half():
    """Odometry that turns more and more: the same as least squares over everything."""
    frames = [
        replace(
            frame,
            estimate=Pose.from_planar(0.0, 0.02 * index / 40 * 5.0, 0.1 * (index / 40) ** 2)
            @ frame.estimate,
        )
        for index, frame in enumerate(drive(0))
    ]
    found = align(in_another_frame(frames, MOVED, 1.1), "similarity")
    assert found.fitted == 40
    positions = [
        np.array([getattr(frame, side).translation_3 for frame in frames])
        for side in ("truth", "estimate")
    ]
    truth_n3, bent_n3 = (position_n3 - position_n3.mean(axis=0) for position_n3 in positions)
    left_33, sizes_3, right_33 = np.linalg.svd(truth_n3.T @ bent_n3)
    sizes_3[2] *= np.linalg.det(left_33 @ right_33)
    assert found.scale == pytest.approx(1.1 * sizes_3.sum() / (bent_n3**2).sum(), rel=1e-3)


def test_too_few_poses_or_too_small_a_drive_are_refused_in_a_sentence():
    with pytest.raises(AlignmentImpossible, match="are 9 accepted poses with a truth; .* needs 10"):
        align(drive(0, count=9), "rigid")
    with pytest.raises(AlignmentImpossible, match="are 0 accepted"):
        align([replace(frame, truth=None) for frame in drive(0)], "rigid")
    with pytest.raises(AlignmentImpossible, match="at 1 places within 0.00 m"):
        align([drive(0)[0]] * 30, "rigid")
    one_place = [replace(frame, estimate=MOVED) for frame in drive(0)]
    with pytest.raises(AlignmentImpossible, match="all at one place of the map"):
        align(one_place, "similarity")


def test_the_rows_are_named_as_aligned():
    frames = in_another_frame(drive(0, gross_errors=4), Pose.from_planar(2.0, 1.0, 0.5), 1.02)
    alignment = align(frames, "similarity")
    rows = aligned_table(alignment, alignment.metrics(frames))
    assert all(what.startswith("aligned") for what, _ in rows)
    assert dict(rows)["aligned: within 5 cm / 5 deg"] == "90.00 %"
    words = dict(rows)["aligned (similarity)"]
    assert words.startswith("scale 1.0")
    assert "turned by 28." in words
    assert words.endswith("fitted to 36 of 40 poses")
