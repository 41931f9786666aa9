"""ROS messages, of rosbags and of rclpy alike, into our types; no ROS here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glace_ros.geometry.pose import Pose
from glace_ros.ros_messages.image_decoding import (
    compressed_16_bit_values,
    decode_compressed,
    decode_raw,
    raw_16_bit_values,
)
from glace_ros.ros_messages.value_range import FULL_RANGE, ValueRange
from glace_ros.ros_messages.video import VideoStream, video_codec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RAW_IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
FOXGLOVE_VIDEO = "foxglove_msgs/msg/CompressedVideo"
FFMPEG_PACKET = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
VIDEO_DEFINITIONS = {
    FOXGLOVE_VIDEO: "builtin_interfaces/Time timestamp\nstring frame_id\n"
    "uint8[] data\nstring format",
    FFMPEG_PACKET: "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\n"
    "uint64 pts\nuint8 flags\nbool is_bigendian\nuint8[] data",
}
"""Their fields, for bags that do not hold them."""
IMAGE_TYPES = (RAW_IMAGE, COMPRESSED_IMAGE, FFMPEG_PACKET, FOXGLOVE_VIDEO)
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
ODOMETRY = "nav_msgs/msg/Odometry"
POSE_TYPES = (
    ODOMETRY,
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
)


def stamp_to_ns(stamp: Any) -> int:
    """builtin_interfaces/Time in integer nanoseconds; 0 where the sender did not set it."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def frame_of(name: str) -> str:
    """A frame's name without ROS 1's leading slash."""
    return name.lstrip("/")


def pose_from_message(message: Any) -> Pose:
    """geometry_msgs/Pose as Pose. Raises ValueError where it is not finite or has no rotation."""
    return _pose(message.position, message.orientation)


def pose_from_transform(message: Any) -> Pose:
    """geometry_msgs/Transform as Pose. Raises ValueError as `pose_from_message` does."""
    return _pose(message.translation, message.rotation)


def pose_of(message: Any) -> Pose:
    """frame_from_child of a message of POSE_TYPES. Raises ValueError: see `pose_from_message`."""
    stamped_pose = message.pose if hasattr(message.pose, "position") else message.pose.pose
    return pose_from_message(stamped_pose)


def _pose(position_m: Any, quaternion: Any) -> Pose:
    return Pose.from_quaternion(
        [position_m.x, position_m.y, position_m.z],
        [quaternion.x, quaternion.y, quaternion.z, quaternion.w],
    )


def image_stamp_ns(message: Any) -> int:
    """When the image of a message of IMAGE_TYPES was exposed; 0 where the sender did not say."""
    return stamp_to_ns(message.header.stamp if hasattr(message, "header") else message.timestamp)


def image_frame(message: Any) -> str:
    """The camera's frame by a message of IMAGE_TYPES; empty where the sender did not say."""
    return frame_of(message.header.frame_id if hasattr(message, "header") else message.frame_id)


def video_codec_of(message: Any) -> str | None:
    """Of a message of IMAGE_TYPES that is a packet of a video; None of others.

    Raises ValueError with a sentence, where the video is of another kind.
    """
    if hasattr(message, "step"):
        return None
    of_ffmpeg, of_foxglove = hasattr(message, "pts"), hasattr(message, "timestamp")
    name = str(message.encoding if of_ffmpeg else message.format)
    codec = video_codec(name)
    if codec is None and (of_ffmpeg or of_foxglove):
        raise ValueError(f"the video is '{name}'; H.264 and H.265 can be read")
    return codec


def push_packet(stream: VideoStream, message: Any) -> int:
    """Hands a packet of a video on, and gives its number."""
    count = int(message.pts) if hasattr(message, "pts") else None
    return stream.push(bytes(message.data), image_stamp_ns(message), count)


def image_of(message: Any, values: ValueRange = FULL_RANGE) -> NDArray[np.uint8]:
    """RGB uint8 (height, width, 3) of a message of IMAGE_TYPES that is no packet of a video.
    ValueError where it is damaged.

    values: of 16-bit images, those that become black and white.
    """
    if hasattr(message, "format"):
        return decode_compressed(message.format, message.data, values)
    return decode_raw(*_raw(message), values)


def values_of_16_bits(message: Any) -> NDArray[np.uint16] | None:
    """The values of a message of IMAGE_TYPES that has 16 bits; None of others. ValueError where it
    is damaged.
    """
    if hasattr(message, "format"):
        return compressed_16_bit_values(message.format, message.data)
    return raw_16_bit_values(*_raw(message))


def _raw(message: Any) -> tuple[str, int, int, int, int, Any]:
    return (
        message.encoding, message.height, message.width, message.step, message.is_bigendian,
        message.data,
    )  # fmt: skip
