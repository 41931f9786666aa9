"""A frame that hangs from one parent first and from another one later, or but for an instant."""

from __future__ import annotations

import pytest
from support.bag_writing import (
    BASE_FROM_CAMERA,
    START_NS,
    bag_writer,
    map_from_base,
    picture,
)

from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader

S = 1_000_000_000
ODOM_FROM_OTHER = Pose.from_planar(3.0, -1.0, 0.4)
POSES, PERIOD_NS = 400, S // 50


def write(path, parent_of, extra=(), first=None):
    """8 s of driving, 40 images; parent_of: a pose's time in s -> its parent, None for none.

    extra: (when it is recorded, its stamp, parent) of samples more, in s.
    """
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.tf("odom", "other", START_NS, ODOM_FROM_OTHER, "/tf_static")
        waiting = sorted(extra)
        for step in range(POSES):
            stamp = START_NS + step * PERIOD_NS
            while waiting and START_NS + waiting[0][0] * S <= stamp:
                _, at_s, parent = waiting.pop(0)
                bag.tf(parent, "base_link", START_NS + int(at_s * S), Pose.identity())
            if parent := parent_of(step * PERIOD_NS / S):
                pose = map_from_base(stamp)
                if parent == "other":
                    pose = ODOM_FROM_OTHER.inverse() @ pose
                bag.tf(parent, "base_link", stamp, pose)
            if step % 10 == 5:
                bag.camera_info("/camera/camera_info", stamp)
                bag.image("/camera/image_raw", stamp + 7_000_000, picture(step))
    return path


def poses_and_notes(path):
    with RecordingReader(path, pose_source="tf:odom") as reader:
        images = [image for image in reader.images() if image.map_from_camera is not None]
        for image in images:
            truth = map_from_base(image.stamp_ns) @ BASE_FROM_CAMERA
            assert image.map_from_camera.distance_m(truth) < 1e-3
            assert image.map_from_camera.angle_rad(truth) < 1e-3
        return len(images), reader.notes, reader.pose_stamps_n()


def test_both_spans_of_a_frame_whose_parent_changes_are_kept_and_said(tmp_path):
    path = write(tmp_path / "bag", lambda t: "odom" if t < 3 else None if t < 4.5 else "other")
    count, notes, stamps_n = poses_and_notes(path)
    assert count == 40 - 7  # all but those of the pause
    assert any("base_link hangs from odom from 0:00 to 0:03, other from 0:0" in n for n in notes)
    assert stamps_n[0] == START_NS  # held-out blocks are of both
    assert len(stamps_n) == 150 + 175


@pytest.mark.parametrize(
    "extra",
    [
        (1.0, 90.0, "elsewhere"),  # far ahead of all others
        (1.0, 5.0, "elsewhere"),  # in their midst, but not yet there
        (4.0, 2.0, "elsewhere"),
        (0.0, -0.01, "elsewhere"),  # the first one
    ],
)
def test_a_stray_sample_of_another_parent_takes_no_pose_and_is_said(tmp_path, extra):
    count, notes, _ = poses_and_notes(write(tmp_path / "bag", lambda _: "odom", [extra]))
    assert count == 40
    (note,) = notes
    assert note.startswith("/tf: ")
    assert "elsewhere" in note
    assert "left out" in note


def test_one_parent_alone_says_nothing(tmp_path):
    assert poses_and_notes(write(tmp_path / "bag", lambda _: "odom"))[:2] == (40, [])
