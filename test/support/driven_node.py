"""The live node in the test's own process, without a graph and without waiting: messages are handed
to its callbacks, what it publishes is kept.
"""

from __future__ import annotations

import time
from threading import Event

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from support.fake_localizer_process import POSE, VIEWS_V3, FakeLocalizer, image_bytes
from support.robot import BASE_FROM_CAMERA, NS, camera_info_message, picture_message, wait_until
from tf2_msgs.msg import TFMessage

from glace_ros.geometry.pose import Pose
from glace_ros.node import live_localization
from glace_ros.node.localizer_node import GlaceLocalizer
from glace_ros.node.localizing.loaded_map import CheckedMap, LoadedMap
from glace_ros.node.ros_interface.conversions import (
    ns_to_stamp,
    pose_to_transform,
    pose_with_covariance,
)
from glace_ros.node.ros_interface.parameters import PARAMETERS
from glace_ros.ros_messages.reading import stamp_to_ns


class HeldLocalizer(FakeLocalizer):
    """Works on an image as long as `free` is not set."""

    def __init__(self):
        super().__init__()
        self.begun, self.free = Event(), Event()
        self.free.set()

    def localize(self, image_rgb_hwc, camera, motion=None):
        self.begun.set()
        assert self.free.wait(40.0)
        return super().localize(image_rgb_hwc, camera)


class DrivenNode:
    """The node, and how to play to it: all stamps are before its beginning.

    sent: what it publishes, by topic, is put in there (the fixture's doing).
    """

    def __init__(self, sent, **parameters):
        self.sent, self.localizer = sent, HeldLocalizer()
        self.began_ns, self.shown = time.time_ns(), 0
        values = {
            "image_transport": "raw",
            "max_rate": 60.0,
            "degraded_timeout": 60.0,
            "lost_timeout": 60.0,
            "max_image_age": 60.0,
            **parameters,
        }
        self.frames = [
            values.get(f"{name}_frame_id", PARAMETERS[f"{name}_frame_id"].default)
            for name in ("odom", "base")
        ]
        loaded_map = LoadedMap(
            self.localizer, "fake.glace 01234567", "map", "base_footprint", views_v3=VIEWS_V3
        )
        self.node = GlaceLocalizer(
            lambda _: CheckedMap(None, lambda: loaded_map),
            [Parameter(name, value=value) for name, value in values.items()],
        )

    def close(self):
        self.localizer.free.set()
        self.node.release()
        self.node.destroy_node()

    def hear(self, topic, message):
        (heard,) = (s for s in self.node.subscriptions if s.topic_name == topic)
        heard.callback(message)

    def hear_transform(self, topic, parent, child, stamp_ns, pose):
        message = TransformStamped(transform=pose_to_transform(pose))
        message.header.frame_id, message.child_frame_id = parent, child
        message.header.stamp = ns_to_stamp(stamp_ns)
        self.hear(topic, TFMessage(transforms=[message]))

    def drive(self, odom_from_base=None, base_from_camera=BASE_FROM_CAMERA):
        """Odometry of nearly ten seconds in one place; then it leaps away."""
        self.hear_transform("/tf_static", self.frames[1], "camera", 0, base_from_camera)
        for age_ns in (19 * NS // 2, NS // 50):
            self.hear_transform(
                "/tf", *self.frames, self.began_ns - age_ns, odom_from_base or Pose.identity()
            )
        far = Pose.from_planar(500.0, 0.0, 0.0)
        self.hear_transform("/tf", *self.frames, self.began_ns, far)

    def show(self, map_from_camera, age_s=None, what=POSE):
        """Hands it an image, each newer than the one before; its exposure time."""
        self.shown += 1
        age_s = 5.0 - 0.1 * self.shown if age_s is None else age_s
        stamp_ns = self.began_ns - round(age_s * NS)
        info = camera_info_message()
        image = picture_message(Image, image_bytes(map_from_camera, what))
        for message in (info, image):
            message.header.frame_id, message.header.stamp = "camera", ns_to_stamp(stamp_ns)
        self.hear("/camera_info", info)
        self.hear("/image", image)
        return stamp_ns

    def look(self, map_from_base, age_s=None, what=POSE, base_from_camera=BASE_FROM_CAMERA):
        """Shows an image and waits; ~/status of it."""
        stamp_ns = self.show(map_from_base @ base_from_camera, age_s, what)

        def status():
            came = self.came("/glace_localizer/status")
            return next((s for s in came if stamp_to_ns(s.image_stamp) == stamp_ns), None)

        return wait_until(status)

    def expect(self, map_from_base):
        """As Nav2's BasicNavigator says where the robot is: stamp 0, covariance 0."""
        message = pose_with_covariance("map", 0, map_from_base, np.zeros((6, 6)))
        self.hear("/initialpose", message)

    def came(self, topic):
        return list(self.sent.get(topic, []))

    def call(self, name):
        """The answer; of a service that has to wait for it, what goes on until then."""
        (service,) = (s for s in self.node.services if s.srv_name == name)
        return service.callback(service.srv_type.Request(), service.srv_type.Response())

    def poses(self):
        return self.came("/pose")

    def transforms(self):
        """All timers are due: what comes of it on /tf."""
        self.sent.pop("/tf", None)
        for timer in list(self.node.timers):
            timer.callback()
        return [transform for message in self.came("/tf") for transform in message.transforms]

    def tasks(self):
        """Of the newest diagnostics, by name."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(live_localization, "REPORT_PERIOD_S", 0.0)
            self.transforms()
        return {task.name.split(": ")[1]: task for task in self.came("/diagnostics")[-1].status}
