"""The live node as a real process in a real graph: what it publishes, when, and what it refuses."""

from __future__ import annotations

import time
from itertools import count, pairwise

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from fake_localizer_process import RAISE, REJECT, SLEEP
from lifecycle_msgs.msg import Transition
from robot import LATCHED, NS, NodeProcess, Robot, odometry_at, stamp_of, wait_until

from glace_ros.msg import LocalizationStatus
from glace_ros.nodes.conversions import pose_from_message, pose_from_transform
from glace_ros.pose import Pose

pytestmark = pytest.mark.ros

MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)
DOMAINS = count(40)


@pytest.fixture
def robot():
    robot = Robot(next(DOMAINS))
    yield robot
    robot.close()


@pytest.fixture
def start(robot, tmp_path):
    """Starts the node; `-p` parameters as keywords."""
    nodes = []

    def start(*flags, fake=True, wait=True, **parameters):
        arguments = [*flags, "--ros-args"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={value}"]
        nodes.append(NodeProcess(robot.domain_id, tmp_path, *arguments, fake=fake))
        if wait:
            robot.wait_for_node()
            if parameters.get("autostart") == "true":
                robot.wait_for_listeners()
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()


def test_poses_and_map_to_odom_of_a_moving_robot(robot, start):
    start(autostart="true")
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 3.0)
    assert len(robot.poses) >= 8  # max_rate is 5 Hz
    for message in robot.poses:
        assert message.header.frame_id == "map"
        truth = MAP_FROM_ODOM @ odometry_at(stamp_of(message))  # at exposure, not at arrival
        pose = pose_from_message(message.pose.pose)
        assert pose.distance_m(truth) < 1e-6
        assert pose.angle_rad(truth) < 1e-6
        covariance_66 = np.array(message.pose.covariance).reshape(6, 6)
        assert np.linalg.eigvalsh(covariance_66).min() > 0.0
        np.testing.assert_allclose(covariance_66, covariance_66.T)
        assert 0.0 < covariance_66.diagonal().min() <= covariance_66.diagonal().max() < 1e3
    assert len(robot.transforms) > 20
    for transform in robot.transforms:
        assert (transform.header.frame_id, transform.child_frame_id) == ("map", "odom")
        found = pose_from_transform(transform.transform)
        assert found.distance_m(MAP_FROM_ODOM) < 1e-5
        assert found.angle_rad(MAP_FROM_ODOM) < 1e-6
    stamps = [stamp_of(transform) for transform in robot.transforms]
    assert all(earlier < later for earlier, later in pairwise(stamps))
    assert 0.0 < (stamps[-1] - robot.now_ns()) / NS + 0.15 < 0.3  # ahead by transform_tolerance
