"""The live node as its consumers see it: a costmap, a controller, a filter, other robots."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from glace_ros.msg import LocalizationStatus
from rosgraph_msgs.msg import Clock
from support.fake_localizer_process import REJECT, SLEEP
from support.robot import NS, NodeProcess, Robot, odometry_at, stamp_of
from support.waiting import let_pass, wait_until

from glace_ros.geometry.pose import Pose
from glace_ros.node.conversions import ns_to_stamp
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform

pytestmark = pytest.mark.ros

MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)
NAMESPACED_TF = ("-r", "/tf:=tf", "-r", "/tf_static:=tf_static")


@pytest.fixture
def robot(live):
    return live[0]


def test_a_costmap_s_latest_common_time_of_map_and_base_stays_young(robot):
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    wait_until(lambda: robot.transforms)
    ages_s = []
    for step in range(200):
        now_ns = robot.now_ns()
        robot.publish_odometry(now_ns, odometry_at(now_ns))
        time.sleep(0.03)  # wheels tell at 30 Hz
        common_ns = min(now_ns, stamp_of(robot.transforms[-1]))
        ages_s.append((robot.now_ns() - common_ns) / NS)
        if step % 20 == 10:  # a network that is slow or finds nothing does not age it
            what = SLEEP if step == 70 else REJECT
            robot.publish_camera_info(now_ns)
            robot.publish_image(now_ns, MAP_FROM_ODOM @ odometry_at(now_ns), what)
    # the machine of the test may stall now and then
    assert np.percentile(ages_s, 90) < 0.3


def test_a_second_of_latency_costs_the_odometry_s_drift_of_that_time_and_no_more(robot):
    """At 1 m/s with odometry that is 5 % off, images 1 s late.

    A fix is composed with the odometry of its exposure, so what is wrong with map->base at a time
    is what the odometry has drifted since then: 5 % of the way since the exposure of the last fix,
    about 1.3 m; and the two centimetres (min_sigma_xy) by which fixes are not trusted over
    odometry. The latest odometry with the late pose would be wrong by the whole metre.
    """
    drift, began_ns = 0.05, robot.now_ns()
    robot.activate(max_image_age=10.0, max_rate=60.0)
    robot.publish_static()

    def truth_at(stamp_ns):
        return MAP_FROM_ODOM @ Pose.from_planar((stamp_ns - began_ns) / NS, 0.0, 0.0)

    def odometry(stamp_ns):
        return Pose.from_planar((1.0 + drift) * (stamp_ns - began_ns) / NS, 0.0, 0.0)

    errors_m, bounds_m = [], []
    for step in range(300):
        now_ns = robot.now_ns()
        robot.publish_odometry(now_ns, odometry(now_ns))
        if step % 10 == 0 and step > 50:  # odometry goes back far enough by then
            late_ns = now_ns - NS
            robot.publish_camera_info(late_ns)
            robot.publish_image(late_ns, truth_at(late_ns))
        time.sleep(0.02)  # wheels tell at 50 Hz
        if len(robot.poses) > 1 and robot.transforms:
            map_from_odom = pose_from_transform(robot.transforms[-1].transform)
            now_ns = robot.now_ns()
            map_from_base = map_from_odom @ odometry(now_ns)
            errors_m.append(map_from_base.distance_m(truth_at(now_ns)))
            # the last but one: the transform may not have come yet that is made of the last
            bounds_m.append(drift * (now_ns - stamp_of(robot.poses[-2])) / NS)
    assert len(errors_m) > 100
    assert (np.array(errors_m) < np.array(bounds_m) + 0.02).all()
    assert np.median(bounds_m) < 0.3  # else the bound says nothing


class SteppedClock:
    """/clock, which goes on only when the test says so: nothing depends on the machine's speed."""

    def __init__(self, robot, now_ns):
        self.now_ns = now_ns
        self._publisher = robot.node.create_publisher(Clock, "/clock", 10)

    def tell(self):
        self._publisher.publish(Clock(clock=ns_to_stamp(self.now_ns)))

    def wait_until(self, condition):
        """While the clock stands still."""

        def told():
            self.tell()
            return condition()

        return wait_until(told)

    def step(self, robot, seconds, map_from_odom=MAP_FROM_ODOM):
        """Odometry and an image at the new time."""
        self.now_ns += round(seconds * NS)
        self.tell()
        robot.publish_odometry(self.now_ns, odometry_at(self.now_ns))
        robot.publish_camera_info(self.now_ns)
        robot.publish_image(self.now_ns, map_from_odom @ odometry_at(self.now_ns))


@pytest.fixture
def simulated(ros_domain_id, tmp_path):
    """A robot and a clock, in a simulation in which the node has its first fix."""
    node = NodeProcess(
        tmp_path, "--ros-args", "-p", "use_sim_time:=true", "-p", "autostart:=true",
        "-p", "lost_timeout:=1.5", "-p", "degraded_timeout:=1.0", "-p", "max_rate:=60.0",
    )  # fmt: skip
    robot = Robot(ros_domain_id)
    robot.wait_for_node()
    clock = SteppedClock(robot, 100 * NS)
    clock.wait_until(lambda: robot.state() == "active")
    robot.wait_for_listeners()
    robot.publish_static()

    def first_fix():
        clock.step(robot, 0.02)
        return robot.transforms and stamp_of(robot.transforms[0]) <= clock.now_ns

    wait_until(first_fix)
    yield robot, clock, node
    robot.close()
    node.close()


