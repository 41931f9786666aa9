"""Plays a bag into a ROS 2 graph in real time, as if the robot drove now."""

from __future__ import annotations

import array
import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from glace_ros.errors import RecordingError
from glace_ros.node.ros_interface.conversions import ns_to_stamp
from glace_ros.recording.bag_file import BagFile
from glace_ros.ros_messages.reading import stamp_to_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from threading import Event

    from rclpy.node import Node
    from rclpy.publisher import Publisher

# /tf_static may come in several messages, and whoever subscribes late needs them all
_STATIC_TOPIC = "/tf_static"
_DEPTH = 200
"""Of each publisher's queue."""


@dataclass(frozen=True)
class Played:
    """What was played.

    offset_ns: a stamp in the graph minus the same in the bag.
    messages: how many were played.
    """

    offset_ns: int
    messages: int


class BagPlayer:
    """Publishers for the topics of a bag, all reliable (a best-effort subscriber takes these, too).

    topics: those to play; None: all. Their names and types are the bag's.
    Raises RecordingError for a bag or a topic that cannot be played.
    """

    def __init__(self, node: Node, bag: Path | str, topics: Collection[str] | None = None) -> None:
        self._node, self._path = node, Path(bag)
        self._publishers: dict[str, Publisher] = {}
        with BagFile(bag) as opened:
            wanted = sorted(opened.topics if topics is None else topics)
            for name in wanted:
                if name not in opened.topics:
                    there = ", ".join(sorted(opened.topics))
                    raise RecordingError(f"{self._path} has no topic {name} (it has {there})")
                message_class = _message_class(self._path, name, opened.topics[name].msgtype)
                self._publishers[name] = node.create_publisher(message_class, name, _qos(name))

    def subscribers(self, topic: str) -> int:
        """How many subscriptions to a topic of ours have been discovered."""
        return int(self._publishers[topic].get_subscription_count())

    def play(
        self,
        stop: Event | None = None,
        progress: Callable[[float, float], None] = lambda done_s, total_s: None,
    ) -> Played:
        """Publishes all messages with the pauses of their recording; returns after the last.

        All stamps (headers, transforms) are moved by one offset, so that the bag's first moment is
        now; a stamp of zero stays zero.
        stop: ends it early.
        progress: called with seconds played and in all.
        """
        count = 0
        with BagFile(self._path) as bag:
            started_s, offset_ns = time.monotonic(), time.time_ns() - bag.start_ns
            for message in bag.messages(self._publishers):
                elapsed_s = (message.received_ns - bag.start_ns) * 1e-9
                wait_s = started_s + elapsed_s - time.monotonic()
                if _stopped_within(stop, wait_s):
                    break
                publisher = self._publishers[message.topic]
                played = to_ros(message.content, publisher.msg_type)
                move_stamps(played, offset_ns)
                publisher.publish(played)
                count += 1
                progress(elapsed_s, bag.duration_s)
        return Played(offset_ns, count)

    def destroy(self) -> None:
        """Takes the publishers from the graph."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()


def to_ros(content: Any, message_class: Any) -> Any:
    """A message of the bag reader as one of rclpy's; fields that it lacks keep their defaults."""
    message = message_class()
    for name in message_class.get_fields_and_field_types():
        value = getattr(content, name, None)
        if value is not None:
            setattr(message, name, _to_field(value, getattr(message, name), message_class, name))
    return message


def move_stamps(message: Any, offset_ns: int) -> None:
    """Adds the offset to the message's header stamp and to those of its transforms, in place."""
    stamped = [message, *getattr(message, "transforms", ())]
    for header in (part.header for part in stamped if hasattr(part, "header")):
        stamp_ns = stamp_to_ns(header.stamp)
        if stamp_ns:
            header.stamp = ns_to_stamp(stamp_ns + offset_ns)


def _to_field(value: Any, default: Any, message_class: Any, name: str) -> Any:
    if hasattr(default, "get_fields_and_field_types"):
        return to_ros(value, type(default))
    if isinstance(value, np.ndarray):
        if isinstance(default, array.array):  # by bytes: a list is 1000 times slower
            return array.array(default.typecode, value.astype(default.typecode).tobytes())
        return value.astype(default.dtype) if isinstance(default, np.ndarray) else value.tolist()
    if isinstance(value, list) and value and hasattr(value[0], "__msgtype__"):
        item_type = message_class.get_fields_and_field_types()[name]  # sequence<package/Name>
        package, item_name = item_type.split("<")[1].rstrip(">").split(",")[0].split("/")
        item_class = getattr(importlib.import_module(f"{package}.msg"), item_name)
        return [to_ros(item, item_class) for item in value]
    return value


def _message_class(path: Path, topic: str, msgtype: str) -> type:
    package, _, name = msgtype.replace("/msg/", "/").partition("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise RecordingError(
            f"{topic} of {path} cannot be played: its type {msgtype or '(several)'} is not "
            "installed; leave the topic out or install its package"
        ) from error


def _qos(topic: str) -> QoSProfile:
    static = topic == _STATIC_TOPIC
    durability = DurabilityPolicy.TRANSIENT_LOCAL if static else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


def _stopped_within(stop: Event | None, wait_s: float) -> bool:
    """Waits; whether it was told to stop meanwhile."""
    if stop is None:
        time.sleep(max(0.0, wait_s))
        return False
    return stop.wait(max(0.0, wait_s))
