"""A bag played into a graph arrives whole, in order, with all stamps moved alike."""

from __future__ import annotations

import time
from threading import Event, Thread

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from support.waiting import wait_until
from tf2_msgs.msg import TFMessage

from glace_ros.demo.bag_player import BagPlayer
from glace_ros.demo.live_run import LiveRunError, play_to_localizer
from glace_ros.errors import RecordingError
from glace_ros.geometry.camera import Camera
from glace_ros.recording.bag_file import BagFile
from glace_ros.ros_messages.reading import stamp_to_ns
from glace_ros.simulation import drive
from glace_ros.simulation.bag import BagConfig, write_bag
from glace_ros.simulation.building import BuildingConfig, build
from glace_ros.simulation.photographer import Photographer

pytestmark = pytest.mark.ros

CAMERA = Camera(64, 48, 46.0, 45.0, 32.5, 23.5)
RELIABLE = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """The same second of driving with compressed and with raw images."""
    folder = tmp_path_factory.mktemp("bags")
    building = build(BuildingConfig(rooms=1, texels_per_m=20.0))
    trajectory = drive.drive(building, drive.query_route(building, seed=1))
    with Photographer(building, workers=0) as photographer:
        for name, quality in (("jpeg", 90), ("raw", 0)):
            config = BagConfig(
                camera=CAMERA, duration_s=1.2, image_rate_hz=10.0, with_truth=True,
                jpeg_quality=quality,
            )  # fmt: skip
            write_bag(folder / name, trajectory, photographer, config)
    return folder


@pytest.fixture
def graph(ros_domain_id):
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    node = rclpy.create_node("player_test", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node
    executor.shutdown()
    thread.join(5.0)
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize(
    ("name", "image_type", "image_topic"),
    [
        ("jpeg", CompressedImage, "/camera/image_raw/compressed"),
        ("raw", Image, "/camera/image_raw"),
    ],
)
def test_everything_arrives_as_recorded_but_now(graph, bags, name, image_type, image_topic):
    types = {
        image_topic: image_type, "/camera/camera_info": CameraInfo, "/odom": Odometry,
        "/tf": TFMessage, "/ground_truth/pose": PoseStamped,
    }  # fmt: skip
    player = BagPlayer(graph, bags / name)
    received = {topic: [] for topic in types}
    for topic, message_type in types.items():
        graph.create_subscription(message_type, topic, received[topic].append, RELIABLE)
    wait_until(lambda: all(player.subscribers(topic) for topic in types))
    before_ns = time.time_ns()
    played = player.play()
    took_s = (time.time_ns() - before_ns) * 1e-9
    with BagFile(bags / name) as bag:
        recorded = {topic: [m.content for m in bag.messages([topic])] for topic in types}
        assert played.offset_ns == pytest.approx(before_ns - bag.start_ns, abs=5e8)
        assert played.messages == sum(topic.count for topic in bag.topics.values())
        # not faster than it was recorded, and not much slower even on a busy machine
        assert bag.duration_s - 0.05 < took_s < bag.duration_s + 5.0
    wait_until(lambda: all(len(received[t]) == len(recorded[t]) for t in types))
    for topic in set(types) - {"/tf"}:
        moved = {
            stamp_to_ns(new.header.stamp) - stamp_to_ns(old.header.stamp)
            for new, old in zip(received[topic], recorded[topic], strict=True)
        }
        assert moved == {played.offset_ns}
        assert received[topic][0].header.frame_id == recorded[topic][0].header.frame_id
    new, old = received["/tf"][3].transforms[0], recorded["/tf"][3].transforms[0]
    assert stamp_to_ns(new.header.stamp) - stamp_to_ns(old.header.stamp) == played.offset_ns
    assert new.child_frame_id == old.child_frame_id == "base_footprint"
    assert new.transform.translation.x == old.transform.translation.x
    for new, old in zip(received[image_topic], recorded[image_topic], strict=True):
        assert bytes(new.data) == old.data.tobytes()
    new, old = received["/camera/camera_info"][0], recorded["/camera/camera_info"][0]
    assert np.array_equal(new.k, old.k)
    assert np.array_equal(new.d, old.d)
    assert (new.width, new.height, new.distortion_model) == (64, 48, "plumb_bob")
    assert np.array_equal(
        received["/odom"][5].pose.covariance, recorded["/odom"][5].pose.covariance
    )


def test_static_transforms_reach_those_who_come_late(graph, bags):
    player = BagPlayer(graph, bags / "jpeg", ["/tf_static"])
    player.play()
    late = []
    graph.create_subscription(TFMessage, "/tf_static", late.append, LATCHED)
    wait_until(lambda: late)
    children = {transform.child_frame_id for transform in late[0].transforms}
    assert children == {"base_link", "camera_link", "camera_optical_frame"}


def test_only_the_topics_asked_for_are_in_the_graph_and_it_can_be_stopped(graph, bags):
    player = BagPlayer(graph, bags / "jpeg", ["/odom"])
    names = {name for name, _ in graph.get_topic_names_and_types()}
    assert "/odom" in names
    assert "/ground_truth/pose" not in names
    stop = Event()
    stop.set()
    started_s = time.monotonic()
    assert player.play(stop).messages == 0
    assert time.monotonic() - started_s < 1.0


def test_a_topic_that_is_not_there_is_named(graph, bags):
    with pytest.raises(RecordingError, match=r"has no topic /nope .it has .*/odom"):
        BagPlayer(graph, bags / "jpeg", ["/nope"])


def test_a_localizer_that_cannot_start_is_told_in_its_own_words(bags, tmp_path, monkeypatch):
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.setenv(name, "0" if name == "ROS_DOMAIN_ID" else "LOCALHOST")
    with pytest.raises(LiveRunError, match=r"could not configure: .*none\.glace"):
        play_to_localizer(
            bags / "jpeg", ["/odom"], "/odom", {"map": tmp_path / "none.glace"}, {},
            tmp_path / "log",
        )  # fmt: skip
