"""The live node's services, and another map while it runs: real calls to a real process."""

from __future__ import annotations

import math
import re
import time

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from glace_ros.msg import LocalizationStatus
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from rclpy.parameter import parameter_dict_from_yaml_file, parameter_value_to_python
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Empty, Trigger
from support.fake_localizer_process import AWAKE, OTHER_MAP_M, REJECT, SLEEP, SLEEP_S
from support.random_map import random_map
from support.robot import NS, NodeProcess, Robot, odometry_at, stamp_of
from support.waiting import holds, let_pass, wait_until

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.node.ros_interface.parameters import PARAMETERS
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform

pytestmark = pytest.mark.ros

MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)
ELSEWHERE = Pose.from_planar(-5.0, 1.0, -0.4)
IN_OTHER_MAP = Pose.from_planar(3.0 + OTHER_MAP_M, -2.0, 0.7)
PATIENT = {"max_image_age": 20.0, "degraded_timeout": 60.0, "lost_timeout": 60.0}
DUMPED = "/glace_localizer"  # what a parameter file calls the node


def parameters_of(path):
    """Of our node in a parameter file. (rclpy 9.1.2 loads none where no node is named.)"""
    return parameter_dict_from_yaml_file(str(path), target_nodes=[DUMPED])


class Caller(Robot):
    """A robot that calls the services."""

    def __init__(self, domain_id):
        super().__init__(domain_id)
        names = ("reinitialize_global_localization", "request_nomotion_update")
        self._empty = {name: self.node.create_client(Empty, name) for name in names}
        self._trigger = self.node.create_client(Trigger, "glace_localizer/relocalize")
        self._get = self.node.create_client(GetParameters, "glace_localizer/get_parameters")
        self._list = self.node.create_client(ListParameters, "glace_localizer/list_parameters")

    def call(self, name):
        assert self._empty[name].wait_for_service(40.0)
        self._call(self._empty[name], Empty.Request(), 40.0)

    def relocalize(self):
        """The answer to come."""
        assert self._trigger.wait_for_service(40.0)
        return self._trigger.call_async(Trigger.Request())

    def parameter(self, name):
        values = self._call(self._get, GetParameters.Request(names=[name]), 40.0).values
        return values[0].string_value

    def dump_parameters(self, path):
        """As `ros2 param dump` does."""
        names = self._call(self._list, ListParameters.Request(), 40.0).result.names
        messages = self._call(self._get, GetParameters.Request(names=names), 40.0).values
        values = {}
        for name, message in zip(names, messages, strict=True):
            *groups, last = name.split(".")
            group = values
            for each in groups:
                group = group.setdefault(each, {})
            value = parameter_value_to_python(message)
            group[last] = value if isinstance(value, (str, bool, int, float)) else list(value)
        path.write_text(yaml.dump({DUMPED: {"ros__parameters": values}}))

    def load_parameters(self, path):
        """As `ros2 param load` does: {name: why it was refused}."""
        messages = list(parameters_of(path).values())
        request = SetParameters.Request(parameters=messages)
        results = self._call(self.set_parameters, request, 40.0).results
        return {
            message.name: result.reason
            for message, result in zip(messages, results, strict=True)
            if not result.successful
        }

    def track(self, map_from_odom=MAP_FROM_ODOM):
        """Drives until there are poses and a transform of this drive."""
        self.transforms.clear()
        before = len(self.poses)
        deadline = time.monotonic() + 40.0
        while len(self.poses) < before + 2 or not self.transforms:
            assert time.monotonic() < deadline
            self.drive(map_from_odom, 0.5)

    def forget_what_came(self):
        for came in (self.poses, self.transforms, self.statuses):
            came.clear()


@pytest.fixture(scope="module")
def robot_class():
    return Caller


def answer_of(future, timeout_s=40.0):
    return wait_until(lambda: future.done() and future.result(), timeout_s)


# --- ~/relocalize ---


