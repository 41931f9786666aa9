"""The ROS messages that a recording is read from, as rosbags parses them, into our types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glace_ros.geometry.pose import Pose
from glace_ros.ros_messages.image_decoding import decode_compressed, decode_raw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RAW_IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (RAW_IMAGE, COMPRESSED_IMAGE)
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
ODOMETRY = "nav_msgs/msg/Odometry"
POSE_TYPES = (
    ODOMETRY,
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
)


def stamp_ns(header: Any) -> int:
    """The stamp of a std_msgs/Header in ns; 0 where the sender did not set it."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def frame_of(name: str) -> str:
    """A frame's name without ROS 1's leading slash."""
    return name.lstrip("/")


def transform_of(message: Any) -> Pose:
    """parent_from_child of a geometry_msgs/TransformStamped; ValueError where it is unusable."""
    t, r = message.transform.translation, message.transform.rotation
    return Pose.from_quaternion([t.x, t.y, t.z], [r.x, r.y, r.z, r.w])


def pose_of(message: Any) -> Pose:
    """frame_from_child of a message of POSE_TYPES; ValueError where it is unusable."""
    pose = message.pose if hasattr(message.pose, "position") else message.pose.pose
    p, r = pose.position, pose.orientation
    return Pose.from_quaternion([p.x, p.y, p.z], [r.x, r.y, r.z, r.w])


def image_of(message: Any) -> NDArray[np.uint8]:
    """RGB uint8 (height, width, 3) of a message of IMAGE_TYPES; ValueError where it is damaged."""
    if hasattr(message, "format"):
        return decode_compressed(message.format, message.data)
    return decode_raw(
        message.encoding,
        message.height,
        message.width,
        message.step,
        message.is_bigendian,
        message.data,
    )
