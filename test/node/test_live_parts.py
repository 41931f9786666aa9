"""Parts of the live node without a graph: its thread, its view of TF, what it says when."""

from __future__ import annotations

import time
from threading import Event, Thread
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from geometry_msgs.msg import TransformStamped
from support.waiting import holds, let_pass, wait_until
from tf2_msgs.msg import TFMessage

from glace_ros.geometry.pose import Pose
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.node.input.transform_listener import TransformListener
from glace_ros.node.localizing.image_worker import NewestFirstWorker
from glace_ros.node.output.map_odom_broadcaster import MapOdomBroadcaster
from glace_ros.node.ros_interface.conversions import ns_to_stamp, pose_to_transform
from glace_ros.node.ros_interface.parameters import LocalizeParameters
from glace_ros.node.ros_interface.transition_log import TransitionLog
from glace_ros.ros_messages.reading import stamp_to_ns

NS = 1_000_000_000


def test_the_worker_takes_the_newest_job_and_survives_exceptions():
    started, go_on, done, errors = Event(), Event(), [], []

    def work(job):
        started.set()
        assert go_on.wait(5.0)
        done.append(job)
        if job == 4:
            raise RuntimeError("four")

    worker = NewestFirstWorker(work, lambda job, error: errors.append((job, str(error))), 1e6)
    worker.start()
    worker.offer(0)
    assert started.wait(5.0)
    for job in (1, 2, 3, 4):
        worker.offer(job)
    assert worker.dropped == 3
    go_on.set()
    wait_until(lambda: errors)
    worker.offer(5)
    wait_until(lambda: len(done) == 3)
    worker.stop()
    assert done == [0, 4, 5]
    assert errors == [(4, "four")]


def test_the_worker_keeps_to_its_rate_and_clear_drops_what_waits():
    times = []
    worker = NewestFirstWorker(lambda _: times.append(time.monotonic()), print, 20.0)
    worker.start()
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        worker.offer(0)
        time.sleep(0.002)  # a camera's rate
    assert 15 <= len(times) <= 21
    worker.offer(1)
    worker.clear()
    before = len(times)
    assert holds(lambda: len(times) <= before + 1, 0.2)
    worker.stop()


def test_a_hurried_worker_takes_the_newest_job_once_and_then_keeps_to_its_rate():
    done = []
    worker = NewestFirstWorker(done.append, print, 0.001)  # one in 1000 s
    worker.start()
    worker.offer(0)
    wait_until(lambda: done == [0])
    for job in (1, 2):
        worker.offer(job)
    worker.hurry()
    wait_until(lambda: done == [0, 2])
    worker.offer(3)
    assert holds(lambda: done == [0, 2], 0.3)
    worker.clear()
    worker.hurry()  # where none waits, it is the next one
    let_pass(0.1, "a worker without a job gives no sign")
    worker.offer(4)
    wait_until(lambda: done == [0, 2, 4])
    worker.offer(5)
    assert holds(lambda: done == [0, 2, 4], 0.3)
    worker.stop()


def test_the_next_job_is_due_one_period_after_a_hurried_one():
    times = []
    worker = NewestFirstWorker(lambda _: times.append(time.monotonic()), print, 1.0)
    worker.start()
    worker.offer(0)
    wait_until(lambda: times)
    worker.offer(1)
    worker.hurry()
    wait_until(lambda: len(times) == 2)
    worker.offer(2)
    wait_until(lambda: len(times) == 3)
    worker.stop()
    assert times[2] - times[1] > 0.9  # not sooner
    assert times[2] - times[0] < 1.9  # nor as if the hurried one had waited for its turn


def test_after_a_slow_job_those_that_come_at_its_rate_do_not_wait():
    """The slow one ends just before the next comes: that one's turn was in the past by then."""
    period_s, begun = 0.2, {}

    def work(job):
        begun[job] = time.monotonic()
        if job == 0:
            time.sleep(2.9 * period_s)

    worker = NewestFirstWorker(work, print, 1.0 / period_s)
    worker.start()
    start_s, waited_s = time.monotonic(), []
    for job in range(12):
        time.sleep(max(0.0, start_s + job * period_s - time.monotonic()))  # a camera's rate
        worker.offer(job)
        offered_s = time.monotonic()
        if job > 2:
            wait_until(lambda: job in begun)  # noqa: B023
            waited_s.append(begun[job] - offered_s)
    worker.stop()
    assert np.median(waited_s) < 0.3 * period_s


class FakeNode:
    """As much of a node as TF needs."""

    def __init__(self):
        self.callbacks, self.published, self.now_ns = {}, [], 0
        self.timer = None

    def create_subscription(self, _type, topic, callback, _qos, **_):
        self.callbacks[topic] = callback

    def create_publisher(self, _type, _topic, _qos, **_):
        return SimpleNamespace(publish=lambda message: self.published.extend(message.transforms))

    def create_timer(self, _period_s, callback):
        self.timer = callback

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now_ns))

    def hear(self, topic, parent, child, stamp_ns, pose):
        message = TransformStamped(transform=pose_to_transform(pose))
        message.header.frame_id, message.child_frame_id = parent, child
        message.header.stamp = ns_to_stamp(stamp_ns)
        self.callbacks[topic](TFMessage(transforms=[message]))


