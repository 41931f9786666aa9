"""What the live node promises, line by line: the node itself in this process, but no graph and no
waiting. Messages are handed to its callbacks, what it publishes is kept.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")
pytest.importorskip("bond.msg", reason="the messages of bond are not built: run `make setup`")

import rclpy
from fake_localizer_process import (
    COVARIANCE_66,
    POSE,
    RAISE,
    REJECT,
    FakeLocalizer,
    image_bytes,
)
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from robot import (
    BASE_FROM_CAMERA,
    NS,
    camera_info_message,
    picture_message,
    stamp_of,
    wait_until,
)
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from glace_ros.errors import GlaceError, MapFileError, WeightsError
from glace_ros.localization.localization_state import LocalizationState
from glace_ros.localization.odometry_fusion import Fix
from glace_ros.nodes import input_topics, live_localization, localize
from glace_ros.nodes.conversions import (
    ns_to_stamp,
    pose_from_message,
    pose_from_transform,
    pose_to_transform,
    pose_with_covariance,
    stamp_to_ns,
)
from glace_ros.nodes.initial_pose import InitialPose
from glace_ros.nodes.input_topics import IMAGE_QOS, SENSOR_QOS
from glace_ros.nodes.loaded_map import LoadedMap
from glace_ros.nodes.localization_run import RunReport
from glace_ros.nodes.localize import GlaceLocalizer
from glace_ros.nodes.parameters import PARAMETERS, LocalizeParameters
from glace_ros.nodes.status import LEVEL_OF_STATE, run_tasks, status_message
from glace_ros.pose import Pose

DOC = Path(__file__).resolve().parents[1] / "docs" / "ros_interface.md"
OK, WARN, ERROR = (bytes([level]) for level in range(3))
TILTED = Pose.from_rotation_vector([3.0, -2.0, 0.3], [0.05, -0.1, 0.7])
ELSEWHERE = Pose.from_planar(-9.0, 4.0, 2.0)


class HeldLocalizer(FakeLocalizer):
    """Works on an image as long as `free` is not set."""

    def __init__(self):
        super().__init__()
        self.begun, self.free = Event(), Event()
        self.free.set()

    def localize(self, image_rgb_hwc, camera):
        self.begun.set()
        assert self.free.wait(40.0)
        return super().localize(image_rgb_hwc, camera)


class DrivenNode:
    """The node, and how to play to it: all stamps are before its beginning.

    sent: what it has published, by topic.
    """

    def __init__(self, **parameters):
        self.sent, self.localizer = {}, HeldLocalizer()
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
        loaded_map = LoadedMap(self.localizer, "fake.glace 01234567", "map", "base_footprint")
        self.node = GlaceLocalizer(
            lambda _: lambda: loaded_map,
            [Parameter(name, value=value) for name, value in values.items()],
        )

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


@pytest.fixture
def unconfigured(monkeypatch, module_ros_domain):
    """Makes nodes."""
    rclpy.init(args=[], domain_id=module_ros_domain, signal_handler_options=SignalHandlerOptions.NO)
    made = []

    def make(**parameters):
        made.append(DrivenNode(**parameters))
        sent = made[-1].sent
        monkeypatch.setattr(
            Publisher, "publish",
            lambda self, message: sent.setdefault(self.topic_name, []).append(message),
        )  # fmt: skip
        return made[-1]

    yield make
    for driven in made:
        driven.localizer.free.set()
        driven.node.release()
        driven.node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def driven(unconfigured):
    """Makes nodes that are active."""

    def make(**parameters):
        made = unconfigured(**parameters)
        assert made.node.autostart()
        return made

    return make


# --- topics: names, types, QoS; what there is in which state ---

LATCHED = "reliable, transient local, depth 1"
CONFIGURED = {
    "/pose": ("PoseWithCovarianceStamped", LATCHED),
    "/glace_localizer/status": ("LocalizationStatus", LATCHED),
    "/diagnostics": ("DiagnosticArray", "reliable, depth 10"),
    "/glace_localizer/inliers_image": ("Image", "reliable, depth 1"),
    "/glace_localizer/scene_points": ("PointCloud2", "reliable, depth 1"),
    "/glace_localizer/coverage": ("MarkerArray", LATCHED),
}
ACTIVE = {
    **CONFIGURED,
    "/tf": ("TFMessage", "reliable, depth 100"),
    "/bond": ("Status", "reliable, depth 5"),
}
TF_HEARD = {
    "/tf": ("TFMessage", "reliable, depth 100"),
    "/tf_static": ("TFMessage", "reliable, transient local, depth 100"),
}
HEARD = {
    **TF_HEARD,
    "/image": ("Image", "best effort, depth 5"),
    "/camera_info": ("CameraInfo", "best effort, depth 5"),
    "/initialpose": ("PoseWithCovarianceStamped", "reliable, depth 1"),
    "/bond": ("Status", "reliable, depth 100"),
}


def test_the_document_says_the_same():
    rows = {True: [], False: []}
    published = False
    for line in DOC.read_text(encoding="utf-8").split("\n## TF")[0].splitlines():
        if line.startswith(("| subscribed |", "| published |")):
            published = line.startswith("| published |")
        elif line.startswith("| `"):
            rows[published].append(line)
    for of_node, is_published in ((ACTIVE, True), (HEARD, False)):
        for topic, (type_name, qos) in of_node.items():
            name = topic.replace("/glace_localizer/", "~/")
            names = (f"`{name}`", f"`{name.removeprefix('/')}`")
            (row,) = (r for r in rows[is_published] if any(n in r.split("|")[1] for n in names))
            assert type_name in row.split("|")[2]
            assert qos in row.split("|")[3]


@pytest.mark.parametrize("state", list(LocalizationState), ids=lambda state: state.name)
def test_the_document_has_the_level_of_each_state(state):
    text = DOC.read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if "`glace_localizer: localization`" in line)
    level = LEVEL_OF_STATE[state][0]
    assert state.name in row.split("|")[2 + level].replace(",", "").split()


def ends(endpoints):
    """Type and QoS by topic, without rclpy's own."""
    return {
        end.topic_name: (end.msg_type.__name__, qos_words(end.qos_profile))
        for end in endpoints
        if end.topic_name not in ("/parameter_events", "/rosout", "/clock")
    }


