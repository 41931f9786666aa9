"""Poses far apart in time: no gap where nothing moved, and advice where it did."""

from __future__ import annotations

import pytest
from support.bag_writing import (
    BASE_FROM_CAMERA,
    START_NS,
    bag_writer,
    map_from_base,
    picture,
    write_pose,
)

from glace_ros.errors import RecordingError
from glace_ros.recording.bag_reader import RecordingReader

_SECOND_NS = 10**9


def write_sparse(path, pose_every_ns, mount_every_ns=None):
    """A drive of 4 s, an image each 0.1 s; the mount on /tf where mount_every_ns says how often."""
    stamps = range(START_NS, START_NS + 4 * _SECOND_NS + 1, 20_000_000)
    with bag_writer(path) as bag:
        if mount_every_ns is None:
            bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for stamp in stamps:
            since_ns = stamp - START_NS
            if mount_every_ns and since_ns % mount_every_ns == 0:
                bag.tf("base_link", "camera", stamp, BASE_FROM_CAMERA)
            if since_ns % pose_every_ns == 0:
                write_pose(bag, "tf:odom", stamp)
            if since_ns % 100_000_000 == 0:
                bag.camera_info("/camera/camera_info", stamp)
                bag.image("/camera/image_raw", stamp, picture(stamp % 997))
    return path


def test_a_mount_that_is_sent_once_a_second_has_no_gap(tmp_path):
    with RecordingReader(write_sparse(tmp_path / "bag", 20_000_000, _SECOND_NS)) as reader:
        images = list(reader.images())
        assert len(images) == 41
        for image in images:
            true = map_from_base(image.stamp_ns) @ BASE_FROM_CAMERA
            assert true.distance_m(image.map_from_camera) < 1e-6
        assert reader.notes == []


def test_a_robot_that_moved_between_poses_is_nowhere_and_advice_is_given(tmp_path):
    path = write_sparse(tmp_path / "bag", _SECOND_NS)
    with RecordingReader(path) as reader:
        assert len(list(reader.posed_images())) == 5
        (note,) = reader.notes
        assert "36 of 41 images" in note
        assert "--max-pose-gap" in note
    with RecordingReader(path, max_pose_gap_s=1.0) as reader:
        assert sum(image.map_from_camera is not None for image in reader.images()) == 41
        assert reader.notes == []


def test_who_reads_all_images_gets_the_advice_too(tmp_path):
    with RecordingReader(write_sparse(tmp_path / "bag", _SECOND_NS)) as reader:
        assert len(list(reader.images())) == 41
        (note,) = reader.notes
        assert "36 of 41 images" in note


def test_advice_stands_where_no_image_has_a_pose(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for stamp in (START_NS, START_NS + _SECOND_NS):
            write_pose(bag, "tf:odom", stamp)
        bag.camera_info("/camera/camera_info", START_NS)
        bag.image("/camera/image_raw", START_NS + 500_000_000, picture(0))
    with (
        RecordingReader(tmp_path / "bag") as reader,
        pytest.raises(RecordingError, match="gap between transforms.*--max-pose-gap"),
    ):
        list(reader.posed_images())
