"""Writes small bags for tests: a known drive, in any storage, with anything left out or broken."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from glace_ros.geometry.pose import Pose

START_NS = 1_700_000_000_000_000_000
IMAGE_PERIOD_NS = 100_000_000
POSE_PERIOD_NS = 20_000_000
IMAGE_OFFSET_NS = 7_000_000  # exposures fall between the poses
WIDTH, HEIGHT = 64, 48
K_33 = np.array([[50.0, 0.0, 31.5], [0.0, 50.0, 23.5], [0.0, 0.0, 1.0]])
OPTICAL = Pose.from_quaternion([0.0, 0.0, 0.0], [-0.5, 0.5, -0.5, 0.5])
BASE_FROM_CAMERA = Pose.from_quaternion([0.1, 0.02, 0.3], [0, 0, 0, 1]) @ OPTICAL


def map_from_base(stamp_ns: int) -> Pose:
    """A drive along a line while turning: what interpolation must recover exactly."""
    t_s = (stamp_ns - START_NS) / 1e9
    return Pose.from_rotation_vector(
        [1.0 + 0.8 * t_s, -0.3 * t_s, 0.1], [0.0, 0.0, 0.5 + 0.4 * t_s]
    )


def picture(index: int) -> np.ndarray:
    """A textured RGB picture (HEIGHT, WIDTH, 3), another one for each index."""
    rng = np.random.default_rng(index)
    small = rng.integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), dtype=np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)


@cache
def _store(ros1: bool):
    if not ros1:
        return get_typestore(Stores.ROS2_JAZZY)
    store = get_typestore(Stores.ROS1_NOETIC)
    tf_message = "geometry_msgs/TransformStamped[] transforms"  # not part of rosbags' own store
    store.register(get_types_from_msg(tf_message, "tf2_msgs/msg/TFMessage"))
    return store


class BagWriter:
    """Messages by short names, in ROS 2 or ROS 1 form."""

    def __init__(self, writer, ros1: bool) -> None:
        self.ros1 = ros1
        self.store = _store(ros1)
        self._writer = writer
        self._connections = {}

    def make(self, msgtype: str, **fields):
        return self.store.types[msgtype](**fields)

    def header(self, stamp_ns: int, frame: str):
        stamp = self.make(
            "builtin_interfaces/msg/Time",
            sec=stamp_ns // 1_000_000_000,
            nanosec=stamp_ns % 1_000_000_000,
        )
        extra = {"seq": 0} if self.ros1 else {}
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id=frame, **extra)

    def write(self, topic: str, message, received_ns: int) -> None:
        msgtype = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, msgtype, typestore=self.store
            )
        serialize = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        self._writer.write(self._connections[topic], received_ns, serialize(message, msgtype))

    def _parts(self, pose: Pose, position: str):
        x, y, z = pose.translation_3
        qx, qy, qz, qw = pose.quaternion_xyzw
        return (
            self.make(f"geometry_msgs/msg/{position}", x=x, y=y, z=z),
            self.make("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
        )

    def pose(self, pose: Pose):
        position, orientation = self._parts(pose, "Point")
        return self.make("geometry_msgs/msg/Pose", position=position, orientation=orientation)

    def tf(self, parent: str, child: str, stamp_ns: int, pose: Pose, topic="/tf") -> None:
        translation, rotation = self._parts(pose, "Vector3")
        transform = self.make(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(stamp_ns, parent),
            child_frame_id=child,
            transform=self.make(
                "geometry_msgs/msg/Transform", translation=translation, rotation=rotation
            ),
        )
        message = self.make("tf2_msgs/msg/TFMessage", transforms=[transform])
        self.write(topic, message, stamp_ns)

    def odometry(self, topic: str, stamp_ns: int, pose, frame="odom", child="base_link") -> None:
        zero = self.make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
        twist = self.make("geometry_msgs/msg/Twist", linear=zero, angular=zero)
        message = self.make(
            "nav_msgs/msg/Odometry",
            header=self.header(stamp_ns, frame),
            child_frame_id=child,
            pose=self.make(
                "geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)
            ),
            twist=self.make(
                "geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)
            ),
        )
        self.write(topic, message, stamp_ns)

    def pose_stamped(self, topic: str, stamp_ns: int, pose, frame="map", covariance=False) -> None:
        header = self.header(stamp_ns, frame)
        if covariance:
            pose = self.make(
                "geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)
            )
        kind = "PoseWithCovarianceStamped" if covariance else "PoseStamped"
        self.write(
            topic, self.make(f"geometry_msgs/msg/{kind}", header=header, pose=pose), stamp_ns
        )

    def image(self, topic: str, stamp_ns: int, rgb, frame="camera", received_ns=None) -> None:
        header = self.header(stamp_ns, frame)
        if topic.endswith("/compressed"):
            ok, png = cv2.imencode(".png", rgb[..., ::-1])
            assert ok
            message = self.make(
                "sensor_msgs/msg/CompressedImage",
                header=header,
                format="rgb8; png compressed bgr8",
                data=png.ravel(),
            )
        else:
            message = self.make(
                "sensor_msgs/msg/Image",
                header=header,
                height=rgb.shape[0],
                width=rgb.shape[1],
                encoding="rgb8",
                is_bigendian=0,
                step=3 * rgb.shape[1],
                data=rgb.ravel(),
            )
        self.write(topic, message, received_ns or stamp_ns)

    def camera_info(self, topic: str, stamp_ns: int, *, k_33=K_33, d=(), model="plumb_bob",
                    size=(WIDTH, HEIGHT), binning=0, roi=(0, 0, 0, 0),
                    ahead_ns=0) -> None:  # fmt: skip
        p_34 = np.hstack([k_33, np.zeros((3, 1))])
        matrices = {"k": k_33.ravel(), "d": np.array(d, float), "r": np.eye(3).ravel(),
                    "p": p_34.ravel()}  # fmt: skip
        if self.ros1:
            matrices = {name.upper(): value for name, value in matrices.items()}
        x, y, width, height = roi
        message = self.make(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(stamp_ns + ahead_ns, "camera"),
            height=size[1],
            width=size[0],
            distortion_model=model,
            binning_x=binning,
            binning_y=binning,
            roi=self.make(
                "sensor_msgs/msg/RegionOfInterest",
                x_offset=x,
                y_offset=y,
                height=height,
                width=width,
                do_rectify=False,
            ),
            **matrices,
        )
        self.write(topic, message, stamp_ns)


@contextmanager
def bag_writer(path: Path, storage: str = "mcap", compression: str | None = None):
    """A BagWriter into `path`. storage: mcap, sqlite3 or ros1; compression: None, file, message."""
    if storage == "ros1":
        with Writer1(path) as writer:
            yield BagWriter(writer, ros1=True)
        return
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    writer = Writer2(path, version=9, storage_plugin=plugin)
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        yield BagWriter(writer, ros1=False)


def write_drive(
    path: Path,
    storage: str = "mcap",
    compression: str | None = None,
    *,
    images: int = 20,
    image_topic: str = "/camera/image_raw",
    poses: str = "odometry",
    camera_info: bool = True,
    tf_static: bool = True,
    first_picture: int = 0,
    base_frame: str = "base_link",
    reset_ns: int | None = None,
) -> Path:
    """The drive `map_from_base`, seen by one camera.

    poses: odometry, tf:FRAME, pose, pose_cov or none; from before the first image till the end.
    first_picture: that its first image shows; those of other drives show others.
    reset_ns: from then on, poses are those from there.
    """
    with bag_writer(path, storage, compression) as bag:
        if tf_static:
            bag.tf(base_frame, "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        last_ns = START_NS + images * IMAGE_PERIOD_NS
        events = [(START_NS + IMAGE_OFFSET_NS + i * IMAGE_PERIOD_NS, i) for i in range(images)]
        events += [(stamp, -1) for stamp in range(START_NS, last_ns + 1, POSE_PERIOD_NS)]
        for stamp, index in sorted(events):
            if index >= 0:
                bag.image(image_topic, stamp, picture(first_picture + index))
                if camera_info:
                    bag.camera_info("/camera/camera_info", stamp)
            else:
                pose = map_from_base(stamp)
                if reset_ns is not None and stamp >= reset_ns:
                    pose = map_from_base(reset_ns).inverse() @ pose
                write_pose(bag, poses, stamp, pose, base_frame)
    return path


def write_pose(
    bag: BagWriter,
    poses: str,
    stamp: int,
    pose: Pose | None = None,
    base_frame: str = "base_link",
) -> None:
    """A pose, the true one at `stamp` if nothing is said, in the form that `poses` names."""
    pose = pose or map_from_base(stamp)
    if poses == "odometry":
        bag.odometry("/odom", stamp, bag.pose(pose), child=base_frame)
    elif poses.startswith("tf:"):
        bag.tf(poses[3:], base_frame, stamp, pose)
    elif poses in ("pose", "pose_cov"):
        bag.pose_stamped("/pose", stamp, bag.pose(pose), covariance=poses == "pose_cov")