def qos_words(qos):
    reliable = qos.reliability == ReliabilityPolicy.RELIABLE
    latched = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    words = ["reliable" if reliable else "best effort", *["transient local"] * latched]
    return ", ".join([*words, f"depth {qos.depth}"])


def test_topics_types_and_qos_in_every_state(unconfigured):
    node = unconfigured().node
    assert (ends(node.publishers), ends(node.subscriptions)) == ({}, {})
    for _ in range(2):
        node.trigger_configure()
        assert (ends(node.publishers), ends(node.subscriptions)) == (CONFIGURED, TF_HEARD)
        node.trigger_activate()
        assert (ends(node.publishers), ends(node.subscriptions)) == (ACTIVE, HEARD)
        periods_ns = sorted(timer.timer_period_ns for timer in node.timers)
        assert periods_ns == [NS // 20, NS // 10, NS // 5]  # TF, the heartbeat, the reports
        node.trigger_deactivate()
        assert (ends(node.publishers), ends(node.subscriptions)) == (CONFIGURED, TF_HEARD)
        node.trigger_cleanup()
        assert (ends(node.publishers), ends(node.subscriptions)) == ({}, {})


def test_parameters_choose_the_image_s_topic_qos_and_the_rate_of_tf(driven):
    node = driven(image_transport="compressed", image_qos="reliable", tf_publish_rate=50.0).node
    heard = ends(node.subscriptions)
    assert heard["/image/compressed"] == ("CompressedImage", "reliable, depth 5")
    assert "/image" not in heard
    assert NS // 50 in [timer.timer_period_ns for timer in node.timers]


def test_without_tf_broadcast_the_node_has_no_say_on_tf(driven):
    driven = driven(tf_broadcast=False)
    assert "/tf" not in ends(driven.node.publishers)
    driven.hear_transform("/tf_static", "base_footprint", "camera", 0, BASE_FROM_CAMERA)
    assert driven.look(TILTED).accepted  # and no odometry is needed
    assert driven.transforms() == []


def test_services_are_there_in_every_state_under_the_names_of_amcl(unconfigured):
    services = {s.srv_name: s.srv_type.__name__ for s in unconfigured().node.services}
    assert {
        "~/relocalize": "Trigger",
        "reinitialize_global_localization": "Empty",
        "request_nomotion_update": "Empty",
    }.items() <= services.items()


# --- a fix: when, where, in which frames, how sure ---


def test_a_fix_is_of_the_exposure_in_the_frames_of_the_parameters(driven):
    odom_from_base = Pose.from_planar(40.0, 2.0, -1.0)
    driven = driven(
        global_frame_id="world", odom_frame_id="wheels", base_frame_id="robot",
        two_d_mode=False, transform_tolerance=0.75,
    )  # fmt: skip
    driven.drive(odom_from_base)
    assert driven.transforms() == []  # nothing before the first fix
    status = driven.look(TILTED)
    (message,) = driven.poses()
    assert stamp_of(message) == stamp_to_ns(status.image_stamp)
    assert (message.header.frame_id, status.header.frame_id) == ("world", "world")
    assert pose_from_message(message.pose.pose).distance_m(TILTED) < 1e-9
    assert pose_from_message(message.pose.pose).angle_rad(TILTED) < 1e-9
    began_ns = time.time_ns()
    (transform,) = driven.transforms()
    assert (transform.header.frame_id, transform.child_frame_id) == ("world", "wheels")
    assert 0 <= stamp_of(transform) - 3 * NS // 4 - began_ns < 20 * NS
    # by the odometry of the exposure: that of now is half a kilometre off
    truth = TILTED @ odom_from_base.inverse()
    assert pose_from_transform(transform.transform).distance_m(truth) < 1e-6
    assert pose_from_transform(transform.transform).angle_rad(truth) < 1e-9
    tasks = driven.tasks()
    values = {value.key: value.value for value in tasks["tf"].values}
    assert values == {
        "global_frame_id": "world", "odom_frame_id": "wheels", "base_frame_id": "robot",
        "published": "True",
    }  # fmt: skip
    assert list(tasks) == ["localization", "input", "inference", "tf", "map"]
    assert tasks["map"].message == "fake.glace 01234567"
    assert {task.level for task in tasks.values()} == {OK}


def test_two_d_mode_projects_the_base_before_it_composes(driven):
    odom_from_base = Pose.from_rotation_vector([40.0, 2.0, 0.1], [0.02, 0.0, -1.0])
    driven = driven()  # the default
    driven.drive(odom_from_base)
    driven.look(TILTED)
    pose = driven.poses()[0].pose.pose
    assert (pose.position.z, pose.orientation.x, pose.orientation.y) == (0.0, 0.0, 0.0)
    assert pose_from_message(pose).yaw_rad == pytest.approx(TILTED.yaw_rad)
    (transform,) = driven.transforms()
    truth = TILTED.planar() @ odom_from_base.inverse()
    assert pose_from_transform(transform.transform).distance_m(truth) < 1e-6
    assert pose_from_transform(transform.transform).angle_rad(truth) < 1e-9


def test_the_covariance_is_in_the_order_x_y_z_roll_pitch_yaw(driven):
    driven = driven(
        two_d_mode=False, covariance_scale=2.0, min_sigma_xy=0.0001, min_sigma_yaw=0.0001
    )
    driven.drive(base_from_camera=Pose.identity())
    status = driven.look(TILTED, base_from_camera=Pose.identity())
    covariance_66 = np.reshape(driven.poses()[0].pose.covariance, (6, 6))
    np.testing.assert_allclose(covariance_66, 2.0 * COVARIANCE_66, atol=1e-12)
    assert [status.sigma_x, status.sigma_y, status.sigma_yaw] == pytest.approx(
        np.sqrt(2.0 * COVARIANCE_66.diagonal()[[0, 1, 5]])
    )


def test_only_accepted_images_give_poses_and_transforms(driven):
    driven = driven()
    driven.drive()
    assert not driven.look(TILTED, what=REJECT).accepted
    assert not driven.look(TILTED, what=RAISE).accepted
    assert not driven.look(TILTED, age_s=100.0).accepted  # max_image_age
    assert not driven.look(TILTED, age_s=15.0).accepted  # no odometry of that time
    assert driven.poses() == []
    assert driven.transforms() == []
    tasks = driven.tasks()
    assert {task.level for task in tasks.values()} == {OK, WARN}
    counts = {value.key: value.value for value in tasks["inference"].values}
    assert [counts[f"images: {kind}"] for kind in ("pose", "exception", "age", "tf")] == ["1"] * 4
    assert tasks["tf"].level == WARN
    assert "No odom->base_footprint at image time" in tasks["tf"].message


@pytest.mark.parametrize("gate_sigma", [4.0, 0.0])
def test_the_gate_refuses_one_fix_and_believes_three(driven, gate_sigma):
    driven = driven(gate_sigma=gate_sigma)
    driven.drive()
    assert driven.look(TILTED).accepted
    accepted = [driven.look(ELSEWHERE) for _ in range(3)]
    if gate_sigma == 0.0:
        assert all(status.accepted for status in accepted)
        return
    assert [status.accepted for status in accepted] == [False, False, True]
    for count, status in enumerate(accepted[:2], 1):
        assert re.fullmatch(
            rf"Rejected fix: \d+\.\d sigma from the prediction \({count}/3 toward "
            r"re-initialisation\)",
            status.rejection_reason,
        )
    assert len(driven.poses()) == 2
    (transform,) = driven.transforms()
    assert pose_from_transform(transform.transform).distance_m(ELSEWHERE) < 1e-6


# --- states ---


@pytest.mark.parametrize("tf_on_lost", ["hold", "stop"])
def test_lost_holds_or_stops_the_transform(driven, tf_on_lost, capfd):
    driven = driven(degraded_timeout=4.0, lost_timeout=5.0, tf_on_lost=tf_on_lost)
    driven.drive()
    driven.look(TILTED, age_s=9.0)
    transforms = driven.transforms()
    assert len(transforms) == (tf_on_lost == "hold")
    for transform in transforms:
        assert pose_from_transform(transform.transform).distance_m(TILTED.planar()) < 1e-6
    assert driven.came("/glace_localizer/status")[-1].state == LocalizationState.LOST
    assert driven.tasks()["localization"].level == ERROR
    then = {"hold": "holding", "stop": "stopping"}[tf_on_lost]
    said = capfd.readouterr().err
    assert re.search(rf"LOST: no fix for \d+\.\d s; {then} map->odom\n", said)
    assert len(driven.poses()) == 1
    driven.look(TILTED, age_s=0.5)
    assert "Tracking again after 8.5 s: x=3.00 y=-2.00" in capfd.readouterr().err
    assert driven.came("/glace_localizer/status")[-1].state == LocalizationState.TRACKING


def test_log_lines_of_the_first_fix_and_of_being_degraded(driven, capfd):
    driven = driven(degraded_timeout=1.0, lost_timeout=60.0)
    driven.drive()
    driven.look(TILTED, age_s=3.0)
    driven.transforms()
    said = capfd.readouterr().err
    assert "First fix: x=3.00 y=-2.00 yaw=0.7" in said
    assert re.search(r"First fix: \S+ \S+ yaw=0\.\d{3}, 400 inliers, 10 ms\n", said)
    assert re.search(r"DEGRADED: no fix for \d+\.\d s \(no image has come\)\n", said)
    assert driven.came("/glace_localizer/status")[-1].state == LocalizationState.DEGRADED
    assert driven.tasks()["localization"].level == WARN


def test_callbacks_return_while_an_image_is_worked_on_and_the_newest_is_next(driven):
    driven = driven()
    driven.drive()
    driven.localizer.free.clear()
    driven.localizer.begun.clear()
    first_ns = driven.show(TILTED @ BASE_FROM_CAMERA)
    assert driven.localizer.begun.wait(40.0)
    driven.show(TILTED @ BASE_FROM_CAMERA)
    newest_ns = driven.show(TILTED @ BASE_FROM_CAMERA)
    before = len(driven.came("/bond"))
    driven.transforms()
    assert len(driven.came("/bond")) == before + 1
    assert driven.poses() == []
    driven.localizer.free.set()
    wait_until(lambda: len(driven.poses()) == 2)
    assert [stamp_of(pose) for pose in driven.poses()] == [first_ns, newest_ns]


def test_reports_come_once_a_second_and_at_every_change_of_state(driven, monkeypatch):
    now_s = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now_s[0])
    monkeypatch.setattr(live_localization, "time", clock)
    driven = driven(degraded_timeout=1.0, lost_timeout=60.0)
    driven.drive()

    def reported():
        before = len(driven.came("/glace_localizer/status")), len(driven.came("/diagnostics"))
        driven.transforms()
        after = len(driven.came("/glace_localizer/status")), len(driven.came("/diagnostics"))
        return after[0] - before[0], after[1] - before[1]

    counts = []
    for seconds in (0.9, 0.2, 0.2, 0.9, 0.2):
        now_s[0] += seconds
        counts.append(reported())
    assert counts == [(0, 0), (1, 1), (0, 0), (1, 1), (0, 0)]
    driven.look(TILTED, age_s=3.0)
    assert reported() == (1, 1)  # DEGRADED
    assert reported() == (0, 0)


