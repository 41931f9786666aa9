"""Several cameras: their fixes in whatever order, their images in turn, their topics by name."""

from __future__ import annotations

import time
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.odometry import MAP_FROM_ODOM, SURE_66, odometry_at

from glace_ros.fusion.odometry_fusion import Fix, OdometryFusion
from glace_ros.fusion.odometry_fusion_config import OdometryFusionConfig
from glace_ros.geometry.pose import Pose
from glace_ros.rejection import Rejection, RejectionCode

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from support.fake_localizer_process import POSE, REJECT, image_bytes
from support.robot import (
    STATIC,
    NodeProcess,
    Robot,
    camera_info_message,
    picture_message,
    stamp_of,
    wait_until,
)
from support.robot import odometry_at as robot_odometry_at
from tf2_msgs.msg import TFMessage

from glace_ros.node.conversions import ns_to_stamp, pose_to_transform
from glace_ros.node.localizing.image_worker import NewestFirstWorker
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform

NS = 1_000_000_000
CARRIED = Pose.from_planar(7.0, -3.0, 2.0)


def see(fusion, camera, stamp_s, moved=None, noise_3=(0.0, 0.0, 0.0), bent_rad=0.0):
    """A fix of the robot of test_odometry_fusion; bent_rad: the heading's drift in a second."""
    stamp_ns = round(stamp_s * NS)
    truth = (moved or Pose.identity()) @ MAP_FROM_ODOM @ odometry_at(stamp_ns)
    seen = Pose(truth.rotation_33, truth.translation_3 + noise_3)
    odom = Pose.from_planar(0.0, 0.0, bent_rad * stamp_s) @ odometry_at(stamp_ns)
    return fusion.fix(stamp_ns, seen, SURE_66, odom, camera)


@st.composite
def two_cameras(draw) -> list[tuple[str, float]]:
    """(camera, exposure in s), each camera's ascending, in the order in which they are done."""
    steps = draw(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.01, 0.6)), min_size=2))
    times, order = {"a": draw(st.floats(1.0, 2.0)), "b": 1.5}, []
    for camera, step_s in steps:
        times[camera] += step_s
        order.append((camera, times[camera]))
    return order


@settings(deadline=None, max_examples=60)
@given(two_cameras())
def test_in_any_order_the_true_map_from_odom_comes_out_and_the_pose_s_stamps_increase(order):
    fusion = OdometryFusion()
    newest_s = 0.0
    for camera, stamp_s in order:
        fix = see(fusion, camera, stamp_s)
        assert isinstance(fix, Fix)
        newest_s = max(newest_s, stamp_s)
        assert fusion.last_fix.stamp_ns == round(newest_s * NS)
        assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) < 1e-6
        assert fusion.map_from_odom.angle_rad(MAP_FROM_ODOM) < 1e-6
        truth = MAP_FROM_ODOM @ odometry_at(fix.stamp_ns)
        assert fix.map_from_base.distance_m(truth) < 1e-9  # at its own exposure