def test_relocalize_forgets_and_answers_after_the_next_fix(live):
    robot, node = live
    robot.activate(relocalize_timeout=120.0, **PATIENT)
    robot.publish_static()
    robot.track()
    answer = robot.relocalize()
    node.wait_for("All fixes are forgotten: ~/relocalize was called.")
    let_pass(0.3, "what was sent before may still be on its way")
    robot.forget_what_came()
    robot.drive(ELSEWHERE, 2.0, REJECT)
    assert not answer.done()
    assert (robot.poses, robot.transforms) == ([], [])
    status = wait_until(lambda: robot.statuses and robot.statuses[-1])  # images are looked at
    assert status.state == LocalizationStatus.UNLOCALIZED
    assert status.rejection_reason == "Rejected fix: 9 inliers of 1000 points, fewer than 50"
    assert robot.state() == "active"  # and other services are answered
    robot.track(ELSEWHERE)
    result = answer_of(answer)
    assert result.success
    said = re.fullmatch(r"Fix at x=(\S+) y=(\S+) yaw=(\S+), 400 inliers, \d+ ms\.", result.message)
    x_m, y_m, yaw_rad = map(float, said.groups())
    first = pose_from_message(robot.poses[0].pose.pose)
    assert math.hypot(first.translation_3[0] - x_m, first.translation_3[1] - y_m) < 0.01
    assert first.yaw_rad == pytest.approx(yaw_rad, abs=0.001)
    assert first.distance_m(ELSEWHERE @ odometry_at(stamp_of(robot.poses[0]))) < 1e-6


def test_an_image_from_before_the_call_is_no_answer(live):
    robot, node = live
    robot.activate(relocalize_timeout=120.0, **PATIENT)
    robot.publish_static()
    robot.track()
    before_ns = robot.now_ns()
    for stamp_ns in (before_ns - 1, before_ns + 1):
        robot.publish_odometry(stamp_ns, odometry_at(stamp_ns))
    robot.publish_image(before_ns, MAP_FROM_ODOM @ odometry_at(before_ns), SLEEP)
    node.wait_for_sleep()  # it is being worked on
    answer = robot.relocalize()
    robot.poses.clear()
    node.wait_for(AWAKE)  # it is done with
    assert holds(lambda: not answer.done() and robot.poses == [], 1.0)
    robot.track(ELSEWHERE)
    assert answer_of(answer).success
    assert all(stamp_of(pose) > before_ns for pose in robot.poses)


def test_all_callers_are_answered(live):
    robot, _ = live
    robot.activate(relocalize_timeout=120.0, **PATIENT)
    robot.publish_static()
    robot.track()
    answers = [robot.relocalize() for _ in range(3)]
    robot.drive(MAP_FROM_ODOM, 1.0, REJECT)
    assert not any(answer.done() for answer in answers)
    robot.track()
    results = [answer_of(answer) for answer in answers]
    assert all(result.success for result in results)
    assert len({result.message for result in results}) == 1  # the same fix


def test_after_a_time_out_the_reason_is_the_true_one(live):
    robot, node = live
    robot.activate(relocalize_timeout=3.0, **PATIENT)
    robot.publish_static()
    result = answer_of(robot.relocalize())
    assert not result.success
    assert result.message == "No fix within 3 s. No image has come on /image."
    answers = [robot.relocalize() for _ in range(2)]
    while not all(answer.done() for answer in answers):
        robot.drive(MAP_FROM_ODOM, 0.5, REJECT)
    for answer in answers:
        assert not answer_of(answer).success
        assert answer_of(answer).message == (
            "No fix within 3 s. Rejected fix: 9 inliers of 1000 points, fewer than 50"
        )
    node.forget_log()
    answer = robot.relocalize()
    node.wait_for("~/relocalize was called.")
    let_pass(1.0, "the image must still be slept over when the 3 s are up")
    robot.publish_camera_info(robot.now_ns())
    robot.publish_image(robot.now_ns(), None, SLEEP)
    assert answer_of(answer).message == (
        "No fix within 3 s. Images come on /image, but none is through the localizer yet."
    )


