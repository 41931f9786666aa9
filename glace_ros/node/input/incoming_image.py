"""An image as it came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glace_ros.ros_messages.reading import stamp_to_ns

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image


@dataclass(frozen=True)
class IncomingImage:
    """An image message with the newest camera_info.

    message: of the image, raw or compressed.
    topic: that it came on, after remapping.
    camera_info: the newest one; None where none has come.
    camera_info_topic: that it comes on, after remapping.
    camera: its name in camera_names; empty where that is empty.
    """

    message: Image | CompressedImage
    topic: str
    camera_info: CameraInfo | None
    camera_info_topic: str
    camera: str = ""

    @property
    def stamp_ns(self) -> int:
        """Exposure time."""
        return stamp_to_ns(self.message.header.stamp)
