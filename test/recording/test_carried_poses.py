"""Poses that come seldom, between which wheel odometry leads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.bag_writing import BASE_FROM_CAMERA, START_NS, bag_writer, picture

from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.held_out import HeldOutBlocks

S, PERIOD_NS, POSE_EVERY = 1_000_000_000, 20_000_000, 150
STEPS = 5 * POSE_EVERY + 1
SLOWLY, FOOTPRINT = (
    Pose.from_planar(7.0, -2.0, 1.1),
    Pose.from_rotation_vector([0, 0, 0.1], [0] * 3),
)


def truth(step):
    """A curve of half a metre and 20 degrees a second, and a rest of two seconds."""
    t = step * PERIOD_NS / S
    t = min(t, 4.0) + max(0.0, t - 6.0)
    yaw = 0.35 * t
    return Pose.from_planar(np.sin(yaw) / 0.7, (1 - np.cos(yaw)) / 0.7, yaw)


def wheels():
    """The same as wheels count it: 4 % too long, and turning 3 % too far."""
    poses = [SLOWLY]
    for before, after in itertools.pairwise(map(truth, range(STEPS))):
        motion = before.inverse() @ after
        x, y = 1.04 * motion.translation_3[:2]
        poses.append(poses[-1] @ Pose.from_planar(x, y, 1.03 * motion.yaw_rad))
    return poses


def write(path, odometry, elsewhere=None, every=POSE_EVERY, off=None):
    """A pose each `every` steps. odometry: topic, other frame, tf or none.

    elsewhere: of the later poses, from where they are.
    off: gives by how much each pose is.
    """
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.tf("base_footprint", "base_link", START_NS, FOOTPRINT, "/tf_static")
        counted = wheels()
        for step in range(STEPS):
            stamp = START_NS + step * PERIOD_NS
            pose = counted[step]
            if odometry == "topic":
                bag.odometry("/odom", stamp, bag.pose(pose))
            elif odometry == "other frame":
                pose = pose @ FOOTPRINT.inverse()
                bag.odometry("/odom", stamp, bag.pose(pose), child="base_footprint")
            elif odometry == "tf":
                bag.tf("odom", "base_footprint", stamp, pose @ FOOTPRINT.inverse())
            if step % every == 0:
                later = elsewhere if elsewhere and step >= 3 * POSE_EVERY else Pose.identity()
                right = bag.pose(later @ truth(step) @ (off() if off else Pose.identity()))
                bag.pose_stamped("/amcl_pose", stamp, right, covariance=True)
            if step % 5 == 2:
                bag.camera_info("/camera/camera_info", stamp)
                bag.image("/camera/image_raw", stamp, picture(step))
    return path


def read(path):
    reader = RecordingReader(path, pose_source="/amcl_pose", base_frame="base_link")
    with reader:
        images = list(reader.images())
        found = {i.stamp_ns: i.map_from_camera for i in images if i.map_from_camera is not None}
        return found, reader.notes, reader.pose_stamps_n()


def errors_m(found):
    return [
        pose.distance_m(truth((stamp - START_NS) // PERIOD_NS) @ BASE_FROM_CAMERA)
        for stamp, pose in found.items()
    ]


@pytest.mark.parametrize("odometry", ["topic", "other frame", "tf"])
def test_poses_three_seconds_apart_are_carried_by_odometry(tmp_path, odometry):
    found, notes, stamps_n = read(write(tmp_path / "bag", odometry))
    assert len(found) == 150
    assert max(errors_m(found)) < 0.02  # by wheels alone, 0.2 m at the end
    (note,) = notes
    assert note.startswith("/amcl_pose: 5 gaps between its poses, up to 3.0 s long, are bridged")
    assert np.diff(stamps_n).max() < 0.2 * S  # of which images are held out
    assert HeldOutBlocks(stamps_n, 0.1).intervals_ns


@pytest.mark.parametrize(("odometry", "seed"), [("topic", 0), ("topic", 1), ("tf", 2)])
def test_small_corrections_of_amcl_are_silent(tmp_path, odometry, seed):
    """After 0.3 m or a second, each off by 3 cm and 0.7 degrees or so."""
    rng = np.random.default_rng(seed)

    def off():
        return Pose.from_planar(*rng.normal(0.0, [0.03, 0.03, np.radians(0.7)]))

    path = write(tmp_path / "bag", odometry, every=30, off=off)
    found, notes, _ = read(path)
    assert len(found) > 145
    assert np.median(errors_m(found)) < 0.06
    assert not [note for note in notes if "jump" in note or "two nodes" in note]
    with RecordingReader(path, pose_source="/amcl_pose", base_frame="base_link") as reader:
        assert reader.pose_jumps() == []


def test_straight_lines_would_be_off():
    off_m = [
        truth(75 + 150 * gap).distance_m(
            Pose.from_planar(
                *((truth(150 * gap).translation_3 + truth(150 * gap + 150).translation_3) / 2)[:2],
                0,
            )
        )
        for gap in range(5)
    ]
    assert max(off_m) > 0.15


def test_without_odometry_there_is_advice(tmp_path):
    found, notes, _ = read(write(tmp_path / "bag", "none"))
    assert len(found) < 5
    assert any("lie between poses that are too far apart" in note for note in notes)


def test_a_pose_that_was_set_anew_is_not_bridged_over(tmp_path):
    path = write(tmp_path / "bag", "topic", elsewhere=Pose.from_planar(2.0, 1.0, 0.0))
    found, notes, _ = read(path)
    assert len(found) == 120
    assert any("1 gap between its poses is not bridged: /odom says" in note for note in notes)