def test_who_waits_is_told_of_the_deactivation(live):
    robot, node = live
    robot.activate(relocalize_timeout=120.0)
    answers = [robot.relocalize() for _ in range(2)]
    wait_until(lambda: node.log().count("~/relocalize was called.") == 2)
    assert robot.transition(Transition.TRANSITION_DEACTIVATE)
    for answer in answers:
        assert not answer_of(answer).success
        assert "deactivated before there was a fix" in answer_of(answer).message
    for state in ("inactive", "unconfigured"):
        assert robot.state() == state
        result = answer_of(robot.relocalize())
        assert not result.success
        assert "not active" in result.message
        robot.call("reinitialize_global_localization")
        robot.call("request_nomotion_update")
        if state == "inactive":
            assert robot.transition(Transition.TRANSITION_CLEANUP)
    assert node.log().count("reinitialize_global_localization was called. The node is not") == 2
    assert node.log().count("request_nomotion_update was called. The node is not") == 2


def test_ctrl_c_while_somebody_waits_is_exit_code_0(ros_domain_id, tmp_path):
    robot = Caller(ros_domain_id)
    node = NodeProcess(tmp_path, "--ros-args", "-p", "autostart:=true")
    try:
        robot.wait_for_node()
        robot.relocalize()
        node.wait_for("~/relocalize was called.")
        assert node.interrupt() == 0
        assert "Traceback" not in node.log()
        assert "Exception ignored" not in node.log()
    finally:
        node.close()
        robot.close()


def test_before_the_first_clock_there_is_no_time_and_no_image_is_of_the_future(
    ros_domain_id, tmp_path
):
    robot = Caller(ros_domain_id)
    node = NodeProcess(
        tmp_path, "--ros-args", "-p", "autostart:=true", "-p", "use_sim_time:=true",
        "-p", "relocalize_timeout:=1.0",
    )  # fmt: skip
    no_time = "There is no time: use_sim_time is true, but nothing is published on /clock."
    try:
        robot.wait_for_node()
        robot.wait_for_listeners()
        robot.publish_static()
        robot.drive(MAP_FROM_ODOM, 1.0)
        assert answer_of(robot.relocalize()).message == f"No fix within 1 s. {no_time}"
        robot.drive(MAP_FROM_ODOM, 1.0)
        node.wait_for(f"No fix yet, hence no pose and no transform. {no_time}")
        task = input_task(robot)
        assert (task.level, task.message) == (b"\x01", no_time)
        values = {value.key: value.value for value in task.values}
        assert int(values["images received"]) > 10
        assert robot.rejections().strip() == ""
        assert (robot.poses, robot.transforms) == ([], [])
        robot.simulate_clock(100 * NS)
        robot.track()
        assert 100 * NS < stamp_of(robot.poses[0]) < 200 * NS
        assert "in the future" not in node.log()
        wait_until(lambda: input_task(robot).message == "Images come")
    finally:
        node.close()
        robot.close()


def input_task(robot):
    return next(t for t in robot.diagnostics[-1].status if t.name.endswith(": input"))


# --- AMCL's services ---


def test_reinitialize_forgets_all_fixes_until_the_next(live):
    robot, node = live
    robot.activate(**PATIENT)
    robot.publish_static()
    robot.track()
    robot.call("reinitialize_global_localization")
    node.wait_for("All fixes are forgotten: reinitialize_global_localization was called.")
    let_pass(0.3, "what was sent before may still be on its way")
    assert robot.statuses[-1].state == LocalizationStatus.UNLOCALIZED
    robot.forget_what_came()
    robot.drive(MAP_FROM_ODOM, 1.0, REJECT)
    assert (robot.poses, robot.transforms) == ([], [])
    robot.track(ELSEWHERE)
    assert pose_from_transform(robot.transforms[-1].transform).distance_m(ELSEWHERE) < 1e-5
    assert robot.statuses[-1].state == LocalizationStatus.TRACKING