# --- services ---


def resumed(waiting):
    """What a service answers whose callback waits, or None while it still does."""
    try:
        waiting.send(None)
    except StopIteration as end:
        return end.value


def test_relocalize_forgets_and_answers_with_the_next_fix(driven):
    driven = driven()
    driven.drive()
    driven.look(TILTED)
    waiting = driven.call("~/relocalize")
    assert resumed(waiting) is None
    assert driven.came("/glace_localizer/status")[-1].state == LocalizationState.UNLOCALIZED
    driven.look(TILTED, what=REJECT)
    assert resumed(waiting) is None
    assert driven.look(ELSEWHERE).accepted  # no gate: what was believed is forgotten
    answer = resumed(waiting)
    assert answer.success
    assert answer.message.startswith("Fix at x=-9.00 y=4.00 yaw=2.000, 400 inliers, ")


def test_relocalize_tells_the_truth_after_a_time_out(driven):
    driven = driven(relocalize_timeout=600.0)
    driven.drive()
    waiting = driven.call("~/relocalize")
    assert resumed(waiting) is None
    driven.look(TILTED, what=REJECT)
    (timer,) = (timer for timer in driven.node.timers if timer.timer_period_ns == 600 * NS)
    timer.callback()
    answer = resumed(waiting)
    assert not answer.success
    assert answer.message == "No fix within 600 s. Rejected fix: 9 of 1000 points agree"
    assert timer not in list(driven.node.timers)
    driven.node.trigger_deactivate()
    inactive = resumed(driven.call("~/relocalize"))
    assert (inactive.success, "not active" in inactive.message) == (False, True)


