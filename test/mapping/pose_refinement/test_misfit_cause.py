"""Why poses do not fit the images: stamps, a camera frame that is turned, a focal length."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from support.drifting_drive import (
    BASE_FROM_CAMERA,
    INTRINSICS_4,
    OPTICAL,
    PERIOD_S,
    record,
    room,
    rounds,
)

from glace_ros.geometry.pose import Pose, interpolate
from glace_ros.mapping.pose_refinement.misfit_cause import (
    FOCAL,
    LATE,
    TURNED,
    misfit_cause,
)

VIEWS = 45


def cause_of(*, late_s=0.0, frame=BASE_FROM_CAMERA, focal_ratio=1.0, poses=None):
    """Of a drive through a room whose poses are right but for that.

    frame: where the recording says that the camera is on the robot.
    """
    rng = np.random.default_rng(5)
    truth = rounds(VIEWS)
    views = record(room(3), truth, truth, rng, focal_ratio=focal_ratio)

    def pose_at(view, offset_s):
        at = view + (late_s + offset_s) / PERIOD_S
        before = int(np.floor(at))
        if not 0 <= before < VIEWS - 1:
            return None
        base = interpolate(*(poses or truth)[before : before + 2], at - before)
        return base @ frame

    return misfit_cause(views, pose_at)


@pytest.mark.parametrize("late_s", [0.4, 0.9, -0.5])
def test_stamps_that_are_late_are_told_by_how_much(late_s):
    cause = cause_of(late_s=late_s)
    assert cause.kind == LATE
    assert cause.offset_s == pytest.approx(-late_s, abs=0.03)
    said = cause.sentence(BASE_FROM_CAMERA, 160.0)
    assert f"{abs(late_s):.2f} s {'late' if late_s > 0 else 'early'}" in said


def test_the_link_in_place_of_the_optical_frame_is_told():
    body = BASE_FROM_CAMERA @ OPTICAL.inverse()
    cause = cause_of(frame=body)
    assert cause.kind == TURNED
    said = cause.sentence(body, 160.0)
    assert "the camera's link (x forward), not its optical frame" in said
    numbers = said.split('--camera-pose "')[1].split('"')[0].split()
    given = Pose.of_seven([float(number) for number in numbers])
    assert given.angle_rad(BASE_FROM_CAMERA) < 1e-3
    assert given.distance_m(BASE_FROM_CAMERA) < 1e-3


def test_a_camera_that_is_turned_is_told_by_how_much():
    wrong = BASE_FROM_CAMERA @ Pose.from_rotation_vector([0, 0, 0], [0.2, -1.0, 0.3])
    cause = cause_of(frame=wrong)
    assert cause.kind == TURNED
    assert (wrong @ cause.turn).angle_rad(BASE_FROM_CAMERA) < np.radians(1)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("degrees", [6, -9])
def test_a_mount_that_is_turned_a_little_is_told_though_poses_fit(axis, degrees):
    turn = Pose.from_rotation_vector([0, 0, 0], np.radians(degrees) * np.eye(3)[axis])
    wrong = BASE_FROM_CAMERA @ turn
    cause = cause_of(frame=wrong)
    assert cause.kind == TURNED
    said = cause.sentence(wrong, 160.0)
    assert f"turned by {abs(degrees)} deg against its recorded mount" in said
    numbers = said.split('--camera-pose "')[1].split('"')[0].split()
    given = Pose.of_seven([float(number) for number in numbers])
    assert given.angle_rad(BASE_FROM_CAMERA) < np.radians(0.7)
    assert ("--calibrate" in said) == cause.is_slight


@pytest.mark.parametrize("rad_m", [0.03, -0.03])
def test_odometry_that_drifts_is_no_mount(rad_m):
    """By 1.7 degrees a metre, always to the same side."""
    truth = rounds(VIEWS)
    drifted = [truth[0]]
    for before, after in pairwise(truth):
        step = before.inverse() @ after
        bend = Pose.from_planar(0.0, 0.0, rad_m * float(np.linalg.norm(step.translation_3)))
        drifted.append(drifted[-1] @ step @ bend)
    assert cause_of(poses=drifted) is None


def test_a_link_and_late_stamps_are_told_together():
    cause = cause_of(late_s=0.4, frame=BASE_FROM_CAMERA @ OPTICAL.inverse())
    assert cause.kind == TURNED
    assert cause.offset_s == pytest.approx(-0.4, abs=0.051)
    assert "stamped 0.40 s late" in cause.sentence(BASE_FROM_CAMERA, 160.0)


@pytest.mark.parametrize("focal_ratio", [0.7, 1.4])
def test_a_wrong_focal_length_is_told(focal_ratio):
    cause = cause_of(focal_ratio=focal_ratio)
    assert cause.kind == FOCAL
    assert cause.focal_ratio == pytest.approx(focal_ratio, rel=0.03)
    recorded_px = INTRINSICS_4[0] / focal_ratio
    about = float(cause.sentence(BASE_FROM_CAMERA, recorded_px).split("about ")[1].split(" ")[0])
    assert about == pytest.approx(INTRINSICS_4[0], rel=0.03)


def test_poses_that_fit_have_no_cause():
    assert cause_of() is None


def test_of_poses_of_another_drive_nothing_is_told():
    rng = np.random.default_rng(0)
    elsewhere = [Pose.from_planar(*rng.uniform(-2, 2, 2), rng.uniform(-3, 3)) for _ in range(VIEWS)]
    assert cause_of(poses=elsewhere) is None