@pytest.mark.parametrize("bent_rad", [0.0, 0.03])
def test_a_late_fix_is_worth_nearly_as_much_as_one_in_time(bent_rad):
    """The rear camera's images are done 0.3 s after the front's: 0.3 m and 9 deg of driving."""
    late, in_time, front_only = [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        noise = {
            key: (*rng.normal(size=2) * 0.03, 0.0)
            for index in range(20)
            for key in (("a", index), ("b", index))
        }
        seen = [("a", 1 + 0.5 * i, noise["a", i]) for i in range(20)]
        rear = [("b", 0.7 + 0.5 * i, noise["b", i]) for i in range(20)]
        orders = [
            (late, [fix for pair in zip(seen, rear, strict=True) for fix in pair]),
            (in_time, sorted(seen + rear, key=lambda fix: fix[1])),
            (front_only, seen),
        ]
        for errors_m, order in orders:
            fusion = OdometryFusion()
            for index, (camera, stamp_s, noise_3) in enumerate(order):
                assert isinstance(see(fusion, camera, stamp_s, None, noise_3, bent_rad), Fix)
                newest_ns = fusion.last_fix.stamp_ns
                odom = Pose.from_planar(0, 0, bent_rad * newest_ns / NS) @ odometry_at(newest_ns)
                truth = MAP_FROM_ODOM @ odometry_at(newest_ns)
                if index > len(order) / 4:
                    errors_m.append((fusion.map_from_odom @ odom).distance_m(truth))
    late_m, in_time_m, front_m = (
        np.sqrt(np.mean(np.square(e))) for e in (late, in_time, front_only)
    )
    assert late_m < 1.2 * in_time_m
    assert late_m < front_m  # it is worth having


def test_stamps_increase_for_each_camera_by_itself():
    fusion = OdometryFusion()
    assert isinstance(see(fusion, "front", 2.0), Fix)
    assert isinstance(see(fusion, "rear", 2.0), Fix)  # shutters may be synchronised
    assert isinstance(see(fusion, "left", 1.9), Fix)
    for camera, stamp_s in (("front", 2.0), ("rear", 1.95), ("left", 1.9)):
        rejection = see(fusion, camera, stamp_s)
        assert rejection == Rejection(RejectionCode.NOT_NEWER_THAN_CAMERA)
    fusion.clear()
    assert isinstance(see(fusion, "front", 1.0), Fix)


def test_without_odometry_a_late_fix_cannot_be_carried_and_is_refused():
    fusion = OdometryFusion()
    assert isinstance(fusion.fix(2 * NS, MAP_FROM_ODOM, SURE_66, None, "front"), Fix)
    for stamp_ns in (2 * NS, NS):
        rejection = fusion.fix(stamp_ns, MAP_FROM_ODOM, SURE_66, None, "rear")
        assert rejection == Rejection(RejectionCode.NOT_NEWER_THAN_FIX)
    assert isinstance(fusion.fix(3 * NS, MAP_FROM_ODOM, SURE_66, None, "rear"), Fix)


def test_a_late_fix_that_is_wrong_is_refused_and_leaves_the_transform_where_it_was():
    fusion = OdometryFusion()
    see(fusion, "front", 1.0)
    see(fusion, "front", 2.0)
    before, last = fusion.map_from_odom, fusion.last_fix
    rejection = see(fusion, "rear", 1.8, CARRIED)
    assert "sigma from the prediction (1/3" in rejection.reason
    assert (fusion.map_from_odom, fusion.last_fix) == (before, last)


@pytest.mark.parametrize("stamps_s", [(3.0, 3.0, 3.0), (3.0, 2.8, 2.9), (2.0, 1.9, 1.8)])
def test_cameras_that_agree_overrule_what_was_believed_at_one_instant_too(stamps_s):
    """They look at different scenes, so each is evidence of its own."""
    fusion = OdometryFusion()
    see(fusion, "front", 1.0)
    see(fusion, "front", 1.5)
    see(fusion, "front", 1.9)
    cameras = ("left", "right", "rear")
    outcomes = [see(fusion, *seen, CARRIED) for seen in zip(cameras, stamps_s, strict=True)]
    assert [isinstance(outcome, Fix) for outcome in outcomes] == [False, False, True]
    then = MAP_FROM_ODOM @ odometry_at(round(max(1.9, stamps_s[-1]) * NS))
    assert outcomes[2].jumped_m == pytest.approx(then.distance_m(CARRIED @ then), abs=0.01)
    assert fusion.map_from_odom.distance_m(CARRIED @ MAP_FROM_ODOM) < 1e-6


def test_one_scene_counts_once_however_often_it_is_offered():
    """A driver that repeats a frame, or a stamp, is no evidence."""
    fusion = OdometryFusion()
    see(fusion, "front", 1.0)
    see(fusion, "rear", 1.0)
    for _ in range(10):
        assert isinstance(see(fusion, "rear", 2.0, CARRIED), Rejection)
    assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) < 1e-6
    assert "(2/3" in see(fusion, "rear", 2.1, CARRIED).reason


