"""The other side of the live node in a test: a robot's topics, and what comes back."""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from glace_ros.msg import LocalizationStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from support.fake_localizer_process import ASLEEP, HEIGHT, POSE, WIDTH, image_bytes
from support.waiting import let_pass, wait_until
from tf2_msgs.msg import TFMessage

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.node.ros_interface.conversions import (
    ns_to_stamp,
    pose_to_transform,
    pose_with_covariance,
)
from glace_ros.node.ros_interface.parameters import PARAMETERS
from glace_ros.ros_messages.reading import stamp_to_ns

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
STATIC = QoSProfile(
    depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
# a camera 0.2 m ahead of the base and 0.5 m above it, looking ahead (optical axes: z forward)
BASE_FROM_CAMERA = Pose.from_quaternion([0.2, 0.0, 0.5], [-0.5, 0.5, -0.5, 0.5])
NS = 1_000_000_000


def camera_info_message() -> CameraInfo:
    """Of the camera that takes the pictures, without a header."""
    message = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5)
    message.k = [30.0, 0.0, 15.5, 0.0, 30.0, 11.5, 0.0, 0.0, 1.0]
    return message


def picture_message(message_type: type, pixels: bytes) -> Image | CompressedImage:
    """An image message of either type, without a header."""
    if message_type is CompressedImage:
        image_rgb_hwc = np.frombuffer(pixels, np.uint8).reshape(HEIGHT, WIDTH, 3)
        png = cv2.imencode(".png", image_rgb_hwc[:, :, ::-1])[1]
        message = CompressedImage(format="rgb8; png compressed bgr8")
        message.data = array.array("B", png.tobytes())
        return message
    message = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
    message.data = array.array("B", pixels)
    return message


