"""Several robots in one bag: transforms are those of the camera's robot."""

from __future__ import annotations

import pytest
from support.bag_writing import (
    BASE_FROM_CAMERA,
    START_NS,
    bag_writer,
    map_from_base,
    picture,
)

from glace_ros.errors import RecordingError
from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.tf_topics import twins_of

AWAY = Pose.from_rotation_vector([30.0, 0.0, 1.0], [0.0, 0.0, 1.0])


def write_fleet(path, camera="/robot1/camera", own="/robot1", other="/robot2", odometry=()):
    """Two robots with the same frame names; the other's transforms come last and are elsewhere."""
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, f"{own}/tf_static")
        bag.tf("base_link", "camera", START_NS, AWAY @ BASE_FROM_CAMERA, f"{other}/tf_static")
        for step in range(51):
            stamp = START_NS + step * 20_000_000
            pose = map_from_base(stamp)
            bag.tf("odom", "base_link", stamp, pose, f"{own}/tf")
            bag.tf("odom", "base_link", stamp + 1000_000, AWAY @ pose, f"{other}/tf")
            for topic in odometry:
                bag.odometry(topic, stamp, bag.pose(AWAY @ pose))
            if step % 5 == 2:
                bag.camera_info(f"{camera}/camera_info", stamp)
                bag.image(f"{camera}/image_raw", stamp, picture(step))
    return path


def assert_is_of_the_cameras_robot(reader):
    assert reader.info.base_from_camera.distance_m(BASE_FROM_CAMERA) < 1e-9
    stamp = START_NS + 45_000_000
    assert reader.map_from_base(stamp).distance_m(map_from_base(stamp)) < 1e-3
    assert reader.pose_jumps() == []


def test_transforms_are_of_the_images_namespace(tmp_path):
    with RecordingReader(write_fleet(tmp_path / "bag")) as reader:
        assert_is_of_the_cameras_robot(reader)
        (note,) = reader.notes
    assert "/robot1/tf and /robot1/tf_static alone" in note
    assert "/robot2/tf, /robot2/tf_static left out" in note


def test_the_root_is_the_namespace_of_a_camera_without_one(tmp_path):
    path = write_fleet(tmp_path / "bag", camera="/camera", own="")
    with RecordingReader(path) as reader:
        assert_is_of_the_cameras_robot(reader)


def test_odometry_of_another_robot_is_not_taken(tmp_path):
    path = write_fleet(tmp_path / "bag", odometry=["/robot2/odom"])
    with RecordingReader(path) as reader:
        assert reader.info.pose_source == "tf:odom"
        assert_is_of_the_cameras_robot(reader)


def test_a_bag_of_one_namespace_is_read_whatever_it_is_called(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/a/tf_static")
        for step in range(11):
            stamp = START_NS + step * 20_000_000
            bag.tf("odom", "base_link", stamp, map_from_base(stamp), "/a/tf")
        bag.camera_info("/b/camera_info", START_NS)
        bag.image("/b/image_raw", START_NS + 1000, picture(0))
    with RecordingReader(tmp_path / "bag") as reader:
        assert reader.notes == []
        assert reader.info.pose_source == "tf:odom"


def test_where_no_namespace_fits_the_options_are_named_and_work(tmp_path):
    path = write_fleet(tmp_path / "bag", camera="/camera")
    with pytest.raises(
        RecordingError, match=r"several robots .*/robot1/tf, /robot2/tf.*--tf-topic"
    ):
        RecordingReader(path)
    topics = {"tf_topic": "robot1/tf", "tf_static_topic": "/robot1/tf_static"}
    with RecordingReader(path, **topics) as reader:
        assert_is_of_the_cameras_robot(reader)
    with pytest.raises(RecordingError, match=r"--tf-topic can be one of: /robot1/tf, /robot2/tf"):
        RecordingReader(path, tf_topic="/robot3/tf")


def test_robots_that_share_tf_with_frames_of_their_own(tmp_path):
    """The odometry is that of the robot in whose namespace the camera is."""
    with bag_writer(tmp_path / "bag") as bag:
        for robot, away in (("robot1", Pose.identity()), ("robot2", AWAY)):
            base = f"{robot}/base_link"
            bag.tf(base, f"{robot}/camera", START_NS, away @ BASE_FROM_CAMERA, "/tf_static")
            for step in range(11):
                stamp = START_NS + step * 20_000_000
                pose = away @ map_from_base(stamp)
                bag.tf(f"{robot}/odom", base, stamp, pose)
                bag.odometry(
                    f"/{robot}/odom", stamp, bag.pose(pose), f"{robot}/odom", f"{robot}/base_link"
                )
        bag.camera_info("/robot1/camera/camera_info", START_NS)
        bag.image("/robot1/camera/image_raw", START_NS + 1000, picture(0), "robot1/camera")
    with RecordingReader(tmp_path / "bag") as reader:
        assert reader.info.pose_source == "/robot1/odom"
        assert_is_of_the_cameras_robot(reader)


def test_who_has_the_same_topics_is_another_robot():
    odometries = ["/a/odom", "/a/odometry/filtered", "/b/odom", "/zed/visual_odom", "/odom"]
    assert twins_of("/a/camera/image_raw", odometries) == ("/b",)
    assert twins_of("/zed/left/image_raw", odometries) == ()
    assert twins_of("/camera/image_raw", odometries) == ()


def test_two_static_topics_of_one_namespace_must_agree(tmp_path):
    def write(path, mount):
        with bag_writer(path) as bag:
            bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
            bag.tf("base_link", "camera", START_NS, mount, "/old_tf_static")
            for step in range(11):
                stamp = START_NS + step * 20_000_000
                bag.tf("odom", "base_link", stamp, map_from_base(stamp))
            bag.camera_info("/camera/camera_info", START_NS)
            bag.image("/camera/image_raw", START_NS + 1000, picture(0))
        return path

    with RecordingReader(write(tmp_path / "same", BASE_FROM_CAMERA)) as reader:
        assert reader.notes == []
    with pytest.raises(RecordingError, match=r"one transform on .*/tf_static and another on /"):
        RecordingReader(write(tmp_path / "differs", AWAY))