def test_reinitialize_forgets_and_an_update_does_not_wait_for_its_turn(driven):
    driven = driven(max_rate=0.1)
    driven.drive()
    driven.look(TILTED)
    driven.call("reinitialize_global_localization")
    assert driven.came("/glace_localizer/status")[-1].state == LocalizationState.UNLOCALIZED
    assert driven.transforms() == []
    stamp_ns = driven.show(ELSEWHERE @ BASE_FROM_CAMERA)
    assert len(driven.poses()) == 1  # the next one is due in 10 s
    began_s = time.monotonic()
    driven.call("request_nomotion_update")
    wait_until(lambda: len(driven.poses()) == 2)
    assert time.monotonic() - began_s < 8.0
    assert stamp_of(driven.poses()[1]) == stamp_ns


# --- where somebody says that the robot is ---


def test_an_initial_pose_is_what_fixes_are_measured_by_and_nothing_more(driven):
    driven = driven()
    driven.drive()
    driven.expect(Pose.from_planar(3.2, -2.1, 0.6))
    assert driven.transforms() == []
    assert driven.poses() == []
    assert driven.look(TILTED).accepted
    driven.expect(ELSEWHERE)
    held = driven.transforms()[0]
    assert pose_from_transform(held.transform).distance_m(TILTED.planar()) < 0.01
    accepted = []
    for _ in range(3):
        driven.expect(ELSEWHERE)  # again and again, as BasicNavigator does
        accepted.append(driven.look(TILTED).accepted)
    assert accepted == [False, False, True]


