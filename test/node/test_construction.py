"""Constructing a part of the live node has no effects: `start` begins it, `stop` ends it."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from builtin_interfaces.msg import Time

from glace_ros.geometry.pose import Pose
from glace_ros.node import lifecycle_bond
from glace_ros.node.configured_localizer import ConfiguredLocalizer
from glace_ros.node.input import initial_pose
from glace_ros.node.input.camera_input import CameraInput
from glace_ros.node.input.initial_pose import InitialPose
from glace_ros.node.input.input_topics import ImageInput
from glace_ros.node.input.transform_listener import TransformListener
from glace_ros.node.lifecycle_bond import LifecycleBond
from glace_ros.node.live_localization import LiveLocalization
from glace_ros.node.localizing.image_worker import NewestFirstWorker
from glace_ros.node.localizing.loaded_map import CheckedMap, LoadedMap
from glace_ros.node.localizing.localizing_thread import LocalizingThread
from glace_ros.node.map_switch import MapSwitch
from glace_ros.node.output.map_odom_broadcaster import MapOdomBroadcaster
from glace_ros.node.output.publishers import Publishers
from glace_ros.node.ros_interface.parameters import LocalizeParameters
from glace_ros.node.saved_pose_file import PoseMemory
from glace_ros.node.services import LocalizationServices

LOADED_MAP = LoadedMap(SimpleNamespace(), "office.glace 01234567", "map", "base_footprint")


class RecordingNode:
    """Keeps what stands on it: everything that `create_...` has made and nobody has ended yet."""

    def __init__(self):
        self.standing = []
        self.context = SimpleNamespace(ok=lambda: True)
        self.executor = None

    def _make(self, kind, name):
        thing = SimpleNamespace(
            kind=kind, topic_name=name, publish=lambda _: None, is_canceled=lambda: False,
            wait_for_all_acked=lambda _: True,
        )  # fmt: skip
        self.standing.append(thing)
        return thing

    def create_subscription(self, _type, topic, *_, **__):
        return self._make("subscription", topic)

    def create_publisher(self, _type, topic, *_, **__):
        return self._make("publisher", topic)

    def create_service(self, _type, name, *_, **__):
        return self._make("service", name)

    def create_timer(self, *_, **__):
        return self._make("timer", "")

    def create_guard_condition(self, _):
        return self._make("guard condition", "")

    def _end(self, thing):
        self.standing.remove(thing)

    destroy_subscription = destroy_publisher = destroy_service = _end
    destroy_timer = destroy_guard_condition = _end

    def resolve_topic_name(self, topic, *, only_expand=False):
        return f"/{topic}"

    def get_publishers_info_by_topic(self, _):
        return []

    def get_name(self):
        return "glace_localizer"

    def get_logger(self):
        return SimpleNamespace(info=print, warning=print, error=print)

    def get_clock(self):
        def jump_callback(*_, **__):
            handle = self._make("jump callback", "")
            handle.unregister = lambda: self._end(handle)
            return handle

        now = SimpleNamespace(nanoseconds=0, to_msg=Time)
        return SimpleNamespace(now=lambda: now, create_jump_callback=jump_callback)


def nothing(*_):
    return None


PARAMETERS = LocalizeParameters(
    camera_names=("front", "rear"), image_transport="raw", set_initial_pose=True
)
# what is made of a node, a folder and a list of what was called; what stands after `start`
PARTS = {
    "worker": (lambda node, path, called: NewestFirstWorker(nothing, nothing, 1.0), 1, []),
    "localizing thread": (
        lambda node, path, called: LocalizingThread(node, PARAMETERS, nothing, nothing), 1, [],
    ),
    "map switch": (
        lambda node, path, called: MapSwitch(node, PARAMETERS, None, nothing, nothing, nothing), 1,
        ["guard condition"],
    ),
    "saved pose": (
        lambda node, path, called: PoseMemory(
            LocalizeParameters(saved_pose_file=str(path / "pose.json")), SimpleNamespace()
        ), 1, [],
    ),
    "TF": (lambda node, path, called: TransformListener(node, nothing), 0, ["subscription"] * 2),
    "camera": (
        lambda node, path, called: CameraInput(node, PARAMETERS, "front", nothing), 0,
        ["subscription"] * 2,
    ),
    "images": (
        lambda node, path, called: ImageInput(node, "image", "raw", "sensor_data", nothing), 0,
        ["subscription"],
    ),
    "images of either transport": (
        lambda node, path, called: ImageInput(node, "image", "auto", "sensor_data", nothing), 0,
        ["subscription"] * 2,
    ),
    "initial pose": (
        lambda node, path, called: InitialPose(node, PARAMETERS, lambda *_: called.append(1)), 0,
        ["subscription"],
    ),
    "map -> odom": (
        lambda node, path, called: MapOdomBroadcaster(node, PARAMETERS, Pose.identity), 0,
        ["publisher", "timer"],
    ),
    "no map -> odom": (
        lambda node, path, called: MapOdomBroadcaster(
            node, LocalizeParameters(tf_broadcast=False), Pose.identity
        ), 0, [],
    ),
    "services": (
        lambda node, path, called: LocalizationServices(node, nothing), 0, ["service"] * 3,
    ),
    "bond": (
        lambda node, path, called: LifecycleBond(node), 0, ["publisher", "subscription", "timer"],
    ),
    "all while configured": (
        lambda node, path, called: ConfiguredLocalizer(
            node, PARAMETERS, CheckedMap(None, nothing), LOADED_MAP,
            SimpleNamespace(lock=nothing, unlock=nothing), nothing,
        ), 1,
        ["guard condition", *["publisher"] * len(Publishers._fields), *["subscription"] * 2],
    ),
    "all while active": (
        lambda node, path, called: LiveLocalization(
            node,
            LocalizeParameters(image_transport="raw", saved_pose_file=str(path / "pose.json")),
            LOADED_MAP, SimpleNamespace(), SimpleNamespace(), nothing, nothing,
        ), 2,
        ["jump callback", "publisher", "subscription", "subscription", "subscription", "timer",
         "timer"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_a_part_works_from_start_to_stop(name, tmp_path, monkeypatch):
    if name == "bond" and lifecycle_bond.Status is None:
        pytest.skip("the messages of bond are not built")
    monkeypatch.setattr(initial_pose, "_nav2_service", nothing)
    make, threads, stands = PARTS[name]
    node, called = RecordingNode(), []
    before = set(threading.enumerate())

    def begun():
        return len(set(threading.enumerate()) - before)

    part = make(node, tmp_path, called)
    assert (node.standing, begun(), called, list(tmp_path.iterdir())) == ([], 0, [], [])
    part.stop()  # of what was not started
    part = make(node, tmp_path, called)
    for _ in range(2):
        part.start()
        assert sorted(thing.kind for thing in node.standing) == stands
        assert begun() == threads
    assert called == [1] * (name == "initial pose")
    for _ in range(2):
        part.stop()
        assert (node.standing, begun()) == ([], 0)
