"""Poses at any time, by the corrections of the views around; and refined poses as files."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from glace_ros.commands.build_map_poses import PoseChoice
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.intrinsics import IntrinsicsEstimate
from glace_ros.mapping.pose_refinement.pose_check import PoseCheck
from glace_ros.mapping.pose_refinement.pose_consistency import PoseConsistency
from glace_ros.mapping.pose_refinement.refined_poses import (
    RefinedPoses,
    RefinedTrajectory,
    RefinementFindings,
    findings_json,
)
from glace_ros.recording.posed_images import PosedImage

FINDINGS = RefinementFindings(
    loops_found=7, loops=[(0, 3), (1, 2)], loops_between_drives=1, way_m=12.5, drift_ratio=0.021,
    drift_deg_per_m=0.4, moved_median_m=0.123, moved_most=[(2, 0.5, 3.25), (0, 0.1, 1.0)],
    rotation_noise_deg=0.6, position_noise_m=0.01, readout_ms=17.0,
    reprojection_px=0.6,
)  # fmt: skip
CONSISTENCY = PoseConsistency(0.875, 40, 38)
INTRINSICS = IntrinsicsEstimate(*np.arange(12.0).reshape(3, 4))
SECOND = 1_000_000_000
FAR_3 = np.array([5e5, 5.4e6, 300.0])


def odometry(stamp_ns: int, origin_3=(0.0, 0.0, 0.0)) -> Pose:
    t_s = stamp_ns / SECOND
    return Pose.from_rotation_vector(
        np.array(origin_3) + [0.5 * t_s, np.sin(t_s), 0.2], [0.1, 0.0, 0.4 * t_s]
    )


def correction(stamp_ns: int, origin_3=(0.0, 0.0, 0.0)) -> Pose:
    """What drift took, about the drive's own start."""
    t_s = stamp_ns / SECOND
    there = Pose(np.eye(3), np.array(origin_3, np.float64))
    return there @ Pose.from_planar(0.1 * t_s, -0.04 * t_s, 0.02 * t_s) @ there.inverse()


def trajectory(stamps_ns, drive=0, stretches=None, origin_3=(0.0, 0.0, 0.0)):
    recorded = [odometry(stamp_ns, origin_3) for stamp_ns in stamps_ns]
    refined = [correction(s, origin_3) @ pose for s, pose in zip(stamps_ns, recorded, strict=True)]
    places = [(drive, stamp_ns) for stamp_ns in stamps_ns]
    stretches = stretches or [0] * len(places)
    begins_ns = [stamps_ns[stretches.index(part)] for part in dict.fromkeys(stretches)]
    return RefinedTrajectory(places, stretches, begins_ns, recorded, refined), recorded, refined


STAMPS_NS = [0, SECOND, 2 * SECOND, 5 * SECOND]


def near(pose: Pose, other: Pose, metres: float = 1e-9) -> bool:
    return pose.distance_m(other) < metres and pose.angle_rad(other) < 1e-6


@pytest.mark.parametrize("origin_3", [(0, 0, 0), FAR_3], ids=["near", "UTM"])
def test_a_view_s_stamp_has_the_view_s_pose(origin_3):
    refinement, recorded, refined = trajectory(STAMPS_NS, origin_3=origin_3)
    for stamp_ns, by_odometry, pose in zip(STAMPS_NS, recorded, refined, strict=True):
        assert near(refinement.pose(0, stamp_ns, by_odometry), pose, 1e-6)


