"""The pose in saved_pose_file: what is written, what is refused, and a node that was killed."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from glace_ros.msg import LocalizationStatus
from lifecycle_msgs.msg import Transition
from support.core_scenes import poses
from support.fake_localizer_process import REJECT
from support.robot import odometry_at, stamp_of
from support.waiting import let_pass, wait_until

from glace_ros.geometry.pose import Pose
from glace_ros.node.saved_pose import SavedPose, SavedPoseError
from glace_ros.node.saved_pose_file import LARGEST_BYTES, SavedPoseFile
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform

COVARIANCE_66 = np.diag([1e-4, 4e-4, 0.0, 0.0, 0.0, 9e-5])
MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)


def saved(pose=None, **changes):
    fields = {
        "map_id": "office.glace 01234567", "origin_m": (1.0, 2.0, 0.5),
        "base_frame": "base_footprint", "stamp_ns": 1_700_000_000_123_456_789,
        "map_from_base": pose or Pose.from_planar(1.0, 2.0, 0.3), "covariance_66": COVARIANCE_66,
    }  # fmt: skip
    return SavedPose(**{**fields, **changes})


@settings(deadline=None)
@given(poses(1e6))
def test_what_is_written_is_read_again(pose):
    before = saved(pose)
    after = SavedPose.from_json(before.to_json())
    assert after.map_from_base.distance_m(pose) == 0.0
    assert after.map_from_base.angle_rad(pose) < 1e-7
    np.testing.assert_array_equal(after.covariance_66, COVARIANCE_66)
    assert (after.map_id, after.origin_m, after.base_frame, after.stamp_ns) == (
        before.map_id, before.origin_m, before.base_frame, before.stamp_ns,
    )  # fmt: skip
    assert len(before.to_json().encode()) < LARGEST_BYTES / 20


def test_the_covariance_grows_by_a_metre_and_thirty_degrees():
    sigma_6 = np.sqrt(saved().expected_66.diagonal())
    assert sigma_6[0] == pytest.approx(math.hypot(0.01, 1.0))
    assert sigma_6[5] == pytest.approx(math.hypot(math.sqrt(9e-5), math.radians(30.0)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=40,
)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.sampled_from(sorted(json.loads(saved().to_json()))), JSON), JSON)
def test_no_content_does_anything_but_be_refused_or_give_a_finite_pose(changes, whole):
    content = {**json.loads(saved().to_json()), **changes}
    for text in (json.dumps(content), json.dumps(whole)):
        try:
            pose = SavedPose.from_json(text)
        except SavedPoseError:
            continue
        assert np.isfinite(pose.map_from_base.matrix_44).all()
        assert np.isfinite(pose.expected_66).all()


def changed(**changes):
    return json.dumps({**json.loads(saved().to_json()), **changes}).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is not JSON"),
        (saved().to_json().encode()[:200], "it is not JSON"),
        (b"\xff\xfe{}", "it is not JSON"),
        (b"[" * 60_000, "it is not JSON"),
        (b" " * (LARGEST_BYTES + 1), "too large"),
        (b"{}", "not a file that this node writes"),
        (changed(stamp_ns="now"), "no map, base_frame_id or stamp_ns"),
        (changed(position_m=[1.0, 2.0, math.nan]), "its position_m are not 3 numbers"),
        (changed(position_m=[1.0, 2.0, 10**400]), "its position_m are not 3 numbers"),
        (changed(quaternion_xyzw=[0.0] * 4), "zero quaternion"),
        (changed(covariance=[0.0] * 35), "its covariance are not 36 numbers"),
        (changed(covariance=(-np.eye(6)).ravel().tolist()), "its covariance is none"),
        (changed(covariance=(1e9 * np.eye(6)).ravel().tolist()), "its covariance is none"),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_reason(tmp_path, data, said):
    path = tmp_path / "pose.json"
    path.write_bytes(data)
    file = SavedPoseFile(path, None)
    with pytest.raises(SavedPoseError, match=r"^[^\n]*$") as error:
        file.read()
    file.stop()
    assert said in str(error.value)


def test_a_folder_or_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        file = SavedPoseFile(path, None)
        with pytest.raises(SavedPoseError, match="not a file"):
            file.read()
        file.stop()


def test_the_newest_pose_is_written_at_once_then_seldom_and_at_the_end(tmp_path):
    path = tmp_path / "pose.json"
    file = SavedPoseFile(path, None)
    assert file.read() is None
    file.start()
    file.offer(saved(stamp_ns=1))
    wait_until(path.exists)
    for stamp_ns in (2, 3, 4):
        file.offer(saved(stamp_ns=stamp_ns))
    assert file.read().stamp_ns == 1  # PERIOD_S is not over
    file.stop()
    assert file.read().stamp_ns == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["pose.json"]


def test_what_is_forgotten_is_not_written(tmp_path):
    file = SavedPoseFile(tmp_path / "pose.json", None)
    file.start()
    file.offer(saved(stamp_ns=1))
    wait_until((tmp_path / "pose.json").exists)
    file.offer(saved(stamp_ns=2))
    file.forget()
    file.stop()
    assert file.read().stamp_ns == 1


def test_a_place_that_cannot_be_written_is_said_once(tmp_path):
    said = []
    path = tmp_path / "missing" / "pose.json"
    file = SavedPoseFile(path, SimpleNamespace(warning=said.append, info=said.append))
    file.start()
    file.check_writable()
    file.offer(saved())
    file.stop()
    assert said == [
        f"The pose cannot be saved in {path} (saved_pose_file): No such file or directory."
    ]


def test_a_map_that_was_renamed_is_the_same_and_one_that_was_moved_or_built_anew_is_not():
    pose = saved()
    for map_id in ("office.glace 01234567", "a copy of office.glace 01234567"):
        pose.check_is_of(map_id, (1.0, 2.0, 0.5), "base_footprint")
        with pytest.raises(SavedPoseError, match=r"^it is of the map 'office.glace 01234567', not"):
            pose.check_is_of(map_id, (1.0, 2.0, 0.0), "base_footprint")
        with pytest.raises(SavedPoseError, match=r"^it is of 'base_footprint', not of 'base_link'"):
            pose.check_is_of(map_id, (1.0, 2.0, 0.5), "base_link")
    for map_id in ("office.glace 89abcdef", "office.glace", "01234567 office.glace", ""):
        with pytest.raises(SavedPoseError, match="it is of the map"):
            pose.check_is_of(map_id, (1.0, 2.0, 0.5), "base_footprint")


# --- in a real process ---


def ns(stamp):
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def until_poses(robot, map_from_odom=MAP_FROM_ODOM, count=1):
    deadline, before = time.monotonic() + 40.0, len(robot.poses)
    while len(robot.poses) < before + count:
        assert time.monotonic() < deadline
        robot.drive(map_from_odom, 0.3)


@pytest.mark.ros
def test_a_node_that_was_killed_expects_the_robot_where_it_was(robot, start, tmp_path):
    path = tmp_path / "pose.json"
    node = start(wait=False, autostart="true", saved_pose_file=path)
    robot.wait_for_node()
    robot.wait_for_listeners()
    robot.publish_static()
    until_poses(robot, count=3)
    wait_until(path.exists)
    node.process.send_signal(signal.SIGKILL)
    node.process.wait()
    content = SavedPose.from_json(path.read_text())
    written = next(p for p in robot.poses if stamp_of(p) == content.stamp_ns)
    truth = MAP_FROM_ODOM @ odometry_at(content.stamp_ns)
    assert content.map_from_base.distance_m(truth) < 1e-6
    assert content.map_from_base.distance_m(pose_from_message(written.pose.pose)) < 1e-9
    np.testing.assert_allclose(content.covariance_66.ravel(), written.pose.covariance)

    renamed = "/maps/copy.glace"
    node = start(wait=False, autostart="true", saved_pose_file=path, map=renamed)
    x_m, y_m, _ = content.map_from_base.translation_3
    node.wait_for(f"Saved pose x={x_m:.2f} y={y_m:.2f}", 150.0)
    robot.wait_for_listeners()
    robot.publish_static()
    let_pass(0.5, "what was sent before may still be on its way")
    for came in (robot.poses, robot.transforms, robot.statuses):
        came.clear()
    while not any(status.rejection_reason for status in robot.statuses):
        robot.drive(MAP_FROM_ODOM, 0.5, REJECT)
    assert (robot.poses, robot.transforms) == ([], [])  # it is no fix
    assert robot.statuses[-1].state == LocalizationStatus.UNLOCALIZED
    elsewhere = Pose.from_planar(300.0, 0.0, 0.0)
    while "sigma from the prediction (1/3 toward" not in robot.rejections():
        robot.drive(elsewhere, 0.15)
        let_pass(0.5, "one of each drive may be looked at: three of them would be a consensus")
    assert robot.poses == []
    # its wheels have counted on meanwhile, but it stands where it stood
    began_ns = robot.now_ns()
    here = content.map_from_base @ odometry_at(robot.now_ns()).inverse()
    robot.drive(here, 0.6)
    first = wait_until(lambda: robot.poses and robot.poses[0])
    assert all(ns(status.rejection_stamp) < began_ns for status in robot.statuses)
    assert pose_from_message(first.pose.pose).distance_m(content.map_from_base) < 1.0
    transform = wait_until(lambda: robot.transforms and robot.transforms[-1])
    # one look counts for more than what was saved, by 1 m against 2 cm
    assert pose_from_transform(transform.transform).distance_m(here) < 0.05

    assert robot.transition(Transition.TRANSITION_DEACTIVATE)
    written_ns = SavedPose.from_json(path.read_text()).stamp_ns
    wait_until(lambda: written_ns == stamp_of(robot.poses[-1]))


@pytest.mark.ros
def test_what_cannot_be_expected_is_said_and_the_robot_is_found_without(robot, start, tmp_path):
    of_other = tmp_path / "other.json"
    of_other.write_text(saved(map_id="office.glace 89abcdef").to_json())
    node = start(wait=False, autostart="true", saved_pose_file=of_other)
    robot.wait_for_node()
    robot.wait_for_listeners()
    node.wait_for(
        f"The pose in {of_other} (saved_pose_file) is left out: it is of the map "
        "'office.glace 89abcdef', not of 'fake.glace 01234567'."
    )
    robot.publish_static()
    until_poses(robot)
    assert "sigma from the prediction" not in robot.rejections()
    missing = tmp_path / "missing" / "pose.json"
    assert robot.transition(Transition.TRANSITION_DEACTIVATE)
    assert SavedPose.from_json(of_other.read_text()).map_id == "fake.glace 01234567"
    robot.activate(saved_pose_file=str(missing))
    node.wait_for(f"The pose cannot be saved in {missing} (saved_pose_file): No such file")
    until_poses(robot)
    robot.activate(saved_pose_file="")
    assert "Traceback" not in node.log()
