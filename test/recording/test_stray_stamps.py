"""Stamps of another epoch in a bag: left out, counted, said; nothing grows with them."""

from __future__ import annotations

import numpy as np
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
from glace_ros.recording.held_out import HeldOutBlocks
from glace_ros.recording.recording_summary import describe, survey
from glace_ros.recording.stray_stamps import belongs_n

BOOT_NS = 200_000_000  # 0.2 s after 1970


def write_with_strays(path, poses, strays, received_ns=None):
    """A drive of 2 s whose first poses have other stamps: those of `strays`."""
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for stamp in strays:
            write_pose(bag, poses, stamp, map_from_base(START_NS))
        for step in range(101):
            stamp = START_NS + step * 20_000_000
            write_pose(bag, poses, stamp)
            if step % 5 == 2:
                bag.camera_info("/camera/camera_info", stamp)
                bag.image("/camera/image_raw", stamp, picture(step))
    return path


@pytest.mark.parametrize("poses", ["odometry", "tf:odom", "tf:map"])
@pytest.mark.parametrize("strays", [[BOOT_NS], [BOOT_NS, 2 * BOOT_NS], [START_NS + 4 * 10**17]])
def test_stamps_of_another_epoch_are_left_out_and_said(tmp_path, poses, strays):
    path = write_with_strays(tmp_path / "bag", poses, strays)
    with RecordingReader(path) as reader:
        said = describe(survey(reader))
        stamps_n = reader.pose_stamps_n()
        blocks = HeldOutBlocks(stamps_n, 0.1)
        assert reader.zero_ns() == START_NS
        assert reader.info.duration_s == pytest.approx(2.0)
    assert stamps_n[0] == START_NS
    assert stamps_n[-1] == START_NS + 2_000_000_000
    assert f"{len(strays)} of {101 + len(strays)} samples" in said
    assert "time since boot); left out" in said
    assert len(blocks.intervals_ns) == 1


def test_unstamped_transforms_are_left_out_and_said(tmp_path):
    path = write_with_strays(tmp_path / "bag", "tf:odom", [0, 0])
    with RecordingReader(path) as reader:
        assert "/tf: 2 transforms odom->base_link without a time stamp; left out" in reader.notes
        assert reader.pose_stamps_n()[0] == START_NS


def test_a_mount_without_a_stamp_is_named_where_it_is_missing(tmp_path):
    path = tmp_path / "bag"
    with bag_writer(path) as bag:
        for step in range(101):
            stamp = START_NS + step * 20_000_000
            write_pose(bag, "odometry", stamp)
            if step % 5 == 2:
                bag.tf("base_link", "camera", 0, BASE_FROM_CAMERA)
                bag.camera_info("/camera/camera_info", stamp)
                bag.image("/camera/image_raw", stamp, picture(step))
    left_out = "; /tf: 20 transforms base_link->camera without a time stamp; left out$"
    with pytest.raises(RecordingError, match=f"^It is unknown how the camera .*{left_out}"):
        RecordingReader(path)


def test_a_good_drive_says_nothing(tmp_path):
    path = write_with_strays(tmp_path / "bag", "odometry", [])
    with RecordingReader(path) as reader:
        assert reader.notes == []


def test_another_time_that_the_camera_saw_too_is_kept():
    stamps_n = np.array([10**9, 2 * 10**9, START_NS, START_NS + 1, START_NS + 2])
    camera_n = np.array([START_NS, 10**9])
    assert belongs_n(stamps_n, camera_n).all()
    assert belongs_n(stamps_n, camera_n[:1]).tolist() == [False, False, True, True, True]
    assert belongs_n(stamps_n, np.empty(0, np.int64)).sum() == 3  # the most frequent time


def test_held_out_blocks_do_not_grow_with_a_pause():
    drive_n = np.arange(0, 100_000_000_000, 20_000_000)
    blocks = HeldOutBlocks(drive_n, 0.1)
    years_ns = 54 * 365 * 86_400 * 10**9
    paused_n = np.concatenate([drive_n, drive_n + years_ns])
    held_out = HeldOutBlocks(paused_n, 0.1)
    assert len(held_out.intervals_ns) <= 2 * len(blocks.intervals_ns) + 1
    ratio = np.mean([int(stamp) in held_out for stamp in paused_n])
    assert ratio == pytest.approx(0.1, abs=0.01)
    alone_n = np.concatenate([[0], drive_n + years_ns])  # a single odd stamp holds out nothing
    ratio = np.mean([int(stamp) in HeldOutBlocks(alone_n, 0.1) for stamp in alone_n])
    assert ratio == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(("pause_min", "said"), [(9, []), (180, ["180 min from 0:01"])])
def test_a_long_silence_is_said_and_both_sides_are_used(tmp_path, pause_min, said):
    """As where a robot's clock is set on the way: poses go on, stamps jump."""
    path = tmp_path / "bag"
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for step in range(101):
            stamp = START_NS + step * 20_000_000 + (step > 50) * pause_min * 60 * 10**9
            write_pose(bag, "odometry", stamp, map_from_base(START_NS + step * 20_000_000))
            if step % 5 == 2:
                bag.camera_info("/camera/camera_info", stamp)
                bag.image("/camera/image_raw", stamp, picture(step))
    with RecordingReader(path) as reader:
        notes = [note for note in reader.notes if "nothing was recorded" in note]
        assert [
            note.split(" on: ")[0][len("nothing was recorded for ") :] for note in notes
        ] == said
        assert len(reader.pose_stamps_n()) == 101