def test_the_service_set_initial_pose_is_the_topic(monkeypatch):
    """Where nav2_msgs is installed, which it is not here."""
    of_nav2 = SimpleNamespace(SetInitialPose=object())
    monkeypatch.setitem(sys.modules, "nav2_msgs.srv", of_nav2)
    made, expected = {}, []
    node = SimpleNamespace(
        create_subscription=lambda *_: SimpleNamespace(topic_name="/initialpose"),
        create_service=lambda *service: made.update({service[1]: service}),
    )
    InitialPose(node, LocalizeParameters(), lambda *pose: expected.append(pose))
    service_type, _, callback = made["set_initial_pose"]
    assert service_type is of_nav2.SetInitialPose
    message = PoseWithCovarianceStamped()
    message.header.frame_id, message.pose.pose.position.x = "map", 4.0
    response = object()
    assert callback(SimpleNamespace(pose=message), response) is response
    ((pose, covariance_66),) = expected
    assert pose.distance_m(Pose.from_planar(4.0, 0.0, 0.0)) == 0.0
    assert np.linalg.eigvalsh(covariance_66).min() > 0.0  # zeros: as surely as somebody points


# --- ~/status and /diagnostics ---


def test_a_status_without_an_image_has_no_numbers():
    nothing = RunReport(LocalizationState.UNLOCALIZED, np.nan, None)
    message = status_message(nothing, "office.glace 01234567", "map", 7 * NS)
    assert (message.header.frame_id, stamp_of(message)) == ("map", 7 * NS)
    assert (message.state, message.map_id) == (0, "office.glace 01234567")
    numbers = (
        "seconds_since_fix", "inlier_ratio", "inference_time", "latency", "reprojection_error",
        "sigma_x", "sigma_y", "sigma_yaw",
    )  # fmt: skip
    assert all(np.isnan(getattr(message, name)) for name in numbers)
    assert stamp_to_ns(message.image_stamp) == stamp_to_ns(message.rejection_stamp) == 0
    assert (message.points, message.inliers, message.accepted) == (0, 0, False)
    assert (message.camera, message.rejection_reason) == ("", "")


