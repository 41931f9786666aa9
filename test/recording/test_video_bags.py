"""A drive recorded as video gives its pictures with their poses, whatever of it is read."""

import sys

import numpy as np
import pytest

pytest.importorskip("av")

from support.bag_writing import (
    BASE_FROM_CAMERA,
    IMAGE_PERIOD_NS,
    START_NS,
    bag_writer,
    map_from_base,
)
from support.video_bags import (
    HEIGHT,
    PICTURES,
    TOPICS,
    WIDTH,
    register_videos,
    stamp_of,
    video_drive,
)

from glace_ros.errors import RecordingError
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.ros_messages import video
from glace_ros.ros_messages.reading import FFMPEG_PACKET, FOXGLOVE_VIDEO

EVERY_FRAME = FrameSelection(0.0, 0.0, min_sharpness=0.0)


def assert_shows(image):
    """Its own picture, at its own pose."""
    index = (image.stamp_ns - stamp_of(0)) // IMAGE_PERIOD_NS
    differences = [np.abs(image.image_rgb_hwc.astype(int) - each).mean() for each in PICTURES]
    assert int(np.argmin(differences)) == index
    true = map_from_base(image.stamp_ns) @ BASE_FROM_CAMERA
    np.testing.assert_allclose(image.map_from_camera.matrix_44, true.matrix_44, atol=1e-6)


@pytest.mark.parametrize("kind", list(TOPICS))
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_video_gives_the_drive(tmp_path, kind, codec):
    with RecordingReader(video_drive(tmp_path / "drive", kind, codec)) as reader:
        assert reader.info.image_topic == TOPICS[kind]
        images = list(reader.posed_images(EVERY_FRAME))
        assert len(images) == 24
        for image in images:
            assert_shows(image)
        assert not [note for note in reader.notes if "not recorded" not in note]
        assert (reader.info.camera.width_px, reader.info.camera.height_px) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_it_is_found_under_the_raw_name(tmp_path, storage):
    path = video_drive(tmp_path / "drive", storage=storage)
    with RecordingReader(path, "/camera/image_raw") as reader:
        assert reader.info.image_topic == "/camera/image_raw/ffmpeg"
        assert len(list(reader.images())) == 24


@pytest.mark.parametrize("kind", [FOXGLOVE_VIDEO, FFMPEG_PACKET])
def test_pictures_behind_lost_packets_are_left_out_and_counted(tmp_path, kind):
    with RecordingReader(video_drive(tmp_path / "drive", kind, lost=(0, 12))) as reader:
        images = list(reader.posed_images(EVERY_FRAME))
        shown = [(image.stamp_ns - stamp_of(0)) // IMAGE_PERIOD_NS for image in images]
        assert shown == [8, 9, 10, 11, *range(16, 24)]
        for image in images:
            assert_shows(image)
        assert reader.left_out == {
            "before the video's first key frame": 7,
            "behind missing packets of the video": 3,
        }
        assert any("missing at 1 places" in note for note in reader.notes)


def test_resumed_and_chosen_images_do_without_the_rest(tmp_path, monkeypatch):
    """What lies in earlier groups of pictures is not decoded."""
    decoded = []
    real = video.VideoStream._decode
    monkeypatch.setattr(
        video.VideoStream,
        "_decode",
        lambda self, packet, **k: decoded.append(packet.number) or real(self, packet, **k),
    )
    with RecordingReader(video_drive(tmp_path / "drive")) as reader:
        whole = reader.posed_images(EVERY_FRAME)
        for _ in range(18):
            next(whole)
        position = reader.position
        decoded.clear()
        rest = list(reader.posed_images(EVERY_FRAME, position))
        assert [image.stamp_ns for image in rest] == [stamp_of(i) for i in range(18, 24)]
        for image in rest:
            assert_shows(image)
        assert decoded == list(range(17, 25))
        decoded.clear()
        (image,) = reader.images_at({stamp_of(10)})
        assert_shows(image)
        assert decoded == [9, 10, 11]


def test_a_camera_info_without_size_has_that_of_the_video(tmp_path):
    with RecordingReader(video_drive(tmp_path / "drive", lost=(0,), size=(0, 0))) as reader:
        assert (reader.info.camera.width_px, reader.info.camera.height_px) == (WIDTH, HEIGHT)


def test_without_pyav_its_name_is_said(tmp_path, monkeypatch):
    path = video_drive(tmp_path / "drive")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RecordingError, match=r"/camera/image_raw/ffmpeg: .*pip install .*av"):
        RecordingReader(path)


def test_another_kind_of_video_is_named(tmp_path):
    with bag_writer(tmp_path / "drive") as bag:
        register_videos(bag)
        stamp = bag.header(START_NS, "").stamp
        message = bag.make(
            FOXGLOVE_VIDEO, timestamp=stamp, frame_id="camera", format="vp9",
            data=np.zeros(4, np.uint8),
        )  # fmt: skip
        bag.write("/camera/video", message, START_NS)
        bag.camera_info("/camera/camera_info", START_NS)
    with pytest.raises(RecordingError, match="the video is 'vp9'; H.264 and H.265 can be read"):
        RecordingReader(tmp_path / "drive")
