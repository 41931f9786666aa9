"""image_transport: auto: which of the two image topics is listened to, and what comes of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from sensor_msgs.msg import CompressedImage, Image
from support.robot import stamp_of
from support.waiting import holds, wait_until

from glace_ros.geometry.pose import Pose
from glace_ros.node.input import input_topics
from glace_ros.node.input.input_topics import ImageInput
from glace_ros.node.ros_interface.conversions import ns_to_stamp

RAW, COMPRESSED = "/image", "/image/compressed"
TYPES = {RAW: Image, COMPRESSED: CompressedImage}


class Graph:
    """A node that sees a publisher on each topic of `published`. heard: callbacks by topic."""

    def __init__(self):
        self.published, self.heard = set(), {}

    def create_subscription(self, message_type, topic, callback, _qos, **_):
        assert message_type is TYPES[topic]
        self.heard[topic] = callback
        return topic

    def destroy_subscription(self, topic):
        del self.heard[topic]

    def resolve_topic_name(self, topic, *, only_expand=False):
        return f"/{topic.removeprefix('/')}"

    def get_publishers_info_by_topic(self, topic):
        publisher = SimpleNamespace(topic_type="std_msgs/msg/String")
        return [publisher] * (topic in self.published)


class Listener:
    """An ImageInput that has been started. came: (topic, stamp in ns) of its images."""

    def __init__(self, transport="auto"):
        self.graph, self.came = Graph(), []
        self.images = ImageInput(self.graph, "image", transport, "sensor_data", self._on_image)
        self.images.start()

    def _on_image(self, message, topic):
        self.came.append((topic, stamp_of(message)))

    def publish(self, topic, stamp_ns):
        """Heard or not."""
        message = TYPES[topic]()
        message.header.stamp = ns_to_stamp(stamp_ns)
        if topic in self.graph.heard:
            self.graph.heard[topic](message)

    def look(self, *published):
        """At a graph where these topics are published; what is listened to then."""
        self.graph.published = set(published)
        self.images.choose()
        assert self.images.topic == " or ".join(sorted(self.graph.heard))
        return set(self.graph.heard)


def test_auto_listens_to_both_topics_for_as_long_as_neither_is_published():
    listener = Listener()
    assert listener.images.topic == "/image or /image/compressed"
    assert listener.look() == {RAW, COMPRESSED}
    assert listener.look(COMPRESSED) == {COMPRESSED}
    assert listener.look(COMPRESSED, RAW) == {COMPRESSED}  # there is no need to change
    assert listener.look(RAW) == {RAW}
    assert listener.look(COMPRESSED, RAW) == {RAW}
    assert listener.look() == {RAW, COMPRESSED}
    assert listener.look(COMPRESSED, RAW) == {RAW}  # raw comes first
    listener.images.stop()
    assert listener.graph.heard == {}


@pytest.mark.parametrize(("transport", "topic"), [("raw", RAW), ("compressed", COMPRESSED)])
def test_a_transport_that_is_named_is_the_only_one(transport, topic):
    listener = Listener(transport)
    for published in ([], [RAW], [COMPRESSED], [RAW, COMPRESSED]):
        assert listener.look(*published) == {topic}


@pytest.mark.parametrize(
    ("published", "came"),
    [
        ("c1 r1 c2 r2 c3 r3", "c1 r2 r3"),
        ("r1 c1 r2 c2", "r1 r2"),
        ("c1 c2 r1 r2 r3", "c1 c2 r3"),
        ("c1 c2 r2 r3", "c1 c2 r3"),  # one was lost
        ("c1 LOOK r1 c2 r2", "c1 r2"),
        ("LOOK c1 r1 c2 r2", "r1 r2"),
        ("c0 r0 r0 r0", "c0 r0 r0"),  # a driver without a clock
    ],
)
def test_an_image_that_comes_on_both_topics_counts_once_and_the_first_one_counts(published, came):
    listener = Listener()
    for word in published.split():
        if word == "LOOK":
            listener.look(RAW, COMPRESSED)
        else:
            listener.publish(RAW if word[0] == "r" else COMPRESSED, int(word[1]))
    topics = {"r": RAW, "c": COMPRESSED}
    assert listener.came == [(topics[word[0]], int(word[1])) for word in came.split()]
    assert listener.images.received == len(listener.came)
    assert listener.images.topic == RAW


def test_silence_is_that_of_what_is_listened_to(monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(input_topics, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    listener = Listener()
    now_s[0] += 5.1
    nothing = (
        "Nothing is published on /image or /image/compressed: start the camera or remap the topic "
        "`image`."
    )
    assert listener.images.problem() == nothing
    listener.publish(COMPRESSED, 1)  # of a publisher that is not seen yet
    assert listener.images.problem() is None
    listener.look(COMPRESSED)
    now_s[0] += 5.1
    assert listener.images.problem().startswith("/image/compressed is published as")
    listener.look()
    now_s[0] += 5.1
    assert listener.images.problem() == nothing


# --- in a real graph ---

TRUTH = Pose.from_planar(3.0, -2.0, 0.7)


def heard(robot):
    """What tools show of the node: `ros2 node info`, and `ros2 topic info` of the two topics."""
    name, namespace = "glace_localizer", "/"
    of_node = dict(robot.node.get_subscriber_names_and_types_by_node(name, namespace))
    ends = {topic: robot.node.get_subscriptions_info_by_topic(topic) for topic in TYPES}
    of_topics = {topic for topic in TYPES if any(end.node_name == name for end in ends[topic])}
    return of_topics if of_topics == TYPES.keys() & of_node.keys() else None


def input_values(robot):
    (task,) = (t for t in robot.diagnostics[-1].status if t.name.endswith(": input"))
    return {value.key: value.value for value in task.values}


def counted(robot, topic, images):
    values = input_values(robot) if robot.diagnostics else {}
    return (values.get("image topic"), values.get("images received")) == (topic, str(images))


def calibrate(robot):
    """The node has the camera_info: the first image is not to wait for it."""
    wait_until(robot.info_listeners)
    robot.publish_camera_info(robot.now_ns())
    wait_until(lambda: robot.diagnostics and int(input_values(robot)["camera_info received"]) > 0)


def photograph(robot, count):
    """Images one after the other, each when the one before has come out of the localizer."""
    for _ in range(count):
        stamp_ns = robot.now_ns()
        robot.publish_image(stamp_ns, TRUTH)
        wait_until(lambda stamp_ns=stamp_ns: stamp_ns in map(stamp_of, robot.poses))


@pytest.mark.ros
def test_tools_see_both_topics_until_there_is_a_camera_and_its_first_image_counts(live):
    robot, node = live
    for came, (topic, message_type) in enumerate(TYPES.items()):
        robot.cover_camera()
        if came == 0:
            robot.activate(matched=False, tf_broadcast=False, max_rate=60.0, max_image_age=20.0)
            robot.publish_static()
        # at once, and again where a camera has gone
        wait_until(lambda: heard(robot) == {RAW, COMPRESSED})
        assert holds(lambda: heard(robot) == {RAW, COMPRESSED}, 0.5)
        wait_until(lambda came=came: counted(robot, "/image or /image/compressed", 3 * came))
        robot.uncover_camera(message_type)
        calibrate(robot)
        wait_until(lambda: robot.image_listeners() == 1)
        photograph(robot, 3)
        wait_until(lambda topic=topic: heard(robot) == {topic})
        wait_until(lambda topic=topic, came=came: counted(robot, topic, 3 * came + 3))
    assert "Traceback" not in node.log()


@pytest.mark.ros
def test_of_a_camera_that_publishes_both_each_image_is_localized_once_and_raw_stays(live):
    robot, _ = live
    robot.cover_camera()
    robot.activate(matched=False, tf_broadcast=False, max_rate=60.0, max_image_age=20.0)
    robot.publish_static()
    robot.uncover_camera(Image)
    compressed = robot.node.create_publisher(CompressedImage, "image/compressed", 10)
    calibrate(robot)
    wait_until(lambda: robot.image_listeners() == 1)
    photograph(robot, 1)
    wait_until(lambda: compressed.get_subscription_count() == 0)  # nothing is compressed for us
    photograph(robot, 3)
    assert heard(robot) == {RAW}
    wait_until(lambda: counted(robot, RAW, 4))
    assert len(robot.poses) == 4
