"""What the live node promises (docs/ros_interface.md), line by line: see driven_node.py."""

from __future__ import annotations

import re
import sys
import time
import tracemalloc
from contextlib import nullcontext
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")
pytest.importorskip("bond.msg", reason="the messages of bond are not built: run `make setup`")

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from std_srvs.srv import Empty
from support.fake_localizer_process import COVARIANCE_66, RAISE, REJECT
from support.robot import BASE_FROM_CAMERA, NS, stamp_of, wait_until

from glace_ros.commands import localize
from glace_ros.errors import GlaceError, MapFileError, WeightsError
from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.geometry.pose import Pose
from glace_ros.node import live_localization
from glace_ros.node.input import initial_pose
from glace_ros.node.input.initial_pose import InitialPose
from glace_ros.node.localizing import image_worker
from glace_ros.node.ros_interface.parameters import PARAMETERS, LocalizeParameters
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform, stamp_to_ns

DOC = Path(__file__).resolve().parents[2] / "docs" / "ros_interface.md"
OK, WARN, ERROR = (bytes([level]) for level in range(3))
TILTED = Pose.from_rotation_vector([3.0, -2.0, 0.3], [0.05, -0.1, 0.7])
ELSEWHERE = Pose.from_planar(-9.0, 4.0, 2.0)


# --- topics: names, types, QoS; what there is in which state ---