@pytest.fixture
def node():
    return FakeNode()


@pytest.fixture
def problems():
    return []


@pytest.fixture
def listener(node, problems):
    listener = TransformListener(node, problems.append)
    listener.start()
    return listener


def test_a_lookup_waits_for_the_transform_that_is_on_its_way(node, listener):
    node.hear("/tf", "odom", "base", 1 * NS, Pose.from_planar(1.0, 0.0, 0.0))
    with pytest.raises(TransformError, match=r"No odom->base at image time \(latest is 0.50 s"):
        listener.lookup("odom", "base", 3 * NS // 2)

    def robot():
        let_pass(0.2, "who waits for a transform gives no sign")
        node.hear("/tf", "odom", "other", 2 * NS, Pose.identity())  # not yet
        let_pass(0.1, "who waits on gives no sign")
        node.hear("/tf", "odom", "base", 2 * NS, Pose.from_planar(3.0, 0.0, 0.0))

    Thread(target=robot).start()
    found = listener.lookup("odom", "base", 3 * NS // 2, timeout_s=5.0)
    assert found.translation_3 == pytest.approx([2.0, 0.0, 0.0])  # half of the way, at half time
    began = time.monotonic()
    with pytest.raises(TransformError):
        listener.lookup("odom", "base", 3 * NS, timeout_s=0.2)
    assert 0.15 < time.monotonic() - began < 2.0


def test_clear_forgets_tf_but_not_tf_static(node, listener):
    node.hear("/tf_static", "base", "camera", 0, Pose.from_planar(0.0, 1.0, 0.0))
    node.hear("/tf", "odom", "base", 5 * NS, Pose.identity())
    assert listener.lookup("odom", "camera", 5 * NS).translation_3[1] == pytest.approx(1.0)
    listener.clear()
    assert listener.lookup("base", "camera", 5 * NS).translation_3[1] == pytest.approx(1.0)
    with pytest.raises(TransformError):
        listener.lookup("odom", "base", 5 * NS)


def test_a_recording_that_starts_again_is_followed(node, listener):
    node.hear("/tf", "odom", "base", 1000 * NS, Pose.from_planar(9.0, 9.0, 0.0))
    node.hear("/tf", "odom", "base", 1 * NS, Pose.from_planar(1.0, 0.0, 0.0))
    assert listener.lookup("odom", "base", 1 * NS).translation_3[0] == pytest.approx(1.0)


def test_a_transform_that_is_none_is_left_out_and_said(node, listener, problems):
    bad = Pose(np.eye(3), np.array([np.nan, 0.0, 0.0]))
    node.hear("/tf", "odom", "base", NS, bad)
    node.hear("/tf", "base", "base", NS, Pose.identity())
    assert len(problems) == 2
    assert "odom->base is left out: the pose has a number that is not finite" in problems[0]
    assert "base->base" in problems[1]
    with pytest.raises(TransformError):
        listener.lookup("odom", "base", NS)


def test_map_to_odom_is_stamped_ahead_and_never_twice_the_same(node):
    known = []
    broadcaster = MapOdomBroadcaster(
        node, LocalizeParameters(transform_tolerance=0.25), lambda: known[-1] if known else None
    )
    broadcaster.start()
    node.now_ns = 10 * NS
    node.timer()
    assert node.published == []  # before the first fix
    known.append(Pose.from_planar(1.0, 2.0, 0.5))
    for now_ns in (10 * NS, 10 * NS, 10 * NS - 5, 10 * NS + 1):  # /clock is coarse
        node.now_ns = now_ns
        node.timer()
    stamps = [stamp_to_ns(transform.header.stamp) for transform in node.published]
    assert stamps == [10 * NS + NS // 4, 10 * NS + NS // 4 + 1]
    broadcaster.clear()
    node.now_ns = 3 * NS
    node.timer()
    assert stamp_to_ns(node.published[-1].header.stamp) == 3 * NS + NS // 4
    assert (node.published[-1].header.frame_id, node.published[-1].child_frame_id) == (
        "map", "odom",
    )  # fmt: skip


def test_a_condition_is_said_when_it_begins(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said, log = [], TransitionLog()

    def enter(condition):
        log.enter("image", condition, lambda: said.append(condition))

    enter("blurred")
    enter("blurred")
    assert said == ["blurred"]
    assert log.leave("image")
    assert not log.leave("image")
    enter("dark")  # too soon after the last line ...
    assert said == ["blurred"]
    now[0] += 6.0
    enter("dark")  # ... but it lasts
    now[0] += 6.0
    enter("dark")
    assert said == ["blurred", "dark"]