class Robot:
    """A robot with a camera, odometry and TF, in a ROS domain of its own or in a namespace.

    poses, transforms, statuses: what has come from the node, in order.
    """

    def __init__(
        self, domain_id: int, namespace: str = "", remappings: tuple[str, ...] = ()
    ) -> None:
        self.domain_id = domain_id
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        # with a namespace, its TF is in there too, as Nav2 has it
        rules = ["/tf:=tf", "/tf_static:=tf_static", *remappings]
        arguments = ["--ros-args", *(part for rule in rules for part in ("-r", rule))]
        self.node = rclpy.create_node(
            "robot", context=self._context, namespace=namespace, cli_args=arguments
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.set_parameters = self.node.create_client(
            SetParameters, "glace_localizer/set_parameters"
        )
        self._thread = Thread(target=self._spin, daemon=True)
        self._images = self.node.create_publisher(Image, "image", 10)
        self._infos = self.node.create_publisher(CameraInfo, "camera_info", 10)
        self._initial_pose = self.node.create_publisher(
            PoseWithCovarianceStamped, "initialpose", 10
        )
        self._tf = self.node.create_publisher(TFMessage, "/tf", 100)
        self._tf_static = self.node.create_publisher(TFMessage, "/tf_static", STATIC)
        self.poses: list[PoseWithCovarianceStamped] = []
        self.statuses: list[LocalizationStatus] = []
        self.transforms: list[TransformStamped] = []
        self.node.create_subscription(PoseWithCovarianceStamped, "pose", self.poses.append, LATCHED)
        self.node.create_subscription(
            LocalizationStatus, "glace_localizer/status", self.statuses.append, LATCHED
        )
        self.node.create_subscription(TFMessage, "/tf", self._on_tf, 100)
        self.diagnostics: list[DiagnosticArray] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        self._clock: Publisher | None = None
        self.change_state = self.node.create_client(ChangeState, "glace_localizer/change_state")
        self.get_state = self.node.create_client(GetState, "glace_localizer/get_state")
        self._clock_offset_ns = 0
        self._thread.start()

    def _spin(self) -> None:
        self._executor.spin()

    def _on_tf(self, message: TFMessage) -> None:
        self.transforms += [t for t in message.transforms if t.header.frame_id == "map"]

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.shutdown()

    def now_ns(self) -> int:
        return time.time_ns() + self._clock_offset_ns

    def simulate_clock(self, stamp_ns: int) -> None:
        """From now on /clock runs from stamp_ns at the speed of real time."""
        self._clock_offset_ns = stamp_ns - time.time_ns()
        if self._clock is None:
            self._clock = self.node.create_publisher(Clock, "/clock", 10)
            self.node.create_timer(0.01, self._publish_clock)
        let_pass(0.3, "nobody tells that the node has heard the time")

    def _publish_clock(self) -> None:
        self._clock.publish(Clock(clock=ns_to_stamp(self.now_ns())))

    def cover_camera(self) -> None:
        """Publishes no images on any topic."""
        self.node.destroy_publisher(self._images)

    def uncover_camera(self, message_type: type = Image) -> None:
        """Publishes raw or compressed images again, after `cover_camera`."""
        topic = "image" if message_type is Image else "image/compressed"
        self._images = self.node.create_publisher(message_type, topic, 10)

    def compress(self) -> None:
        """Publishes its images as PNG on image/compressed only."""
        self.cover_camera()
        self.uncover_camera(CompressedImage)

    def publish_images_best_effort(self) -> None:
        self.node.destroy_publisher(self._images)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._images = self.node.create_publisher(Image, "image", qos)

    def publish_static(self, parent: str = "base_footprint", child: str = "camera") -> None:
        message = TransformStamped(transform=pose_to_transform(BASE_FROM_CAMERA))
        message.header.frame_id, message.child_frame_id = parent, child
        self._tf_static.publish(TFMessage(transforms=[message]))

    def publish_odometry(self, stamp_ns: int, odom_from_base: Pose) -> None:
        message = TransformStamped(transform=pose_to_transform(odom_from_base))
        message.header.frame_id, message.child_frame_id = "odom", "base_footprint"
        message.header.stamp = ns_to_stamp(stamp_ns)
        self._tf.publish(TFMessage(transforms=[message]))

    def publish_camera_info(self, stamp_ns: int) -> None:
        message = camera_info_message()
        message.header.frame_id, message.header.stamp = "camera", ns_to_stamp(stamp_ns)
        self._infos.publish(message)

    def publish_image(
        self, stamp_ns: int, map_from_base: Pose | None = None, what: float = POSE
    ) -> None:
        map_from_camera = (map_from_base or Pose.identity()) @ BASE_FROM_CAMERA
        message = picture_message(self._images.msg_type, image_bytes(map_from_camera, what))
        message.header.frame_id, message.header.stamp = "camera", ns_to_stamp(stamp_ns)
        self._images.publish(message)

    def publish_initial_pose(
        self, map_from_base: Pose, variance: float = 0.0, frame_id: str = "map"
    ) -> None:
        """As Nav2's BasicNavigator: without a stamp, and by default without a covariance."""
        message = pose_with_covariance(frame_id, 0, map_from_base, variance * np.eye(6))
        self._initial_pose.publish(message)

    def rejections(self) -> str:
        """Every reason that ~/status has given so far."""
        return " ".join(status.rejection_reason for status in self.statuses)

    def publish_picture(self, stamp_ns: int, image_rgb_hwc: np.ndarray, camera: Camera) -> None:
        """Any rgb8 picture, and the camera_info of a camera with plumb_bob distortion."""
        info = CameraInfo(width=camera.width_px, height=camera.height_px)
        info.distortion_model, info.d = camera.distortion_model, list(camera.distortion)
        info.k = camera.matrix_33.ravel()
        message = Image(width=camera.width_px, height=camera.height_px, encoding="rgb8")
        message.step, message.data = 3 * message.width, array.array("B", image_rgb_hwc.tobytes())
        for stamped in (info, message):
            stamped.header.frame_id, stamped.header.stamp = "camera", ns_to_stamp(stamp_ns)
        self._infos.publish(info)
        let_pass(0.05, "two topics: the image must not overtake what its camera is")
        self._images.publish(message)

    def drive(
        self, map_from_odom: Pose, seconds: float, what: float = POSE, hz: float = 10.0
    ) -> None:
        """Drives a curve, as fast as a robot does.

        Odometry comes 50 ms after the image that it belongs to, as on robots.
        """
        for _ in range(round(seconds * hz)):
            stamp_ns = self.now_ns()
            self.publish_camera_info(stamp_ns)
            self.publish_image(stamp_ns, map_from_odom @ odometry_at(stamp_ns), what)
            time.sleep(0.05)
            self.publish_odometry(stamp_ns - 30_000_000, odometry_at(stamp_ns - 30_000_000))
            self.publish_odometry(stamp_ns + 30_000_000, odometry_at(stamp_ns + 30_000_000))
            time.sleep(1.0 / hz - 0.05)

    def photograph(
        self, count: int, period_s: float, map_from_base: Pose | None = None, info: bool = True
    ) -> None:
        """Takes images with a camera of that period, without odometry."""
        for _ in range(count):
            if info:
                self.publish_camera_info(self.now_ns())
            self.publish_image(self.now_ns(), map_from_base)
            time.sleep(period_s)

    def wait_for_node(self) -> None:
        """Until images, TF and answers can go both ways."""
        assert self.get_state.wait_for_service(150.0)
        # an answer is lost where the node has not found the asker yet: ask until one comes
        wait_until(self._answers)

    def _answers(self) -> bool:
        future, answered = self.get_state.call_async(GetState.Request()), Event()
        future.add_done_callback(lambda _: answered.set())
        return answered.wait(3.0)

    def image_listeners(self) -> int:
        return self._images.get_subscription_count()

    def info_listeners(self) -> int:
        return self._infos.get_subscription_count()

    def wait_for_listeners(self) -> None:
        wait_until(
            lambda: (
                self._images.get_subscription_count()
                and self._infos.get_subscription_count()
                and self._tf.get_subscription_count() >= 2  # the node's and our own
                and self._tf_static.get_subscription_count()
                and self._initial_pose.get_subscription_count()
            )
        )

    def activate(self, matched: bool = True, **parameters: object) -> None:
        """Takes the node, in whatever state, through its lifecycle until it is active.

        parameters: where they differ from the defaults. matched: whether its subscriptions will
        match our publishers.
        """
        state = self.state()
        if state == "active":
            assert self.transition(Transition.TRANSITION_DEACTIVATE)
        if state in ("active", "inactive"):
            assert self.transition(Transition.TRANSITION_CLEANUP)
        for name, field in PARAMETERS.items():
            result = self.set_parameter(name, parameters.get(name, field.default))
            assert result.successful, result.reason
        assert self.transition(Transition.TRANSITION_CONFIGURE)
        assert self.transition(Transition.TRANSITION_ACTIVATE)
        if matched:
            self.wait_for_listeners()
        self.poses.clear()
        self.statuses.clear()
        self.transforms.clear()
        self.diagnostics.clear()

    def state(self, timeout_s: float = 40.0) -> str:
        answer = self._call(self.get_state, GetState.Request(), timeout_s)
        return str(answer.current_state.label)

    def transition(self, transition_id: int, timeout_s: float = 40.0) -> bool:
        request = ChangeState.Request()
        request.transition.id = transition_id
        return bool(self._call(self.change_state, request, timeout_s).success)

    def set_parameter(self, name: str, value: object) -> SetParametersResult:
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return self._call(self.set_parameters, request, 40.0).results[0]

    def _call(self, client: Any, request: Any, timeout_s: float) -> Any:
        future = client.call_async(request)
        return wait_until(lambda: future.done() and future.result(), timeout_s)


def odometry_at(stamp_ns: int) -> Pose:
    """odom_from_base: straight on, so that interpolation is exact, at 0.85 m/s."""
    seconds = (stamp_ns % (1000 * NS)) / NS
    return Pose.from_planar(0.8 * seconds, -0.3 * seconds, 0.6)


class NodeProcess:
    """The node as a process of its own. `log()`: what it has printed since `forget_log`."""

    def __init__(self, folder: Path, *arguments: str, fake: bool = True) -> None:
        self._log_path = folder / f"node_{time.monotonic_ns()}.log"
        self._log_start = 0
        script = str(Path(__file__).with_name("fake_localizer_process.py"))
        module = [script] if fake else ["-m", "glace_ros.cli", "localize"]
        repository = str(Path(__file__).parents[2])
        python_path = os.pathsep.join([repository, os.environ.get("PYTHONPATH", "")])
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *module, *arguments],
                stdout=log, stderr=subprocess.STDOUT, cwd=repository,
                env=dict(os.environ, ROS_HOME=str(folder), PYTHONPATH=python_path),
            )  # fmt: skip

    def forget_log(self) -> None:
        self._log_start += len(self.log())

    def log(self) -> str:
        return self._log_path.read_text()[self._log_start :]

    def wait_for(self, sentence: str, timeout_s: float = 40.0) -> None:
        deadline = time.monotonic() + timeout_s
        while sentence not in self.log():
            assert time.monotonic() < deadline, f"'{sentence}' is not in:\n{self.log()}"
            time.sleep(0.05)

    def wait_for_sleep(self, times: int = 1) -> None:
        """Until its localizer sleeps over an image, for the so-many-th time in the log."""
        wait_until(lambda: self.log().count(ASLEEP) >= times)

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(40.0)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def stamp_of(message: Any) -> int:
    return stamp_to_ns(message.header.stamp)