def test_a_status_says_all_that_is_known():
    fix = Fix(3 * NS, Pose.identity(), COVARIANCE_66, None)
    report = RunReport(
        LocalizationState.DEGRADED, 2.5, fix, camera="rear", image_stamp_ns=4 * NS, accepted=True,
        points=1000, inliers=400, inference_s=0.08, latency_s=0.12, reprojection_px=1.5,
        rejection_stamp_ns=2 * NS, rejection_kind="pose", rejection_reason="Rejected fix: why",
    )  # fmt: skip
    message = status_message(report, "office.glace 01234567", "world", 5 * NS)
    values = {
        name: getattr(message, name)
        for name in message.get_fields_and_field_types()
        if not name.endswith(("stamp", "header"))
    }
    assert values == {
        "state": 2, "map_id": "office.glace 01234567", "seconds_since_fix": 2.5, "camera": "rear",
        "accepted": True, "points": 1000, "inliers": 400, "inlier_ratio": 0.4,
        "inference_time": 0.08, "latency": 0.12, "reprojection_error": 1.5,
        "sigma_x": pytest.approx(0.01), "sigma_y": pytest.approx(0.02),
        "sigma_yaw": pytest.approx(np.sqrt(9e-5)), "rejection_reason": "Rejected fix: why",
    }  # fmt: skip
    assert stamp_to_ns(message.image_stamp) == 4 * NS
    assert stamp_to_ns(message.rejection_stamp) == 2 * NS


@pytest.mark.parametrize(
    ("state", "level"),
    [
        ("UNLOCALIZED", WARN),
        ("TRACKING", OK),
        ("DEGRADED", WARN),
        ("LOST", ERROR),
        ("ERROR", ERROR),
    ],
)
def test_the_level_of_each_state(state, level):
    report = RunReport(LocalizationState[state], 1.0, None, accepted=True)
    tasks = run_tasks(report, {}, None)
    assert (tasks["localization"].level, tasks["localization"].message) == (level, state)
    assert {tasks[name].level for name in ("input", "inference", "tf")} == {OK}


@pytest.mark.parametrize(
    ("kind", "task"),
    [("age", "input"), ("camera_info", "input"), ("frame", "input"), ("image", "input"),
     ("exception", "inference"), ("tf", "tf"), ("pose", None), ("fusion", None)],
)  # fmt: skip
def test_what_keeps_an_image_from_giving_a_fix_is_a_warning_of_its_task(kind, task):
    rejected = RunReport(
        LocalizationState.TRACKING, 1.0, None, rejection_kind=kind, rejection_reason="Why."
    )
    tasks = run_tasks(rejected, {}, None)
    assert tasks["localization"].message == "TRACKING. Why."
    for name in ("input", "inference", "tf"):
        assert tasks[name].level == (WARN if name == task else OK)
        assert (tasks[name].message == "Why.") == (name == task)
    silent = run_tasks(rejected, {}, "Nothing is published on /image.")["input"]
    assert (silent.level, silent.message) == (WARN, "Nothing is published on /image.")


class Graph:
    """A node that sees one publisher on every topic, or none."""

    def __init__(self, publishers):
        self._publishers = publishers

    def create_subscription(self, _type, topic, _callback, _qos):
        return SimpleNamespace(topic_name=f"/robot/{topic}")

    def get_publishers_info_by_topic(self, _):
        return self._publishers


