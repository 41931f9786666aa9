"""What the node says of an activation: the reason in the log is that of the newest image."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.node.localizing import localization_run
from glace_ros.node.localizing.base_locator import ImageRejected, LocatedBase
from glace_ros.node.localizing.localization_run import LocalizationRun
from glace_ros.node.ros_interface.parameters import LocalizeParameters
from glace_ros.rejection import Rejection, RejectionCode

S = 1_000_000_000
ESTIMATE = PoseEstimate(
    Pose.identity(), 1e-4 * np.eye(6), inliers=90, points=100, reprojection_px=1.0, seconds=0.1,
    pixels_m2=np.empty((0, 2)), points_m3=np.empty((0, 3)),
    camera=Camera(64, 48, 60.0, 60.0, 31.5, 23.5),
)  # fmt: skip
REJECTED = ImageRejected(Rejection(RejectionCode.NO_CAMERA_INFO))


@pytest.fixture
def said():
    return []


@pytest.fixture
def run(said):
    log = SimpleNamespace(info=said.append, warning=said.append, error=said.append)
    return LocalizationRun(LocalizeParameters(), log, lambda *_: None)


def fix(run, stamp_ns):
    located = LocatedBase(ESTIMATE, Pose.identity(), 1e-4 * np.eye(6), Pose.identity())
    run.accept(stamp_ns, 0.1, located)


def test_a_camera_info_may_be_a_second_late_before_it_is_warned_of(run, said, monkeypatch):
    now_s = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now_s[0])
    monkeypatch.setattr(localization_run, "time", clock)
    run.reject(1 * S, 0.1, REJECTED, "front")
    now_s[0] += 0.9
    for camera in ("front", "rear"):
        run.reject(2 * S, 0.1, REJECTED, camera)
    assert said == []
    report = run.report(3 * S)  # but it is told
    assert report.rejection_code == RejectionCode.NO_CAMERA_INFO
    assert (report.rejection_stamp_ns, report.rejection_reason) == (2 * S, str(REJECTED))
    assert run.counts == {"front: camera_info": 2, "rear: camera_info": 1}
    now_s[0] += 0.2
    for camera in ("front", "rear"):
        run.reject(3 * S, 0.1, REJECTED, camera)
    assert said == [str(REJECTED)]  # of the front camera
    run.reject(3 * S, 0.1, ImageRejected(Rejection(RejectionCode.NO_FRAME_ID)), "left")
    assert len(said) == 2  # all else is said at once


def test_without_images_after_a_fix_an_older_rejection_is_not_the_reason(run, said):
    run.reject(1 * S, 0.1, REJECTED)
    fix(run, 2 * S)
    assert run.watch(5 * S)
    assert said[-1] == "DEGRADED: no fix for 3.0 s (no image has come)"


def test_the_newest_image_s_rejection_is_the_reason(run, said):
    fix(run, 2 * S)
    run.reject(4 * S, 0.1, REJECTED)
    assert run.watch(5 * S)
    assert said[-1] == f"DEGRADED: no fix for 3.0 s ({REJECTED})"
