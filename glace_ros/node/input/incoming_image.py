"""An image as it came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glace_ros.ros_messages.reading import stamp_to_ns

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image


@dataclass(frozen=True)
class IncomingImage:
    """An image message as it came on `topic`, with the newest message of `camera_info_topic`.

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
