"""A bag played to a `localize` process: starts it, drives its lifecycle, plays and listens.

A little over 250 lines: the process, the node beside it and its listener live and end together.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage

from glace_ros.command_line.child_process import child_process
from glace_ros.demo.bag_player import BagPlayer
from glace_ros.errors import GlaceError
from glace_ros.msg import LocalizationStatus
from glace_ros.rejection import RejectionCode
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform, stamp_to_ns

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rclpy.node import Node

    from glace_ros.geometry.pose import Pose

_RELIABLE = QoSProfile(
    depth=200, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE
)
_NODE = "glace_localizer"


class LiveRunError(GlaceError):
    """The live node did not do its part."""


@dataclass(frozen=True)
class ImageOutcome:
    """What the node's status says of one image.

    stamp_ns: of exposure, in the bag.
    inliers, points: of the predicted points those that agree, and all.
    inference_s: s, spent in the localizer.
    latency_s: s, from exposure to result.
    code: NONE where it was accepted.
    """

    stamp_ns: int
    accepted: bool
    inliers: int
    points: int
    inference_s: float
    latency_s: float
    code: RejectionCode


@dataclass(eq=False)
class LiveRun:
    """What came from the node; all stamps are those of the bag.

    fixes: map_from_base by exposure time.
    map_from_odom: in order of publication.
    outcomes: of the images that the node looked at, by exposure time.
    """

    fixes: dict[int, Pose] = field(default_factory=dict)
    map_from_odom: list[tuple[int, Pose]] = field(default_factory=list)
    outcomes: dict[int, ImageOutcome] = field(default_factory=dict)


def play_to_localizer(
    bag: Path,
    topics: Sequence[str],
    image_topic: str,
    parameters: Mapping[str, Any],
    remappings: Mapping[str, str],
    log: Path,
    progress: Callable[[float, float], None] = lambda done_s, total_s: None,
) -> LiveRun:
    """Plays the topics of a bag to a `localize` process, and returns what it published.

    bag: a path.
    topics: of the bag, that are played.
    image_topic: nothing is played before the node subscribes to it.
    parameters, remappings: of the node.
    log: file for what the node prints.
    progress: called with seconds played and in all.
    Raises LiveRunError where the node does not start, or ends.
    """
    with running_localizer(parameters, remappings, log) as localizer:
        listener = _Listener(localizer.node)
        localizer.activate()
        player = BagPlayer(localizer.node, bag, topics)
        localizer.wait(lambda: player.subscribers(image_topic), 60.0, "subscribe to images")
        played = player.play(progress=progress)
        time.sleep(1.5)  # for the last image
        localizer.require_running()
        return listener.run(played.offset_ns)


@contextmanager
def running_localizer(
    parameters: Mapping[str, Any], remappings: Mapping[str, str], log: Path
) -> Iterator[LocalizerProcess]:
    """A `localize` process, unconfigured, and a node of ours beside it, in a graph of their own.

    parameters, remappings, log: see play_to_localizer.
    """
    domain_id = private_graph()
    with log.open("w") as output, ExitStack() as stack:
        arguments = ["--ros-args"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={value}"]
        for name, topic in remappings.items():
            arguments += ["-r", f"{name}:={topic}"]
        process = stack.enter_context(child_process("localize", arguments, output))
        node = stack.enter_context(_spinning_node(domain_id))
        yield LocalizerProcess(process, node, log)


@dataclass(frozen=True, eq=False)
class LocalizerProcess:
    """A `localize` process, from beside it.

    All methods raise LiveRunError where the process has ended or does not do what is waited for.
    process: `localize`.
    node: ours, spinning in a thread.
    log: what the process prints.
    """

    process: subprocess.Popen[str]
    node: Node
    log: Path

    def activate(self) -> None:
        """Configures and activates it."""
        for transition, name in (
            (Transition.TRANSITION_CONFIGURE, "configure"),
            (Transition.TRANSITION_ACTIVATE, "activate"),
        ):
            client = self.node.create_client(ChangeState, f"{_NODE}/change_state")
            self.wait(client.service_is_ready, 180.0, "start")
            request = ChangeState.Request(transition=Transition(id=transition))
            answer = client.call_async(request)
            self.wait(answer.done, 180.0, name)
            if not answer.result().success:
                raise LiveRunError(f"localize could not {name}: {self._last_words()}")
            self.node.destroy_client(client)

    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> None:
        """Returns once the condition holds."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            self.require_running()
            if time.monotonic() > deadline_s:
                raise LiveRunError(
                    f"localize did not {what} within {timeout_s:.0f} s: {self._last_words()}"
                )
            time.sleep(0.05)

    def require_running(self) -> None:
        """Nothing where the process is alive."""
        if (code := self.process.poll()) is not None:
            raise LiveRunError(f"localize ended with exit code {code}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text().splitlines() if line.strip()]
        log = self.log
        return f"{lines[-1]} (all of it is in {log})" if lines else f"it said nothing (see {log})"


def private_graph() -> int:
    """A ROS domain of this machine that nothing uses, in the environment of us and our children."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.pop("ROS_LOCALHOST_ONLY", None)  # of older distributions: overrules the line above
    for attempt in range(90):
        domain_id = 10 + (os.getpid() + attempt) % 90
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # where the first participant of a domain listens (DDSI-RTPS 9.6.1.1)
                probe.bind(("", 7400 + 250 * domain_id + 10))
            except OSError:
                continue
        os.environ["ROS_DOMAIN_ID"] = str(domain_id)
        return domain_id
    raise LiveRunError("All ROS domains from 10 to 99 are in use on this machine; end one of them")


@contextmanager
def _spinning_node(domain_id: int) -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node("glace_demo_robot", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join(5.0)
        node.destroy_node()
        context.try_shutdown()


class _Listener:
    """Keeps what the node publishes, from before it is active."""

    def __init__(self, node: Node) -> None:
        self._poses: list[PoseWithCovarianceStamped] = []
        self._statuses: list[LocalizationStatus] = []
        self._transforms: list[TFMessage] = []
        node.create_subscription(PoseWithCovarianceStamped, "pose", self._poses.append, _RELIABLE)
        node.create_subscription(
            LocalizationStatus, f"{_NODE}/status", self._statuses.append, _RELIABLE
        )
        node.create_subscription(TFMessage, "/tf", self._transforms.append, _RELIABLE)

    def run(self, offset_ns: int) -> LiveRun:
        """What came, with the stamps of the bag."""
        run = LiveRun()
        for pose in list(self._poses):
            stamp_ns = stamp_to_ns(pose.header.stamp) - offset_ns
            run.fixes[stamp_ns] = pose_from_message(pose.pose.pose)
        for transform in (t for message in list(self._transforms) for t in message.transforms):
            if (transform.header.frame_id, transform.child_frame_id) == ("map", "odom"):
                stamp_ns = stamp_to_ns(transform.header.stamp) - offset_ns
                run.map_from_odom.append((stamp_ns, pose_from_transform(transform.transform)))
        for status in list(self._statuses):
            if (image_ns := stamp_to_ns(status.image_stamp)) > 0:
                run.outcomes[image_ns - offset_ns] = _outcome(status, image_ns - offset_ns)
        return run


def _outcome(status: LocalizationStatus, stamp_ns: int) -> ImageOutcome:
    return ImageOutcome(
        stamp_ns,
        status.accepted,
        status.inliers,
        status.points,
        status.inference_time,
        status.latency,
        RejectionCode.NONE if status.accepted else RejectionCode(status.rejection_code),
    )