LATCHED = "reliable, transient local, depth 1"
CONFIGURED = {
    "/pose": ("PoseWithCovarianceStamped", LATCHED),
    "/glace_localizer/status": ("LocalizationStatus", LATCHED),
    "/diagnostics": ("DiagnosticArray", "reliable, depth 10"),
    "/glace_localizer/places": ("PoseArray", LATCHED),
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


def test_the_executor_waits_for_qos_events_of_transforms_and_initial_poses_alone(unconfigured):
    """It goes through each of them, in Python, whenever a message of any topic comes."""
    node = unconfigured().node
    node.autostart()
    published, heard = (
        {end.topic_name for end in endpoints if end.event_handlers}
        for endpoints in (node.publishers, node.subscriptions)
    )
    assert published == {"/parameter_events"}  # rclpy's own
    assert heard - {"/clock"} == {"/tf", "/tf_static", "/initialpose"}


def test_parameters_choose_the_image_s_topic_qos_and_the_rate_of_tf(driven):
    node = driven(image_transport="compressed", image_qos="reliable", tf_publish_rate=50.0).node
    heard = ends(node.subscriptions)
    assert heard["/image/compressed"] == ("CompressedImage", "reliable, depth 5")
    assert "/image" not in heard
    assert NS // 50 in [timer.timer_period_ns for timer in node.timers]


def test_every_parameter_describes_itself(unconfigured):
    node = unconfigured().node
    for name, field in PARAMETERS.items():
        described = node.describe_parameter(name)
        assert described.description == field.metadata["description"]
        ranges = [*described.floating_point_range, *described.integer_range]
        limits = [(limit.from_value, limit.to_value) for limit in ranges]
        low, high = field.metadata["low"], field.metadata["high"]
        assert limits == ([] if low is None else [(low, high)])


def test_without_tf_broadcast_the_node_has_no_say_on_tf(driven):
    driven = driven(tf_broadcast=False)
    assert "/tf" not in ends(driven.node.publishers)
    driven.hear_transform("/tf_static", "base_footprint", "camera", 0, BASE_FROM_CAMERA)
    assert driven.look(TILTED).accepted  # and no odometry is needed
    assert driven.transforms() == []


def test_services_are_there_in_every_state_under_the_names_of_amcl(unconfigured):
    services = {s.srv_name: s.srv_type.__name__ for s in unconfigured().node.services}
    ours = {
        "~/relocalize": "Trigger",
        "reinitialize_global_localization": "Empty",
        "request_nomotion_update": "Empty",
    }
    assert ours.items() <= services.items()
    text = DOC.read_text(encoding="utf-8")
    assert all(f"| `{name}` | std_srvs/{kind} |" in text for name, kind in ours.items())


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


def test_what_people_look_at_is_in_the_frame_of_the_parameter(driven, monkeypatch):
    monkeypatch.setattr(Publisher, "get_subscription_count", lambda _: 1)
    driven = driven(global_frame_id="world")
    driven.drive()
    stamp_ns = stamp_to_ns(driven.look(TILTED).image_stamp)
    driven.transforms()
    (cloud,) = wait_until(lambda: driven.came("/glace_localizer/scene_points"))
    (picture,) = driven.came("/glace_localizer/inliers_image")
    (coverage,) = driven.came("/glace_localizer/coverage")
    assert (cloud.header.frame_id, stamp_of(cloud)) == ("world", stamp_ns)
    assert (picture.header.frame_id, stamp_of(picture)) == ("camera", stamp_ns)
    assert coverage.markers[0].header.frame_id == "world"


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
    assert (
        answer.message
        == "No fix within 600 s. Rejected fix: 9 inliers of 1000 points, fewer than 50"
    )
    assert timer not in list(driven.node.timers)
    driven.node.trigger_deactivate()
    inactive = resumed(driven.call("~/relocalize"))
    assert (inactive.success, "not active" in inactive.message) == (False, True)


def test_reinitialize_forgets_and_an_update_does_not_wait_for_its_turn(driven, monkeypatch):
    monkeypatch.setattr(image_worker, "time", SimpleNamespace(monotonic=lambda: 100.0))
    driven = driven()
    driven.drive()
    driven.look(TILTED)
    driven.call("reinitialize_global_localization")
    assert driven.came("/glace_localizer/status")[-1].state == LocalizationState.UNLOCALIZED
    assert driven.transforms() == []
    stamp_ns = driven.show(ELSEWHERE @ BASE_FROM_CAMERA)
    driven.call("request_nomotion_update")
    wait_until(lambda: len(driven.poses()) == 2)
    assert stamp_of(driven.poses()[1]) == stamp_ns  # and time stands still: it was never due


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

    def create_service(*service):
        made[service[1]] = service
        return SimpleNamespace(service_name=f"/{service[1]}")

    node = SimpleNamespace(
        create_subscription=lambda *_: SimpleNamespace(topic_name="/initialpose"),
        create_service=create_service,
    )
    InitialPose(node, LocalizeParameters(), lambda *pose: expected.append(pose)).start()
    service_type, _, callback = made["set_initial_pose"]
    assert service_type is of_nav2.SetInitialPose
    message = PoseWithCovarianceStamped()
    message.header.frame_id, message.pose.pose.position.x = "map", 4.0
    response = object()
    assert callback(SimpleNamespace(pose=message), response) is response
    ((pose, covariance_66),) = expected
    assert pose.distance_m(Pose.from_planar(4.0, 0.0, 0.0)) == 0.0
    assert np.linalg.eigvalsh(covariance_66).min() > 0.0  # zeros: as surely as somebody points


def test_a_pose_that_the_service_cannot_take_is_said_of_the_service(driven, monkeypatch, capfd):
    """Its response is empty, so the log is the only place."""
    monkeypatch.setattr(initial_pose, "_nav2_service", lambda: Empty)  # a type that is here
    driven = driven(global_frame_id="world")
    (service,) = (s for s in driven.node.services if s.srv_name == "set_initial_pose")
    request, response = SimpleNamespace(pose=PoseWithCovarianceStamped()), Empty.Response()
    for frame_id in ("odom", "world"):
        request.pose.header.frame_id = frame_id
        assert service.callback(request, response) is response
    assert re.findall(r"\[(\w+)\].*: ((?:The|Initial) pose .*)", capfd.readouterr().err) == [
        ("WARN", "The pose that /set_initial_pose was called with is in 'odom', not in 'world' "
         "(global_frame_id): it is left out."),
        ("INFO", "Initial pose x=0.00 y=0.00 yaw=0.000: fixes are measured by it until they agree "
         "on another."),
    ]  # fmt: skip


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
    capfd, error, arguments, code
):
    def read(_):
        raise error or AssertionError("what is wrong with the parameters comes first")

    signals = SimpleNamespace(came=False, wait=lambda: None, interrupting=nullcontext)
    argv = ["--map", "office.glace", *arguments]
    assert localize.run(argv, read, signals, Thread(target=lambda: None)) == code
    said = capfd.readouterr().err
    assert str(error) in said if error else any(w in said for w in ("max_rat", "such.yaml"))


def test_what_the_node_does_leaves_nothing_in_memory(unconfigured):
    """rclpy's own wait for a future keeps 200 bytes of each message and timer."""
    node = unconfigured().node
    in_use = []

    def tick():
        if not node.broken:  # it stays a little longer then
            in_use.append(tracemalloc.get_traced_memory()[0])
            node.broken = len(in_use) == 3000

    node.create_timer(1e-5, tick)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    tracemalloc.start()
    try:
        localize.spin(node, executor)
    finally:
        tracemalloc.stop()
    assert in_use[-1] - in_use[1000] < 100_000  # bytes; 400,000 if so