def test_an_update_is_made_at_once_whatever_the_rate(live):
    robot, _ = live
    robot.activate(max_rate=0.1, **PATIENT)
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    wait_until(lambda: robot.poses)
    began_s = time.monotonic()
    for _ in range(5):
        before = len(robot.poses)
        robot.drive(MAP_FROM_ODOM, 0.5)  # an image waits for its turn
        robot.call("request_nomotion_update")
        while len(robot.poses) == before:
            robot.drive(MAP_FROM_ODOM, 0.2)
    assert time.monotonic() - began_s < 40.0  # at max_rate it takes 50 s


# --- the parameter `map` ---


def test_a_bad_map_is_refused_with_its_sentence_and_the_old_one_runs_on(live):
    robot, node = live
    robot.activate(**PATIENT)
    robot.publish_static()
    robot.track()
    refused = robot.set_parameter("map", "/maps/bad.glace")
    assert not refused.successful
    assert refused.reason == "/maps/bad.glace is not a whole .glace map"
    assert not robot.set_parameter("max_rate", 3.0).successful  # all else is still locked
    assert robot.parameter("map") == ""
    robot.track()
    assert "forgotten" not in node.log()
    assert robot.statuses[-1].map_id == "fake.glace 01234567"


def test_another_map_is_loaded_aside_and_takes_over_between_two_images(live):
    robot, node = live
    robot.activate(**PATIENT)
    robot.publish_static()
    robot.track()
    robot.forget_what_came()
    assert robot.set_parameter("map", "/maps/slow.glace").successful
    assert "slow.glace 89abcdef is loaded" not in node.log()  # it is answered before
    assert robot.state() == "active"
    robot.track()  # in the old map
    assert "slow.glace 89abcdef is loaded" not in node.log()
    while not [status for status in robot.statuses if status.accepted and "slow" in status.map_id]:
        robot.drive(MAP_FROM_ODOM, 0.5)
    node.wait_for("All fixes are forgotten: the map is another one.")
    robot.track()
    places = [map_of(pose) for pose in robot.poses]
    assert places == sorted(places)  # from the old map to the new one, and never back
    assert set(places) == {"1 old", "2 new"}
    found = [pose_from_transform(transform.transform) for transform in robot.transforms]
    assert found[-1].distance_m(IN_OTHER_MAP) < 1e-4
    for status in robot.statuses:
        assert status.map_id in ("fake.glace 01234567", "slow.glace 89abcdef")
    began = next(i for i, status in enumerate(robot.statuses) if "slow" in status.map_id)
    assert robot.statuses[began].state == LocalizationStatus.UNLOCALIZED
    assert robot.parameter("map") == "/maps/slow.glace"


def map_of(message):
    """By where the pose is."""
    pose, odometry = pose_from_message(message.pose.pose), odometry_at(stamp_of(message))
    for name, map_from_odom in (("1 old", MAP_FROM_ODOM), ("2 new", IN_OTHER_MAP)):
        if pose.distance_m(map_from_odom @ odometry) < 1e-4:
            return name
    raise AssertionError(f"{pose} is in neither map")


def test_a_copy_of_the_map_keeps_the_fixes(live):
    robot, node = live
    robot.activate(**PATIENT)
    robot.publish_static()
    robot.track()
    node.forget_log()
    robot.statuses.clear()
    assert robot.set_parameter("map", "/maps/copy.glace").successful
    node.wait_for("Map copy.glace 01234567 is loaded.")
    robot.track()
    assert robot.statuses[-1].map_id == "copy.glace 01234567"
    assert "forgotten" not in node.log()
    assert {status.state for status in robot.statuses} == {LocalizationStatus.TRACKING}