def test_a_camera_that_is_right_keeps_one_that_is_wrong_from_a_consensus():
    fusion = OdometryFusion(OdometryFusionConfig(reinit_consensus=2))
    see(fusion, "front", 1.0)
    for index in range(10):
        assert isinstance(see(fusion, "rear", 1.05 + 0.1 * index, CARRIED), Rejection)
        assert isinstance(see(fusion, "front", 1.1 + 0.1 * index), Fix)
    assert fusion.map_from_odom.distance_m(MAP_FROM_ODOM) < 1e-6


def test_the_worker_takes_the_lane_that_waited_longest_and_its_newest_job():
    started, go_on, done = Event(), Event(), []

    def work(job):
        done.append(job)
        started.set()
        assert go_on.wait(5.0)

    worker = NewestFirstWorker(work, print, 1e6)
    worker.start()
    worker.offer("front 0", "front")
    assert started.wait(5.0)
    for index in (1, 2):
        for lane in ("front", "rear", "left"):
            worker.offer(f"{lane} {index}", lane)
    assert worker.dropped == 3
    worker.offer("front 3", "front")  # the fastest camera does not get more
    go_on.set()
    wait_until(lambda: len(done) == 4, 5.0)
    worker.stop()
    assert done[0] == "front 0"
    assert set(done[1:3]) == {"rear 2", "left 2"}
    assert done[3] == "front 3"


# --- in a real process ---

# optical frames: the front one looks ahead, the rear one back, from another place
BASE_FROM = {
    "front": Pose.from_quaternion([0.2, 0.0, 0.5], [-0.5, 0.5, -0.5, 0.5]),
    "rear": Pose.from_quaternion([-0.3, 0.1, 0.9], [0.5, 0.5, -0.5, -0.5]),
}
OF_ROBOT = Pose.from_planar(3.0, -2.0, 0.7)


