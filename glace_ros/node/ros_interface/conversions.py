"""Types of the core -> ROS messages, and images the other way.

What else is read from a message is in glace_ros.ros_messages, for bags and nodes alike.
On a ROS installation cv_bridge decodes raw images, tf_transformations the quaternions, and
sensor_msgs_py makes point clouds, as in every other node there. Without them the same work is done
by glace_ros.ros_messages.image_decoding, SciPy and NumPy.
"""

from __future__ import annotations

import array
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseWithCovarianceStamped, Quaternion, Transform, Vector3
from geometry_msgs.msg import Pose as PoseMessage
from sensor_msgs.msg import Image, PointCloud2, PointField

from glace_ros.node.ros_interface.from_ros import import_from_ros
from glace_ros.ros_messages.reading import image_of
from glace_ros.ros_messages.value_range import FULL_RANGE, ValueRange

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sensor_msgs.msg import CompressedImage
    from std_msgs.msg import Header

    from glace_ros.geometry.pose import Pose

# What cv_bridge turns into rgb8 exactly as image_decoding does. 16-bit and unnamed encodings
# (8UC3: it refuses those) stay with image_decoding.
CV_BRIDGE_ENCODINGS = frozenset(
    {"rgb8", "bgr8", "rgba8", "bgra8", "mono8"}
    | {f"bayer_{pattern}8" for pattern in ("rggb", "bggr", "gbrg", "grbg")}
)


_cv_bridge = import_from_ros("cv_bridge")
_point_cloud2 = import_from_ros("sensor_msgs_py.point_cloud2")
_tf_transformations = import_from_ros("tf_transformations")


def ns_to_stamp(stamp_ns: int) -> Time:
    """Nanoseconds as builtin_interfaces/Time; exact. Raises ValueError outside of its range."""
    sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
    if not -(2**31) <= sec < 2**31:
        raise ValueError(f"{stamp_ns} ns do not fit into a builtin_interfaces/Time")
    return Time(sec=sec, nanosec=nanosec)


def image_to_rgb(
    message: Image | CompressedImage, values: ValueRange = FULL_RANGE
) -> NDArray[np.uint8]:
    """The pixels as uint8 (height, width, 3). Raises ValueError with a sentence.

    values: of 16-bit images, those that become black and white.
    """
    raw = not hasattr(message, "format")
    if raw and _cv_bridge is not None and message.encoding in CV_BRIDGE_ENCODINGS:
        with suppress(Exception):  # its compiled part may be for another NumPy; or the image is bad
            image = _cv_bridge.CvBridge().imgmsg_to_cv2(message, desired_encoding="rgb8")
            return np.ascontiguousarray(image, dtype=np.uint8)
    return image_of(message, values)


def rgb_to_image(header: Header, image_rgb_hwc: NDArray[np.uint8]) -> Image:
    """uint8 (height, width, 3) as an rgb8 image."""
    height, width = image_rgb_hwc.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    message.data = array.array("B", image_rgb_hwc.tobytes())  # an ndarray takes 60 times as long
    return message


def points_to_cloud(header: Header, points_n3: NDArray[np.float64]) -> PointCloud2:
    """Points (n, 3), metres in the header's frame, as float32 x y z.

    RViz shows no others, so points far from the frame's origin are rounded here, and here alone.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        rounded_n3 = points_n3.astype("<f4")
    if _point_cloud2 is not None:
        cloud = _point_cloud2.create_cloud_xyz32(header, rounded_n3)
    else:
        cloud = _cloud_of(header, rounded_n3)
    cloud.is_dense = bool(np.isfinite(rounded_n3).all())  # sensor_msgs_py says false of any cloud
    return cloud


def _cloud_of(header: Header, points_n3: NDArray[np.float32]) -> PointCloud2:
    fields = [
        PointField(name=name, offset=4 * column, datatype=PointField.FLOAT32, count=1)
        for column, name in enumerate("xyz")
    ]
    cloud = PointCloud2(
        header=header, height=1, width=len(points_n3), fields=fields,
        point_step=12, row_step=12 * len(points_n3),
    )  # fmt: skip
    cloud.data = array.array("B", points_n3.tobytes())
    return cloud


def pose_to_message(pose: Pose) -> PoseMessage:
    """Pose as geometry_msgs/Pose."""
    x, y, z, w = _quaternion_xyzw(pose)
    position = Point(**dict(zip("xyz", map(float, pose.translation_3), strict=True)))
    return PoseMessage(position=position, orientation=Quaternion(x=x, y=y, z=z, w=w))


def pose_to_transform(pose: Pose) -> Transform:
    """Pose as geometry_msgs/Transform."""
    x, y, z, w = _quaternion_xyzw(pose)
    translation = Vector3(**dict(zip("xyz", map(float, pose.translation_3), strict=True)))
    return Transform(translation=translation, rotation=Quaternion(x=x, y=y, z=z, w=w))


def pose_with_covariance(
    frame_id: str, stamp_ns: int, pose: Pose, covariance_66: NDArray[np.float64]
) -> PoseWithCovarianceStamped:
    """The message of a pose whose covariance is in the order x y z roll pitch yaw."""
    message = PoseWithCovarianceStamped()
    message.header.frame_id = frame_id
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.pose.pose = pose_to_message(pose)
    message.pose.covariance = np.asarray(covariance_66, dtype=np.float64).reshape(36)
    return message


def _quaternion_xyzw(pose: Pose) -> tuple[float, ...]:
    if _tf_transformations is None:
        return tuple(map(float, pose.quaternion_xyzw))
    quaternion_xyzw = np.asarray(_tf_transformations.quaternion_from_matrix(pose.matrix_44))
    return tuple(map(float, quaternion_xyzw if quaternion_xyzw[3] >= 0.0 else -quaternion_xyzw))