def test_the_node_s_own_dump_is_taken_in_every_state_and_loads_no_map(live, tmp_path):
    robot, node = live
    dump, map_path = tmp_path / "dump.yaml", tmp_path / "office.glace"
    map_path.write_bytes(b"as it was built")
    robot.activate(map=str(map_path), camera_names=["front", "rear"], matched=False, **PATIENT)
    robot.dump_parameters(dump)
    assert len(parameters_of(dump)) >= len(PARAMETERS)
    node.forget_log()
    for transition in (None, Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        assert transition is None or robot.transition(transition)
        # rclpy's own, which says of itself that it is read-only
        assert robot.load_parameters(dump).keys() <= {"start_type_description_service"}
    assert robot.transition(Transition.TRANSITION_CONFIGURE)
    assert node.log().count("is loaded.") == 1
    node.forget_log()
    assert robot.load_parameters(dump).keys() <= {"start_type_description_service"}
    for name, other in (("camera_names", ["front"]), ("max_rate", 5.5), ("two_d_mode", False)):
        refused = robot.set_parameter(name, other)
        assert not refused.successful
        assert refused.reason == f"'{name}' is read at configure: deactivate and clean up first"
    assert robot.set_parameter("map", str(tmp_path / "other.glace")).successful
    node.wait_for("Map other.glace 89abcdef is loaded.")  # and none before it
    assert node.log().count("is loaded.") == 1


def test_a_map_that_was_built_anew_under_the_same_name_is_loaded_when_it_is_set(live, tmp_path):
    robot, node = live
    map_path = tmp_path / "office.glace"
    map_path.write_bytes(b"as it was built")
    robot.activate(map=str(map_path), **PATIENT)
    node.forget_log()
    assert robot.set_parameter("map", str(map_path)).successful
    map_path.write_bytes(b"as it was built anew")
    assert robot.set_parameter("map", str(map_path)).successful
    node.wait_for("Map fake.glace 01234567 is loaded.")
    assert robot.set_parameter("map", str(map_path)).successful
    assert robot.set_parameter("map", str(tmp_path / "other.glace")).successful
    node.wait_for("Map other.glace 89abcdef is loaded.")
    assert node.log().count("is loaded.") == 2


def test_the_map_in_use_takes_back_another_that_is_still_being_loaded(live):
    robot, node = live
    robot.activate(map="/maps/fake.glace", **PATIENT)
    robot.publish_static()
    robot.track()
    node.forget_log()
    for _ in range(2):  # once is enough
        assert robot.set_parameter("map", "/maps/slow.glace").successful
    assert robot.set_parameter("map", "/maps/fake.glace").successful
    assert holds(lambda: "is loaded" not in node.log(), SLEEP_S + 1.0)
    assert robot.parameter("map") == "/maps/fake.glace"
    for _ in range(2):
        assert robot.set_parameter("map", "/maps/slow.glace").successful
    node.wait_for("Map slow.glace 89abcdef is loaded.")
    assert robot.transition(Transition.TRANSITION_DEACTIVATE)
    assert robot.transition(Transition.TRANSITION_CLEANUP)  # ends what is still being loaded
    assert node.log().count("is loaded") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [("broken", "the map was made with other weights"), ("buggy", "RuntimeError: out of memory")],
)
def test_a_map_that_fails_aside_leaves_the_old_one_and_its_name(live, name, said):
    robot, node = live
    robot.activate(**PATIENT)
    robot.publish_static()
    robot.track()
    assert robot.set_parameter("map", "/maps/fake.glace").successful
    node.wait_for("is loaded.")
    assert robot.set_parameter("map", f"/maps/{name}.glace").successful
    node.wait_for(
        f"The map /maps/{name}.glace cannot be used, the one before stays in use: "
        + ("" if name == "buggy" else said)
    )
    node.wait_for(said)
    wait_until(lambda: robot.parameter("map") == "/maps/fake.glace")
    robot.track()
    assert robot.statuses[-1].map_id == "fake.glace 01234567"
    assert "forgotten" not in node.log()
    assert robot.set_parameter("map", "/maps/other.glace").successful  # and it can be mended
    node.wait_for("Map other.glace 89abcdef is loaded.")


def test_the_map_that_was_asked_for_last_is_the_one(live):
    robot, node = live
    robot.activate(**PATIENT)
    assert robot.set_parameter("map", "/maps/slow.glace").successful
    assert robot.set_parameter("map", "/maps/broken.glace").successful
    assert robot.set_parameter("map", "/maps/other.glace").successful
    node.wait_for("Map other.glace 89abcdef is loaded.")
    assert "slow.glace 89abcdef is loaded" not in node.log()
    assert "cannot be used" not in node.log()
    assert robot.parameter("map") == "/maps/other.glace"


