"""sensor_msgs/CameraInfo -> Camera, for the messages of rosbags and of rclpy; no ROS here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.geometry.camera import Camera

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRANSPORTS = ("compressed", "theora", "ffmpeg", "foxglove", "zstd")
"""What image_transport and its plugins add to the name of a topic."""


def camera_of_image_topic(
    info: Any, image_topic: str, image_size: tuple[int, int] | None = None
) -> Camera:
    """The camera that the images of `image_topic` are taken with, by a CameraInfo message.

    K and the distortion hold for raw images; for rectified ones (topics named image_rect*, as
    image_proc names them) the projection matrix P holds and there is no distortion. A region of
    interest and binning, which K and P do not know of, are applied to the intrinsics.

    info: a sensor_msgs/CameraInfo of ROS 1 or 2.
    image_topic: after remapping.
    image_size: (width, height) in px of the images, for a message whose own is 0: some drivers
        never set it. None: unknown.
    Raises ValueError with a sentence, where the camera is not calibrated or unknown.
    """
    k_33: NDArray[np.float64] = np.array(_field(info, "k"), dtype=np.float64).reshape(3, 3)
    p_34 = np.asarray(_field(info, "p"), dtype=np.float64).reshape(3, 4)
    distortion: NDArray[np.float64] = np.asarray(_field(info, "d"), dtype=np.float64)
    if is_rectified(image_topic):
        distortion = np.zeros(0)
        k_33 = p_34[:, :3].copy() if p_34[0, 0] > 0 else k_33
    roi = info.roi
    width, height = (
        (roi.width, roi.height) if roi.width and roi.height else (info.width, info.height)
    )
    binning_x, binning_y = max(1, int(info.binning_x)), max(1, int(info.binning_y))
    for row, offset, binning in ((0, roi.x_offset, binning_x), (1, roi.y_offset, binning_y)):
        k_33[row, row] /= binning
        k_33[row, 2] = (k_33[row, 2] - offset + 0.5) / binning - 0.5
    width, height = int(width) // binning_x, int(height) // binning_y
    if image_size and not (width and height):
        width, height = image_size
    return Camera.from_camera_info(
        width,
        height,
        k_33.ravel(),
        str(info.distortion_model),
        distortion,
    )


def is_rectified(image_topic: str) -> bool:
    """Whether the topic's name says that its images are rectified already."""
    return any(part.startswith("image_rect") for part in image_topic.split("/"))


def raw_image_topic(image_topic: str) -> str:
    """The topic of the raw images, by that of a transport of image_transport."""
    parent, _, last = image_topic.rpartition("/")
    return parent if parent and last in TRANSPORTS else image_topic


def sibling_camera_info_topic(image_topic: str) -> str:
    """The name that image_transport expects: `camera_info` beside the (raw) image topic."""
    return "/".join([*raw_image_topic(image_topic).split("/")[:-1], "camera_info"])


def _field(info: Any, name: str) -> Any:
    """A matrix of the message: lower case in ROS 2, upper case in ROS 1."""
    return getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())
