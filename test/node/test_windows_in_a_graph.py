"""The live node as a real process: images that say nothing alone give a fix together, and where
they cannot, the places are told.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from geometry_msgs.msg import PoseArray
from glace_ros.msg import LocalizationStatus
from support.fake_localizer_process import POSE, REJECT
from support.robot import LATCHED, NS, stamp_of
from support.twin_rooms import APART_M, MAP_FROM_ODOM
from support.waiting import wait_until

from glace_ros.geometry.pose import Pose
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform, stamp_to_ns

pytestmark = pytest.mark.ros

BEHIND = (np.pi, 2.8, 2.5, 2.2)  # each room has its own wall there
FRONT = (0.3, 0.1, -0.1, -0.3)  # and here the same
STEP_NS = NS // 2
"""From an image to the next: where a robot turns faster, odometry has jumped."""
PARAMETERS = {
    "two_d_mode": False, "max_image_age": 60.0, "max_rate": 50.0,
    "window_max_age": 60.0, "degraded_timeout": 60.0, "lost_timeout": 60.0,
}  # fmt: skip


@pytest.fixture
def twins(live):
    """A robot between the twin walls, and what has come on ~/places."""
    robot, _ = live
    places: list[PoseArray] = []
    robot.node.create_subscription(PoseArray, "glace_localizer/places", places.append, LATCHED)
    return robot, places


def base(yaw_rad, room=0):
    return Pose.from_rotation_vector([0.0, 0.0, APART_M * room], [0.0, 0.0, yaw_rad])


def look(robot, yaw_rad, room=0, what=POSE):
    """Turns the robot, and waits for what becomes of an image. Odometry knows no rooms."""
    past = [stamp_to_ns(status.image_stamp) for status in robot.statuses]
    stamp_ns = max([robot.now_ns() - 10 * NS, *(at_ns + STEP_NS for at_ns in past)])
    robot.publish_camera_info(stamp_ns)
    for odometry_ns in (stamp_ns - 30_000_000, stamp_ns + 30_000_000):
        robot.publish_odometry(odometry_ns, MAP_FROM_ODOM.inverse() @ base(yaw_rad))
    robot.publish_image(stamp_ns, base(yaw_rad, room), what)
    return wait_until(
        lambda: next((s for s in robot.statuses if stamp_to_ns(s.image_stamp) == stamp_ns), None)
    )


def activate(robot, map_name, **changes):
    robot.activate(map=map_name, **{**PARAMETERS, **changes})
    robot.publish_static()


def diagnosed(robot):
    """The values of the task `localization` that come from now on."""
    robot.diagnostics.clear()
    tasks = wait_until(lambda: robot.diagnostics and robot.diagnostics[-1].status)
    return {value.key: value.value for value in tasks[0].values}


def test_images_that_are_too_weak_alone_give_a_fix_together(twins):
    robot, _ = twins
    activate(robot, "weak_twins")
    statuses = [look(robot, yaw_rad, room=1) for yaw_rad in BEHIND]
    assert not statuses[0].accepted
    assert statuses[0].rejection_code == LocalizationStatus.REJECTION_FEW_INLIERS
    assert statuses[-1].accepted
    (*_, message) = wait_until(lambda: robot.poses)
    assert stamp_of(message) == stamp_to_ns(statuses[-1].image_stamp)
    assert pose_from_message(message.pose.pose).distance_m(base(BEHIND[-1], 1)) < 0.05
    transform = wait_until(lambda: robot.transforms)[-1]
    map_from_odom = Pose(np.eye(3), np.array([0.0, 0.0, APART_M])) @ MAP_FROM_ODOM
    assert pose_from_transform(transform.transform).distance_m(map_from_odom) < 0.15
    assert int(diagnosed(robot)["images of the fix"]) >= 2
    # a blank wall is not carried by those before it, as there is none without windows
    assert not look(robot, 1.9, room=1, what=REJECT).accepted
    activate(robot, "weak_twins", window_images=0)
    assert not any(look(robot, yaw_rad, room=1).accepted for yaw_rad in BEHIND)
    assert robot.poses == []
    assert robot.transforms == []


def test_where_both_rooms_look_alike_the_places_are_told_until_one_is_known(twins):
    robot, places = twins
    activate(robot, "twins")
    statuses = [look(robot, yaw_rad) for yaw_rad in FRONT]
    assert not any(status.accepted for status in statuses)
    assert statuses[-1].rejection_code == LocalizationStatus.REJECTION_AMBIGUOUS
    assert robot.poses == []
    told = wait_until(lambda: [each for each in places if each.poses])[-1]
    assert told.header.frame_id == "map"
    assert stamp_of(told) in [stamp_to_ns(status.image_stamp) for status in statuses]
    newest = FRONT[[stamp_to_ns(s.image_stamp) for s in statuses].index(stamp_of(told))]
    found = sorted(
        (pose_from_message(pose) for pose in told.poses), key=lambda p: p.translation_3[2]
    )
    assert len(found) == 2
    for room, pose in enumerate(found):
        assert pose.distance_m(base(newest, room)) < 0.1
    assert diagnosed(robot)["suggestion"].startswith("turn, or drive on: the last ")
    for yaw_rad in (-1.2, -1.8, -2.4, -3.0):
        status = look(robot, yaw_rad)
    assert status.accepted
    (*_, message) = wait_until(lambda: robot.poses)
    assert pose_from_message(message.pose.pose).distance_m(base(-3.0)) < 0.05
    wait_until(lambda: not places[-1].poses)
    assert diagnosed(robot)["suggestion"] == ""