@pytest.mark.parametrize(
    ("type_name", "qos", "sentence"),
    [
        (None, None, "Nothing is published on /robot/image: "),
        (
            "sensor_msgs/msg/CompressedImage", SENSOR_QOS,
            "/robot/image is published as sensor_msgs/msg/CompressedImage, but sensor_msgs/msg/"
            "Image is expected.",
        ),
        (
            "sensor_msgs/msg/Image", SENSOR_QOS,
            "The QoS of /robot/image does not match its publisher's (",
        ),
        (
            "sensor_msgs/msg/Image", IMAGE_QOS["reliable"],
            "Nothing has come on /robot/image for 5 s, although it has 1 publisher: ",
        ),
    ],
)  # fmt: skip
def test_silence_has_a_topic_and_a_reason(monkeypatch, type_name, qos, sentence):
    now_s = [100.0]
    monkeypatch.setattr(input_topics.time, "monotonic", lambda: now_s[0])
    publisher = SimpleNamespace(topic_type=type_name, qos_profile=qos)
    graph = Graph([publisher] if type_name else [])
    topic = input_topics.WatchedTopic(graph, Image, "image", IMAGE_QOS["reliable"], print)
    now_s[0] += 4.9
    assert topic.problem() is None
    now_s[0] += 0.2
    assert topic.problem().startswith(sentence)


# --- parameters ---


def test_defaults_and_ranges_are_those_that_were_promised():
    promised = {
        "map": "", "global_frame_id": "map", "odom_frame_id": "odom",
        "base_frame_id": "base_footprint", "tf_broadcast": True,
        "transform_tolerance": (0.1, 0.0, 2.0), "tf_publish_rate": (20.0, 1.0, 100.0),
        "two_d_mode": True, "max_rate": (5.0, 0.1, 60.0), "max_image_age": (0.5, 0.05, 60.0),
        "ransac_px": (10.0, 0.5, 100.0), "gate_sigma": (4.0, 0.0, 100.0),
        "reinit_consensus": (3, 1, 100), "covariance_scale": (1.0, 0.01, 100.0),
        "min_sigma_xy": (0.02, 0.0001, 10.0), "min_sigma_yaw": (0.005, 0.0001, 3.0),
        "degraded_timeout": (2.0, 0.1, 3600.0), "lost_timeout": (10.0, 0.1, 3600.0),
        "tf_on_lost": ("hold", "stop"), "device": ("auto", "cpu", "cuda"),
        "set_initial_pose": False, "saved_pose_file": "",
    }  # fmt: skip
    found = {}
    for name in promised:
        field, metadata = PARAMETERS[name], PARAMETERS[name].metadata
        if metadata["choices"]:
            assert field.default == metadata["choices"][0]
            found[name] = metadata["choices"]
        elif metadata["low"] is not None:
            found[name] = (field.default, metadata["low"], metadata["high"])
        else:
            found[name] = field.default
    assert found == promised
    assert {"min_inliers", *(f"initial_pose.{axis}" for axis in ("x", "y", "z", "yaw"))} <= set(
        PARAMETERS
    )


# --- exit codes ---


@pytest.mark.parametrize(
    ("error", "arguments", "code"),
    [
        (None, ["--ros-args", "-p", "max_rate:=200.0"], 2),
        (None, ["--ros-args", "-p", "max_rat:=5.0"], 2),
        (None, ["--ros-args", "--params-file", "/no/such.yaml"], 2),
        (MapFileError("no map"), [], 4),
        (WeightsError("other weights"), [], 5),
        (GlaceError("no such device"), [], 1),
        (RuntimeError("a bug"), [], 1),
    ],
)
def test_a_node_that_cannot_start_by_itself_ends_with_the_code_of_what_is_wrong(
    monkeypatch, capfd, error, arguments, code
):
    no_handlers = SimpleNamespace(signal=lambda *_: None, SIGINT=2, SIG_IGN=1)
    monkeypatch.setattr(localize, "signal", no_handlers)  # it would end Ctrl-C for all tests

    def read(_):
        raise error or AssertionError("what is wrong with the parameters comes first")

    assert localize.main(["--map", "office.glace", *arguments], read) == code
    said = capfd.readouterr().err
    assert str(error) in said if error else any(w in said for w in ("max_rat", "such.yaml"))
