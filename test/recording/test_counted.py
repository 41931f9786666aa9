"""Of one thing the singular is said."""

from __future__ import annotations

from support.bag_writing import BASE_FROM_CAMERA, START_NS, bag_writer, picture, write_pose

from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.counted import are, counted


def test_of_one_thing_the_singular_is_said():
    assert [counted(n, "pose") for n in (0, 1, 2)] == ["0 poses", "1 pose", "2 poses"]
    assert [are(n) for n in (0, 1, 2)] == ["are", "is", "are"]


def test_notes_of_a_recording_say_it_so(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.tf("map", "odom", 0, Pose.identity())
        for step in range(50):
            write_pose(bag, "odometry", START_NS + step * 20_000_000)
        bag.camera_info("/camera/camera_info", START_NS)
        bag.image("/camera/image_raw", START_NS, picture(0))
    with RecordingReader(tmp_path / "bag") as reader:
        assert "/tf: 1 transform map->odom without a time stamp; left out" in reader.notes
        assert not any("1 messages" in note or "1 transforms" in note for note in reader.notes)
