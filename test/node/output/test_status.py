"""~/status, /diagnostics and the sentences on missing input: every field, every level."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from glace_ros.msg import LocalizationStatus
from sensor_msgs.msg import Image
from support.fake_localizer_process import COVARIANCE_66
from support.robot import NS, stamp_of

from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.fusion.odometry_fusion import Fix
from glace_ros.geometry.pose import Pose
from glace_ros.node.input import input_topics
from glace_ros.node.input.input_topics import IMAGE_QOS, SENSOR_QOS
from glace_ros.node.localizing.base_locator import kind_of
from glace_ros.node.localizing.localization_run import RunReport
from glace_ros.node.output.status import LEVEL_OF_STATE, run_tasks, status_message
from glace_ros.rejection import RejectionCode
from glace_ros.ros_messages.reading import stamp_to_ns

DOC = Path(__file__).resolve().parents[3] / "docs" / "ros_interface.md"
OK, WARN, ERROR = (bytes([level]) for level in range(3))


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
    assert message.rejection_code == LocalizationStatus.REJECTION_NONE == 0


def test_the_built_message_has_the_codes():
    for code in RejectionCode:
        assert getattr(LocalizationStatus, f"REJECTION_{code.name}") == code


def test_a_status_says_all_that_is_known():
    fix = Fix(3 * NS, Pose.identity(), COVARIANCE_66, None)
    report = RunReport(
        LocalizationState.DEGRADED, 2.5, fix, camera="rear", image_stamp_ns=4 * NS, accepted=True,
        points=1000, inliers=400, inference_s=0.08, latency_s=0.12, reprojection_px=1.5,
        rejection_stamp_ns=2 * NS, rejection_code=RejectionCode.FEW_INLIERS,
        rejection_reason="Rejected fix: why",
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
        "sigma_yaw": pytest.approx(np.sqrt(9e-5)), "rejection_code": 2,
        "rejection_reason": "Rejected fix: why",
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
    tasks = run_tasks(report, {}, None, received=True)
    assert (tasks["localization"].level, tasks["localization"].message) == (level, state)
    assert {tasks[name].level for name in ("input", "inference", "tf")} == {OK}


@pytest.mark.parametrize(
    ("code", "kind", "task"),
    [
        ("IMAGE_TOO_OLD", "age", "input"), ("IMAGE_IN_FUTURE", "age", "input"),
        ("NO_CAMERA_INFO", "camera_info", "input"), ("NO_FRAME_ID", "frame", "input"),
        ("UNUSABLE_IMAGE", "image", "input"), ("LOCALIZER_FAILED", "exception", "inference"),
        ("NO_TRANSFORM", "tf", "tf"), ("NO_POSE", "pose", None), ("FEW_INLIERS", "pose", None),
        ("REPEATED_ELSEWHERE", "pose", None), ("NOT_NEWER_THAN_CAMERA", "fusion", None),
        ("OUTSIDE_GATE", "fusion", None),
    ],
)  # fmt: skip
def test_what_keeps_an_image_from_giving_a_fix_is_a_warning_of_its_task(code, kind, task):
    assert kind_of(RejectionCode[code]) == kind
    rejected = RunReport(
        LocalizationState.TRACKING, 1.0, None, rejection_code=RejectionCode[code],
        rejection_reason="Why.",
    )  # fmt: skip
    tasks = run_tasks(rejected, {}, None, received=True)
    assert tasks["localization"].message == "TRACKING. Why."
    for name in ("input", "inference", "tf"):
        assert tasks[name].level == (WARN if name == task else OK)
        assert (tasks[name].message == "Why.") == (name == task)
    nothing = "Nothing is published on /image."
    silent = run_tasks(rejected, {}, nothing, received=False)["input"]
    assert (silent.level, silent.message) == (WARN, nothing)


def test_images_come_once_one_has_come():
    report = RunReport(LocalizationState.UNLOCALIZED, 1.0, None)
    for received, message in ((False, "No image has come yet"), (True, "Images come")):
        task = run_tasks(report, {}, None, received=received)["input"]
        assert (task.level, task.message) == (OK, message)


class Graph:
    """A node that sees one publisher on every topic, or none."""

    def __init__(self, publishers):
        self._publishers = publishers

    def create_subscription(self, _type, topic, _callback, _qos, **_):
        return None

    def resolve_topic_name(self, topic):
        return f"/robot/{topic}"

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
    clock = SimpleNamespace(monotonic=lambda: now_s[0])
    monkeypatch.setattr(input_topics, "time", clock)
    publisher = SimpleNamespace(topic_type=type_name, qos_profile=qos)
    graph = Graph([publisher] if type_name else [])
    topic = input_topics.WatchedTopic(graph, Image, "image", IMAGE_QOS["reliable"], print)
    topic.start()
    now_s[0] += 4.9
    assert topic.problem() is None
    now_s[0] += 0.2
    assert topic.problem().startswith(sentence)


@pytest.mark.parametrize("state", list(LocalizationState), ids=lambda state: state.name)
def test_the_document_has_the_level_of_each_state(state):
    text = DOC.read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if "`glace_localizer: localization`" in line)
    level = LEVEL_OF_STATE[state][0]
    assert state.name in row.split("|")[2 + level].replace(",", "").split()