class TwoCameraRobot(Robot):
    """The front camera publishes compressed images, the rear one raw ones."""

    def __init__(self, domain_id):
        super().__init__(domain_id)
        node = self.node
        self.front = node.create_publisher(CompressedImage, "front/image/compressed", 10)
        self.rear = node.create_publisher(Image, "rear/image", 10)
        self.infos = {
            name: node.create_publisher(CameraInfo, f"{name}/camera_info", 10) for name in BASE_FROM
        }
        self.cameras_tf = node.create_publisher(TFMessage, "/tf_static", STATIC)
        self.pictures = []
        node.create_subscription(Image, "glace_localizer/inliers_image", self.pictures.append, 10)

    def publish_cameras_tf(self):
        message = TFMessage()
        for name, base_from_camera in BASE_FROM.items():
            transform = TransformStamped(transform=pose_to_transform(base_from_camera))
            transform.header.frame_id, transform.child_frame_id = (
                "base_footprint",
                f"{name}_optical",
            )
            message.transforms.append(transform)
        self.cameras_tf.publish(message)

    def drive_two(self, seconds, front=REJECT, rear=POSE, hz=10.0):
        """front, rear: what is to be made of their images; None: they send none."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stamp_ns = self.now_ns()
            truth = OF_ROBOT @ robot_odometry_at(stamp_ns)
            self.publish_odometry(stamp_ns - NS // 100, robot_odometry_at(stamp_ns - NS // 100))
            for name, what in (("front", front), ("rear", rear)):
                if what is not None:
                    self.publish_of(name, stamp_ns, image_bytes(truth @ BASE_FROM[name], what))
            time.sleep(0.03)  # odometry comes a little later, as on robots
            self.publish_odometry(stamp_ns + NS // 100, robot_odometry_at(stamp_ns + NS // 100))
            time.sleep(1.0 / hz - 0.03)  # the cameras' rate

    def publish_of(self, name, stamp_ns, pixels):
        publisher = getattr(self, name)
        info = camera_info_message()
        message = picture_message(publisher.msg_type, pixels)
        for stamped in (info, message):
            stamped.header.frame_id = f"{name}_optical"
            stamped.header.stamp = ns_to_stamp(stamp_ns)
        self.infos[name].publish(info)
        publisher.publish(message)


@pytest.fixture
def robot_and_node(ros_domain_id, tmp_path):
    node = NodeProcess(
        tmp_path, "--ros-args", "-p", "autostart:=true", "-p", "camera_names:=[front, rear]",
        "-p", "max_image_age:=20.0",
    )  # fmt: skip
    robot = TwoCameraRobot(ros_domain_id)
    robot.wait_for_node()
    yield robot, node
    robot.close()
    node.close()


@pytest.mark.ros
def test_the_rear_camera_localizes_a_robot_whose_front_camera_knows_nothing(robot_and_node):
    robot, node = robot_and_node
    robot.publish_cameras_tf()
    deadline = time.monotonic() + 40.0
    while len(robot.poses) < 6 or len(robot.pictures) < 6:
        assert time.monotonic() < deadline
        robot.drive_two(0.5)
    for message in robot.poses:
        truth = OF_ROBOT @ robot_odometry_at(stamp_of(message))
        pose = pose_from_message(message.pose.pose)  # so the rear camera's own place was used
        assert pose.distance_m(truth) < 1e-6
        assert pose.angle_rad(truth) < 1e-6
    found = wait_until(lambda: robot.transforms and robot.transforms[-1])
    assert pose_from_transform(found.transform).distance_m(OF_ROBOT) < 1e-5
    # in turn: none starves the other, although both always wait
    before = images_looked_at(robot)
    robot.statuses.clear()
    robot.drive_two(4.0)
    looked_at = {(s.image_stamp.sec, s.image_stamp.nanosec) for s in robot.statuses}
    assert len(looked_at) <= 24  # max_rate for both together: 5 Hz
    after = images_looked_at(robot)
    assert abs((after["rear"] - before["rear"]) - (after["front"] - before["front"])) <= 2
    assert {s.camera for s in robot.statuses} == {"front", "rear"}
    assert all(s.accepted == (s.camera == "rear") for s in robot.statuses)
    assert {s.rejection_reason for s in robot.statuses} == {
        "Rejected fix of front: 9 inliers of 1000 points, fewer than 50"
    }
    assert {picture.header.frame_id for picture in robot.pictures} == {
        "front_optical", "rear_optical",
    }  # fmt: skip
    values = values_of(robot, "input")
    assert values["front: image topic"] == "/front/image/compressed"
    assert values["rear: image topic"] == "/rear/image"
    assert int(values["rear: camera_info received"]) > 10
    assert node.log().count("Rejected fix of front:") == 1  # it is said once, while it lasts

    # silence of one camera is said by its topic, and the other goes on
    robot.poses.clear()
    deadline = time.monotonic() + 40.0
    while "Nothing has come on /front/image/compressed for 5 s" not in node.log():
        assert time.monotonic() < deadline
        robot.drive_two(0.5, front=None)
    assert robot.poses != []
    robot.diagnostics.clear()
    task = wait_until(lambda: robot.diagnostics and robot.diagnostics[-1].status[1])
    assert task.name == "glace_localizer: input"
    assert "/front/image/compressed" in task.message
    robot.poses.clear()
    robot.drive_two(0.5)
    node.wait_for("Images come again on /front/image/compressed.")

    # and two cameras at the same instants agree on one pose, with stamps that increase
    robot.drive_two(2.0, front=POSE)
    stamps = [stamp_of(pose) for pose in robot.poses]
    assert stamps == sorted(set(stamps))
    assert pose_from_transform(robot.transforms[-1].transform).distance_m(OF_ROBOT) < 1e-5
    assert "sigma from the prediction" not in node.log()


def images_looked_at(robot):
    counts = values_of(robot, "inference")
    return {
        name: sum(int(count) for key, count in counts.items() if key.startswith(f"images: {name}:"))
        for name in BASE_FROM
    }


def values_of(robot, task_name):
    newest = wait_until(lambda: robot.diagnostics and robot.diagnostics[-1])
    tasks = {task.name.split(": ")[1]: task for task in newest.status}
    return {value.key: value.value for value in tasks[task_name].values}