@pytest.mark.parametrize("origin_3", [(0, 0, 0), FAR_3], ids=["near", "UTM"])
def test_between_views_the_correction_changes_evenly(origin_3):
    """Odometry's own motion stays in: it turns and curves between two views 3 s apart."""
    refinement, *_ = trajectory(STAMPS_NS, origin_3=origin_3)
    for stamp_ns in range(SECOND, 2 * SECOND, SECOND // 7):
        by_odometry = odometry(stamp_ns, origin_3)
        found = refinement.pose(0, stamp_ns, by_odometry)
        assert near(found, correction(stamp_ns, origin_3) @ by_odometry, 1e-3)
    fine_ns = np.arange(2 * SECOND - 10**7, 5 * SECOND + 10**7, 10**7)
    poses = [refinement.pose(0, s, odometry(s, origin_3)) for s in fine_ns.tolist()]
    steps_m = [a.distance_m(b) for a, b in itertools.pairwise(poses)]
    assert max(steps_m) < 0.02  # 1.2 m/s
    bends_m = np.abs(np.diff(steps_m))
    assert bends_m.max() < 0.002  # and so at the views themselves


def test_outside_of_the_views_the_nearest_correction_holds():
    refinement, recorded, refined = trajectory(STAMPS_NS[1:])
    for stamp_ns, view in ((0, 0), (SECOND - 1, 0), (9 * SECOND, -1)):
        by_odometry = odometry(stamp_ns)
        expected = refined[view] @ recorded[view].inverse() @ by_odometry
        assert near(refinement.pose(0, stamp_ns, by_odometry), expected)


def test_a_stretch_of_one_view_has_one_correction():
    refinement, recorded, refined = trajectory([SECOND])
    for stamp_ns in (0, SECOND, 2 * SECOND):
        by_odometry = odometry(stamp_ns)
        expected = refined[0] @ recorded[0].inverse() @ by_odometry
        assert near(refinement.pose(0, stamp_ns, by_odometry), expected)


def test_no_correction_reaches_over_a_jump_of_the_poses():
    """Of two parts of one drive: the second begins where the poses jump, before its first view."""
    stamps_ns = [0, SECOND, 3 * SECOND, 4 * SECOND]
    recorded = [odometry(stamp_ns) for stamp_ns in stamps_ns]
    shift = Pose.from_planar(100.0, 0.0, 1.0)
    refined = [*recorded[:2], *[shift @ pose for pose in recorded[2:]]]
    places = [(0, stamp_ns) for stamp_ns in stamps_ns]
    refinement = RefinedTrajectory(places, [0, 0, 1, 1], [0, 2 * SECOND], recorded, refined)
    before = odometry(2 * SECOND - 1)
    assert near(refinement.pose(0, 2 * SECOND - 1, before), before)
    behind = odometry(2 * SECOND)
    assert near(refinement.pose(0, 2 * SECOND, behind), shift @ behind)
    later = odometry(7 * SECOND // 2)
    assert near(refinement.pose(0, 7 * SECOND // 2, later), shift @ later)


def test_each_drive_has_corrections_of_its_own():
    stamps_ns = [0, SECOND]
    recorded = [odometry(stamp_ns) for stamp_ns in stamps_ns]
    shift = Pose.from_planar(10.0, 0.0, 1.0)
    refinement = RefinedTrajectory(
        [(drive, stamp_ns) for drive in (0, 1) for stamp_ns in stamps_ns], [0, 0, 1, 1],
        [0, 0], recorded * 2, [*recorded, *[shift @ pose for pose in recorded]],
    )  # fmt: skip
    half = odometry(SECOND // 2)
    assert near(refinement.pose(0, SECOND // 2, half), half)
    assert near(refinement.pose(1, SECOND // 2, half), shift @ half)


def test_images_get_their_poses_and_images_without_one_stay():
    refinement, recorded, refined = trajectory(STAMPS_NS)
    image = PosedImage(
        stamp_ns=SECOND, image_rgb_hwc=np.zeros((2, 2, 3), np.uint8), camera=None,
        map_from_camera=recorded[1],
    )  # fmt: skip
    choice = PoseChoice.__new__(PoseChoice)  # of whatever recording: these are its poses
    choice.trajectory, choice.refined = refinement, None
    assert near(choice.of_image(image).map_from_camera, refined[1])
    unknown = replace(image, map_from_camera=None)
    assert choice.of_image(unknown) is unknown


def test_refined_poses_come_back_from_tensors():
    poses = [odometry(stamp_ns, FAR_3) for stamp_ns in STAMPS_NS]
    for findings in (FINDINGS, replace(FINDINGS, drift_ratio=None, drift_deg_per_m=None)):
        back = RefinedPoses.of(
            RefinedPoses(poses, findings, PoseCheck(CONSISTENCY, INTRINSICS)).tensors()
        )
        assert (back.findings, back.check.consistency) == (findings, CONSISTENCY)
        for kept, given in zip(back.check.intrinsics, INTRINSICS, strict=True):
            assert np.array_equal(kept, given)
        for pose, other in zip(back.map_from_camera, poses, strict=True):
            assert (pose.matrix_44 == other.matrix_44).all()


def test_findings_for_programs_name_views_by_their_stamps():
    places = [(0, 10), (0, 20), (1, 30), (1, 40)]
    found = json.loads(json.dumps(findings_json(FINDINGS, places)))
    assert found["loops"] == [[[0, 10], [1, 40]], [[0, 20], [1, 30]]]
    assert found["moved_most"] == [
        {"drive": 1, "stamp_ns": 30, "m": 0.5, "deg": 3.25},
        {"drive": 0, "stamp_ns": 10, "m": 0.1, "deg": 1.0},
    ]
    assert found["drift_ratio"] == 0.021
    assert set(found) == set(RefinementFindings.__dataclass_fields__)


def test_sentences_say_what_a_user_should_know():
    said = FINDINGS.sentences()
    assert said == [
        "poses refined: 2 loops over 12 m; poses were moved by 12 cm (median), at most by 50 cm "
        "and 3.2 deg",
        "odometry drifts by 2.1 cm and 0.40 deg for each metre of way (median over the loops)",
        "5 of 7 loops contradict the others, left out",
        "the camera has a rolling shutter of about 17 ms, which was taken into account",
    ]
    assert len(replace(FINDINGS, readout_ms=0.0, loops_found=2).sentences()) == 2
