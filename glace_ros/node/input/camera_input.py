"""The topics of one camera: its images, each together with the newest camera_info."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import CameraInfo

from glace_ros.node.input.incoming_image import IncomingImage
from glace_ros.node.input.input_topics import SENSOR_QOS, ImageInput, WatchedTopic
from glace_ros.ros_messages.reading import push_packet, video_codec_of
from glace_ros.ros_messages.video import VideoStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from glace_ros.node.ros_interface.parameters import LocalizeParameters


class CameraInput:
    """Listens from `start` to `stop`, and hands each image to on_image.

    node: that listens.
    parameters: of the node.
    name: one of camera_names, whose topics are name/image and name/camera_info; empty for the
        only camera, with image and camera_info.
    on_image: called with each image, together with the newest camera_info.
    """

    def __init__(
        self,
        node: Node,
        parameters: LocalizeParameters,
        name: str,
        on_image: Callable[[IncomingImage], None],
    ) -> None:
        self.name, self._on_image = name, on_image
        prefix = f"{name}/" if name else ""
        self._has_file = bool(parameters.camera_info_file_of(name))
        self._camera_info: CameraInfo | None = None
        self._stream: VideoStream | None = None
        self._infos = WatchedTopic(
            node, CameraInfo, f"{prefix}camera_info", SENSOR_QOS, self._on_camera_info
        )
        self._images = ImageInput(
            node,
            f"{prefix}image",
            parameters.image_transport,
            parameters.image_qos,
            self._on_message,
        )

    def start(self) -> None:
        """Listens."""
        self._stream = None
        self._infos.start()
        self._images.start()

    def stop(self) -> None:
        """Listens no more."""
        self._images.stop()
        self._infos.stop()

    @property
    def topic(self) -> str:
        """See ImageInput."""
        return self._images.topic

    @property
    def received(self) -> int:
        """How many images have come."""
        return self._images.received

    def choose(self) -> None:
        """See ImageInput."""
        self._images.choose()

    def problem(self) -> str | None:
        """A sentence with the topic's name where nothing comes; None where all is well."""
        return self._images.problem() or (None if self._has_file else self._infos.problem())

    def values(self) -> dict[str, object]:
        """What has come, for the diagnostics."""
        prefix = f"{self.name}: " if self.name else ""
        values: dict[str, object] = {
            f"{prefix}image topic": self._images.topic,
            f"{prefix}images received": self._images.received,
            f"{prefix}camera_info topic": self._infos.topic,
            f"{prefix}camera_info received": self._infos.received,
        }
        if self._stream is not None:
            values[f"{prefix}gaps in the video"] = self._stream.gaps
        return values

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message

    def _on_message(self, message: Any, topic: str) -> None:
        self._on_image(
            IncomingImage(
                message, topic, self._camera_info, self._infos.topic, self.name,
                self._taken(message),
            )
        )  # fmt: skip

    def _taken(self, message: Any) -> tuple[VideoStream, int] | ValueError | None:
        """A packet of a video into its stream: each counts, whether it is looked at or not."""
        try:
            codec = video_codec_of(message)
            if codec is None:
                return None
            if self._stream is None or self._stream.codec != codec:
                self._stream = VideoStream(codec)
            return self._stream, push_packet(self._stream, message)
        except ValueError as error:
            return error