def test_a_map_can_be_set_while_inactive_and_cleaned_up_while_it_loads(live):
    robot, node = live
    robot.activate(**PATIENT)
    assert robot.transition(Transition.TRANSITION_DEACTIVATE)
    assert not robot.set_parameter("map", "/maps/bad.glace").successful
    assert robot.set_parameter("map", "/maps/other.glace").successful
    node.wait_for("Map other.glace 89abcdef is loaded.")
    assert robot.transition(Transition.TRANSITION_ACTIVATE)
    robot.publish_static()
    robot.wait_for_listeners()
    robot.forget_what_came()
    robot.track()
    assert pose_from_transform(robot.transforms[-1].transform).distance_m(IN_OTHER_MAP) < 1e-4
    assert robot.set_parameter("map", "/maps/slow.glace").successful
    assert robot.transition(Transition.TRANSITION_DEACTIVATE)
    assert robot.transition(Transition.TRANSITION_CLEANUP)
    assert robot.state() == "unconfigured"
    assert "slow.glace 89abcdef is loaded" not in node.log()
    assert "Traceback" not in node.log()
    assert robot.set_parameter("map", "/maps/bad.glace").successful  # `configure` will say so
    assert not robot.transition(Transition.TRANSITION_CONFIGURE)
    node.wait_for("Cannot configure: /maps/bad.glace is not a whole .glace map")


@pytest.mark.slow
def test_true_maps_change_and_a_damaged_one_is_refused(ros_domain_id, tmp_path):
    """The second map is the first, moved by 100 m: an image then has its pose 100 m further on."""
    first, moved, damaged = (tmp_path / f"{name}.glace" for name in ("first", "moved", "damaged"))
    random_map(first, min_inlier_ratio=0.0)
    random_map(moved, min_inlier_ratio=0.0, origin_m=(101.0, 2.0, 3.0))
    damaged.write_bytes(first.read_bytes()[:-50])
    robot = Caller(ros_domain_id)
    node = NodeProcess(
        tmp_path, "--map", str(first), "--ros-args", "-p", "min_inliers:=4", "-p",
        "ransac_px:=30.0", "-p", "two_d_mode:=false", "-p", "max_image_age:=20.0", fake=False,
    )  # fmt: skip
    clouds = []
    robot.node.create_subscription(PointCloud2, "glace_localizer/scene_points", clouds.append, 10)
    try:
        robot.wait_for_node()
        robot.wait_for_listeners()
        robot.publish_static()
        before = pose_of_noise(robot)
        refused = robot.set_parameter("map", str(damaged))
        assert not refused.successful
        assert refused.reason.startswith(f"{damaged} is not a whole .glace map")
        assert pose_of_noise(robot).distance_m(before) < 1e-6
        assert robot.set_parameter("map", str(moved)).successful
        node.wait_for("All fixes are forgotten: the map is another one.")
        after = pose_of_noise(robot)
        assert after.translation_3 - before.translation_3 == pytest.approx([100.0, 0, 0], abs=1e-6)
        assert robot.statuses[-1].map_id.startswith("moved.glace ")
        wait_until(lambda: clouds and stamp_of(clouds[-1]) == stamp_of(robot.poses[-1]))
        assert clouds[-1].width == robot.statuses[-1].inliers
        assert "Traceback" not in node.log()
    finally:
        node.close()
        robot.close()


def pose_of_noise(robot):
    """Of one and the same picture, which the map of noise places somewhere."""
    camera = Camera(160, 120, 120.0, 118.0, 80.0, 58.0)
    noise = np.random.default_rng(3).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    image_rgb_hwc = cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)
    stamp_ns = robot.now_ns()
    for odometry_ns in (stamp_ns - 1, stamp_ns + 1):
        robot.publish_odometry(odometry_ns, odometry_at(odometry_ns))
    robot.publish_picture(stamp_ns, image_rgb_hwc, camera)
    pose = wait_until(lambda: next((p for p in robot.poses if stamp_of(p) == stamp_ns), None))
    return pose_from_message(pose.pose.pose)
