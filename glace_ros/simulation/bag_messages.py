"""ROS 2 messages written into a bag, without ROS: rosbags knows their definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.typesys import Stores, get_typestore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Writer

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose

IMAGE_TOPIC = "/camera/image_raw"
CAMERA_INFO_TOPIC = "/camera/camera_info"
TRUTH_TOPIC = "/ground_truth/pose"
_CAMERA_FRAME = "camera_optical_frame"

Transform = tuple[str, str, "Pose"]


def _qos(durability: QosDurability) -> Qos:
    never = QosTime(2147483647, 4294967295)
    return Qos(
        QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, durability, never, never,
        QosLiveliness.AUTOMATIC, never, False,
    )  # fmt: skip


class BagMessages:
    """Writes the robot's messages into an open bag. Stamps and times of arrival in ns."""

    def __init__(self, writer: Writer, camera: Camera, jpeg_quality: int) -> None:
        """jpeg_quality: 0 writes raw rgb8 images."""
        self._writer, self._camera, self._jpeg_quality = writer, camera, jpeg_quality
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._types = self._store.types
        self._connections: dict[str, Connection] = {}

    def write_static(self, transforms: Sequence[Transform], stamp_ns: int) -> None:
        """/tf_static, once."""
        message = self._tf_message(transforms, stamp_ns)
        self._write("/tf_static", message, stamp_ns, QosDurability.TRANSIENT_LOCAL)

    def write_transforms(
        self, transforms: Sequence[Transform], stamp_ns: int, received_ns: int
    ) -> None:
        """/tf: (parent, child, parent_from_child)."""
        self._write("/tf", self._tf_message(transforms, stamp_ns), received_ns)

    def write_odometry(
        self, odom_from_base: Pose, speed: tuple[float, float], stamp_ns: int, received_ns: int
    ) -> None:
        """/odom, with the speed (m/s ahead, rad/s) in the base's frame."""
        twist = self._new(
            "geometry_msgs/msg/Twist",
            linear=self._new("geometry_msgs/msg/Vector3", x=speed[0], y=0.0, z=0.0),
            angular=self._new("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=speed[1]),
        )
        pose_variances = np.diag([1e-3, 1e-3, 1e-6, 1e-6, 1e-6, 1e-3]).ravel()
        message = self._new(
            "nav_msgs/msg/Odometry",
            header=self._header("odom", stamp_ns),
            child_frame_id="base_footprint",
            pose=self._new(
                "geometry_msgs/msg/PoseWithCovariance",
                pose=self._pose(odom_from_base),
                covariance=pose_variances,
            ),
            twist=self._new(
                "geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=pose_variances
            ),
        )
        self._write("/odom", message, received_ns)

    def write_truth(self, map_from_base: Pose, stamp_ns: int, received_ns: int) -> None:
        """/ground_truth/pose: base_footprint in the map."""
        header = self._header("map", stamp_ns)
        pose = self._pose(map_from_base)
        message = self._new("geometry_msgs/msg/PoseStamped", header=header, pose=pose)
        self._write(TRUTH_TOPIC, message, received_ns)

    def write_image(
        self, image_rgb_hwc: NDArray[np.uint8], stamp_ns: int, received_ns: int
    ) -> None:
        """The image, compressed or raw, and its camera_info just before it."""
        header = self._header(_CAMERA_FRAME, stamp_ns)
        self._write(CAMERA_INFO_TOPIC, self._camera_info(header), received_ns)
        if self._jpeg_quality > 0:
            setting = [cv2.IMWRITE_JPEG_QUALITY, self._jpeg_quality]
            _, data_n = cv2.imencode(".jpg", image_rgb_hwc[..., ::-1], setting)
            message = self._new(
                "sensor_msgs/msg/CompressedImage", header=header, format="jpeg", data=data_n
            )
            self._write(f"{IMAGE_TOPIC}/compressed", message, received_ns)
            return
        height, width = image_rgb_hwc.shape[:2]
        message = self._new(
            "sensor_msgs/msg/Image",
            header=header,
            height=height,
            width=width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * width,
            data=np.ascontiguousarray(image_rgb_hwc).ravel(),
        )
        self._write(IMAGE_TOPIC, message, received_ns)

    def _camera_info(self, header: Any) -> Any:
        camera = self._camera
        region = self._new(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False,
        )  # fmt: skip
        return self._new(
            "sensor_msgs/msg/CameraInfo",
            header=header,
            height=camera.height_px,
            width=camera.width_px,
            distortion_model="plumb_bob"
            if camera.distortion_model == "none"
            else camera.distortion_model,
            d=np.array(camera.distortion or (0.0,) * 5),
            k=camera.matrix_33.ravel(),
            r=np.eye(3).ravel(),
            p=np.hstack([camera.matrix_33, np.zeros((3, 1))]).ravel(),
            binning_x=0,
            binning_y=0,
            roi=region,
        )

    def _tf_message(self, transforms: Sequence[Transform], stamp_ns: int) -> Any:
        stamped = []
        for parent, child, parent_from_child in transforms:
            x_m, y_m, z_m = (float(v) for v in parent_from_child.translation_3)
            transform = self._new(
                "geometry_msgs/msg/Transform",
                translation=self._new("geometry_msgs/msg/Vector3", x=x_m, y=y_m, z=z_m),
                rotation=self._quaternion(parent_from_child),
            )
            stamped.append(
                self._new(
                    "geometry_msgs/msg/TransformStamped",
                    header=self._header(parent, stamp_ns),
                    child_frame_id=child,
                    transform=transform,
                )
            )
        return self._new("tf2_msgs/msg/TFMessage", transforms=stamped)

    def _pose(self, pose: Pose) -> Any:
        x_m, y_m, z_m = (float(v) for v in pose.translation_3)
        return self._new(
            "geometry_msgs/msg/Pose",
            position=self._new("geometry_msgs/msg/Point", x=x_m, y=y_m, z=z_m),
            orientation=self._quaternion(pose),
        )

    def _quaternion(self, pose: Pose) -> Any:
        x, y, z, w = (float(v) for v in pose.quaternion_xyzw)
        return self._new("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)

    def _header(self, frame_id: str, stamp_ns: int) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        stamp = self._new("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._new("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def _new(self, message_type: str, **fields: Any) -> Any:
        return self._types[message_type](**fields)

    def _write(
        self,
        topic: str,
        message: Any,
        received_ns: int,
        durability: QosDurability = QosDurability.VOLATILE,
    ) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic,
                message.__msgtype__,
                typestore=self._store,
                offered_qos_profiles=[_qos(durability)],
            )
        data = self._store.serialize_cdr(message, message.__msgtype__)
        self._writer.write(self._connections[topic], received_ns, data)
