"""An image as it came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glace_ros.ros_messages.reading import image_frame, image_stamp_ns

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo

    from glace_ros.ros_messages.video import VideoStream


@dataclass(frozen=True)
class IncomingImage:
    """An image message with the newest camera_info.

    message: of the image, raw, compressed or a packet of a video.
    topic: that it came on, after remapping.
    camera_info: the newest one; None where none has come.
    camera_info_topic: that it comes on, after remapping.
    camera: its name in camera_names; empty where that is empty.
    video: of a packet: the stream, and its number there, or why it cannot be decoded.
    """

    message: Any
    topic: str
    camera_info: CameraInfo | None
    camera_info_topic: str
    camera: str = ""
    video: tuple[VideoStream, int] | ValueError | None = None

    @property
    def stamp_ns(self) -> int:
        """Exposure time."""
        return image_stamp_ns(self.message)

    @property
    def frame_id(self) -> str:
        """Of the camera; empty where the message has none."""
        return image_frame(self.message)