def test_a_controller_s_look_up_at_the_present_never_extrapolates(simulated):
    """Nav2's controller asks for map->odom at the time of its robot's pose and waits 0.1 s."""
    robot, clock, _ = simulated
    for _ in range(100):
        clock.step(robot, 0.02)
        # as time stands still, waiting 40 s for it takes 0 s of the controller's 0.1
        clock.wait_until(lambda: stamp_of(robot.transforms[-1]) >= clock.now_ns)


def test_a_paused_clock_pauses_the_transforms_and_loses_nothing(simulated):
    robot, clock, node = simulated
    clock.wait_until(lambda: stamp_of(robot.transforms[-1]) >= clock.now_ns)
    let_pass(0.5, "what was sent before may still be on its way")
    before, poses = len(robot.transforms), len(robot.poses)
    for _ in range(30):  # longer than lost_timeout by the wall clock
        clock.tell()
        time.sleep(0.1)  # it is the wall clock that goes on
    assert len(robot.transforms) == before
    assert len(robot.poses) == poses
    assert robot.state() == "active"
    status = robot.statuses[-1]  # comes once a second all the same
    assert status.state == LocalizationStatus.TRACKING
    assert stamp_of(status) == clock.now_ns
    assert "LOST" not in node.log()
    paused_ns = clock.now_ns
    while clock.now_ns < paused_ns + NS:
        clock.step(robot, 0.05)
        clock.wait_until(lambda: stamp_of(robot.transforms[-1]) >= clock.now_ns)
    wait_until(lambda: stamp_of(robot.poses[-1]) > paused_ns)
    stamps = [stamp_of(transform) for transform in robot.transforms]
    assert all(earlier < later for earlier, later in pairwise(stamps))
    assert "Traceback" not in node.log()


@pytest.mark.parametrize("two_d_mode", [True, False])
def test_every_pose_is_one_that_a_filter_takes(robot, two_d_mode):
    """robot_localization and fuse: they publish map->odom themselves, so we do not."""
    robot.activate(tf_broadcast=False, two_d_mode=two_d_mode, max_rate=60.0)
    robot.publish_static()
    random = np.random.default_rng(1)
    sent = 0
    for step in range(120):
        stamp_ns = robot.now_ns()
        if step % 4 == 3:  # a driver that repeats or swaps images
            stamp_ns -= 200_000_000
        tilt = random.normal(0.0, 0.2, 2)
        rotation = [*tilt, random.uniform(-np.pi, np.pi)]
        robot.publish_camera_info(stamp_ns)
        for _ in range(1 + (step % 5 == 0)):
            robot.publish_image(
                stamp_ns, Pose.from_rotation_vector(random.normal(size=3), rotation)
            )
            sent += 1
        time.sleep(0.05)  # a camera's rate
    wait_until(lambda: len(robot.poses) > 40)
    assert len(robot.poses) < sent  # those out of order were refused
    stamps = [stamp_of(message) for message in robot.poses]
    assert all(earlier < later for earlier, later in pairwise(stamps))
    for message in robot.poses:
        assert message.header.frame_id == "map"
        q = message.pose.pose.orientation
        assert q.x**2 + q.y**2 + q.z**2 + q.w**2 == pytest.approx(1.0, abs=1e-9)
        covariance_66 = np.array(message.pose.covariance).reshape(6, 6)
        np.testing.assert_array_equal(covariance_66, covariance_66.T)
        assert np.linalg.cholesky(covariance_66).diagonal().min() > 1e-4  # far from singular
        assert np.abs(covariance_66).max() < 1e3
        if two_d_mode:
            position = message.pose.pose.position
            assert (position.z, q.x, q.y) == (0.0, 0.0, 0.0)
    assert robot.transforms == []


@pytest.mark.slow
def test_two_robots_in_one_graph_do_not_mix(ros_domain_id, tmp_path):
    names = ("robot_1", "robot_2")
    truths = {"robot_1": MAP_FROM_ODOM, "robot_2": Pose.from_planar(-40.0, 11.0, -1.9)}
    options = ("--ros-args", "-p", "autostart:=true", *NAMESPACED_TF)
    nodes = [NodeProcess(tmp_path, *options, "-r", f"__ns:=/{name}") for name in names]
    robots = {name: Robot(ros_domain_id, name) for name in names}
    try:
        for robot in robots.values():
            robot.wait_for_node()
            robot.wait_for_listeners()
            robot.publish_static()
        for _ in range(15):
            for name, robot in robots.items():
                robot.drive(truths[name], 0.1)
        for name, robot in robots.items():
            wait_until(lambda r=robot: len(r.poses) > 3 and len(r.transforms) > 3)
            for message in robot.poses:
                truth = truths[name] @ odometry_at(stamp_of(message))
                assert pose_from_message(message.pose.pose).distance_m(truth) < 1e-6
            for transform in robot.transforms:
                assert pose_from_transform(transform.transform).distance_m(truths[name]) < 1e-5
            assert robot.node.count_publishers(f"/{name}/tf") == 2  # the node's and the robot's
        tasks = {t.name for m in robots["robot_1"].diagnostics for t in m.status}  # one topic
        assert {"robot_1/glace_localizer: tf", "robot_2/glace_localizer: tf"} <= tasks
        graph = robots["robot_1"].node
        for topic in ("/tf", "/pose", "/bond", "/glace_localizer/status"):
            assert graph.count_publishers(topic) == 0
        assert all("Traceback" not in node.log() for node in nodes)
    finally:
        for robot in robots.values():
            robot.close()
        for node in nodes:
            node.close()
