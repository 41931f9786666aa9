"""A video that comes live: each packet is taken, and the one that is looked at has its picture."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("av")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")
pytest.importorskip("ffmpeg_image_transport_msgs.msg", reason="dev/ is not built")
pytest.importorskip("foxglove_msgs.msg", reason="dev/ is not built")

from builtin_interfaces.msg import Time
from ffmpeg_image_transport_msgs.msg import FFMPEGPacket
from foxglove_msgs.msg import CompressedVideo
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header
from support.video import encoded, moving_pictures

from glace_ros.geometry.camera import Camera
from glace_ros.node.input.camera_input import CameraInput
from glace_ros.node.input.seen_image import undistorted_image
from glace_ros.node.ros_interface.conversions import ns_to_stamp
from glace_ros.node.ros_interface.parameters import LocalizeParameters

PICTURES = moving_pictures(24)
STEP_NS = 33_000_000


class Graph:
    """A node whose topics are called by hand. heard: callbacks by topic."""

    def __init__(self):
        self.heard, self.published = {}, {}

    def create_subscription(self, _type, topic, callback, qos, **_):
        self.heard["/" + topic.removeprefix("/")] = callback
        return topic

    def destroy_subscription(self, topic):
        del self.heard["/" + topic.removeprefix("/")]

    def resolve_topic_name(self, topic, *, only_expand=False):
        return f"/{topic.removeprefix('/')}"

    def get_publishers_info_by_topic(self, topic):
        return self.published.get(topic, [])


def message_of(transport: str, index: int, data: bytes):
    stamp = ns_to_stamp(10**9 + index * STEP_NS)
    header = Header(stamp=stamp, frame_id="camera")
    if transport == "ffmpeg":
        return FFMPEGPacket(header=header, width=96, height=64, encoding="libx264", pts=index,
                            flags=0, is_bigendian=False, data=data)  # fmt: skip
    if transport == "foxglove":
        return CompressedVideo(timestamp=stamp, frame_id="camera", data=data, format="h264")
    return CompressedImage(header=header, format="h264", data=data)


@pytest.mark.parametrize("transport", ["compressed", "ffmpeg", "foxglove"])
def test_every_fifth_packet_is_looked_at(transport):
    """As the node does at 5 Hz of a camera of 25; and whoever comes late gets the same one."""
    graph, came = Graph(), []
    parameters = LocalizeParameters(image_transport=transport)
    camera = CameraInput(graph, parameters, "", came.append)
    camera.start()
    topic = f"/image/{transport}"
    assert camera.topic == topic
    k_9 = [90.0, 0.0, 47.5, 0.0, 90.0, 31.5, 0.0, 0.0, 1.0]
    graph.heard["/camera_info"](CameraInfo(width=96, height=64, k=k_9))
    for index, data in enumerate(encoded(PICTURES)):
        graph.heard[topic](message_of(transport, index, data))
        if index % 5 == 4:
            for image in (came[-2], came[-1], came[-1]):
                picture, pinhole = undistorted_image(image, parameters)
                at = (image.stamp_ns - 10**9) // STEP_NS
                differences = [np.abs(picture.astype(int) - each).mean() for each in PICTURES]
                assert int(np.argmin(differences)) == at
                assert image.frame_id == "camera"
                assert pinhole == Camera(96, 64, 90.0, 90.0, 47.5, 31.5)
    assert camera.received == 24
    with pytest.raises(ValueError, match="older"):
        undistorted_image(came[3], parameters)
    camera.start()  # active again: it begins with a key frame
    graph.heard[topic](message_of(transport, 30, encoded(PICTURES)[3]))
    with pytest.raises(ValueError, match="first key frame"):
        undistorted_image(came[-1], parameters)


def test_messages_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ffmpeg_image_transport_msgs.msg", None)
    camera = CameraInput(Graph(), LocalizeParameters(image_transport="ffmpeg"), "", print)
    camera.start()
    assert camera.topic == "/image/ffmpeg"
    assert camera.problem() == (
        "image_transport is ffmpeg, but its messages are not installed: install "
        "ffmpeg_image_transport_msgs (apt: ros-$ROS_DISTRO-ffmpeg-image-transport-msgs)."
    )
    camera.choose()
    camera.stop()


def test_a_video_that_nobody_listens_to_is_named(monkeypatch):
    graph = Graph()
    camera = CameraInput(graph, LocalizeParameters(), "", print)
    camera.start()
    graph.published = {"/image/ffmpeg": [SimpleNamespace(topic_type="x")]}
    for watched in camera._images._watched.values():
        watched._last_s -= 60.0
    assert camera.problem().endswith("a video on /image/ffmpeg: set image_transport:=ffmpeg.")


def test_another_kind_of_video_is_a_sentence():
    came = []
    graph = Graph()
    camera = CameraInput(graph, LocalizeParameters(image_transport="foxglove"), "", came.append)
    camera.start()
    graph.heard["/image/foxglove"](
        CompressedVideo(timestamp=Time(sec=1), frame_id="c", data=b"x", format="vp9")
    )
    with pytest.raises(ValueError, match="the video is 'vp9'"):
        undistorted_image(came[0], LocalizeParameters())
