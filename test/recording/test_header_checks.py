"""What headers alone tell: a camera on another clock, an image frame that is a body's."""

from __future__ import annotations

import re

import pytest
from support.bag_writing import (
    BASE_FROM_CAMERA,
    OPTICAL,
    START_NS,
    bag_writer,
    picture,
    write_pose,
)

from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader


def notes_of(path, *, camera_ahead_s=0.0, mount=BASE_FROM_CAMERA):
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, mount, "/tf_static")
        for step in range(101):
            stamp = START_NS + step * 20_000_000
            write_pose(bag, "odometry", stamp)
            if step % 5 == 0:
                ahead_ns = int(camera_ahead_s * 1e9)
                bag.camera_info("/camera/camera_info", stamp, ahead_ns=ahead_ns)
                bag.image("/camera/image_raw", stamp + ahead_ns, picture(step), received_ns=stamp)
    with RecordingReader(path) as reader:
        return reader.notes


@pytest.mark.parametrize(
    ("ahead_s", "said"),
    [
        (37.0, "37.0 s ahead of those of the poses.*TAI"),
        (18.0, "18.0 s ahead of .*GPS"),
        (-5.0, "5.0 s behind those of the poses"),
    ],
)
def test_a_camera_on_another_clock_is_said(tmp_path, ahead_s, said):
    (note,) = notes_of(tmp_path / "bag", camera_ahead_s=ahead_s)
    assert note.startswith("/camera/image_raw: ")
    assert re.search(said, note)


@pytest.mark.parametrize("ahead_s", [0.0, 0.3, -0.3])
def test_a_delay_is_no_other_clock(tmp_path, ahead_s):
    assert notes_of(tmp_path / "bag", camera_ahead_s=ahead_s) == []


def test_a_link_as_image_frame_is_said(tmp_path):
    turned = Pose.from_rotation_vector([0.1, 0.0, 0.3], [0.0, 0.1, 1.0])
    (note,) = notes_of(tmp_path / "bag", mount=turned)
    assert "by its frame camera the camera looks straight up" in note
    assert "optical frame" in note


def test_an_optical_frame_says_nothing_however_the_camera_is_tilted(tmp_path):
    for number, pitch in enumerate((-0.5, 0.0, 0.5)):
        mount = Pose.from_rotation_vector([0.1, 0.0, 0.3], [0.0, pitch, 0.0]) @ OPTICAL
        assert notes_of(tmp_path / f"bag{number}", mount=mount) == []
