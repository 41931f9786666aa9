"""Subscriptions that notice when nothing comes, and can say why by the topic's name."""

from __future__ import annotations

import time
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rclpy.qos import (
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from sensor_msgs.msg import CompressedImage, Image

from glace_ros.node.ros_interface.unwatched import UNWATCHED_SUBSCRIPTION
from glace_ros.ros_messages.reading import FFMPEG_PACKET, FOXGLOVE_VIDEO, image_stamp_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.subscription import Subscription

SILENCE_S = 5.0  # discovery takes up to 3 s
COMPRESSED = "/compressed"
MESSAGES = {"raw": Image, "compressed": CompressedImage}
VIDEOS = {"ffmpeg": FFMPEG_PACKET, "foxglove": FOXGLOVE_VIDEO}
"""Transports of image_transport's plugins, whose messages may not be installed."""
SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
IMAGE_QOS = {
    "sensor_data": SENSOR_QOS,
    "reliable": QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE),
}
VIDEO_DEPTH = 60
"""Of a video each packet counts, those of two seconds while the node is busy."""


class WatchedTopic:
    """A subscription, from `start` to `stop`, that counts its messages.

    node: that subscribes.
    message_type: its class.
    topic: before remapping; the attribute: its full name, after it.
    qos: of the subscription.
    callback: called with each message.
    received: how many messages have come.
    """

    def __init__(
        self,
        node: Node,
        message_type: Any,
        topic: str,
        qos: QoSProfile,
        callback: Callable[[Any], None],
    ) -> None:
        self._node, self._message_type = node, message_type
        self._type_name = "/msg/".join(
            [message_type.__module__.split(".", 1)[0], message_type.__name__]
        )
        self._qos = qos
        self._name, self._callback = topic, callback
        self._last_s = time.monotonic()  # of arrival; at first: since when we listen
        self.received = 0
        self.topic: str = node.resolve_topic_name(topic)
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Listens."""
        if self._subscription is None:
            self._last_s = time.monotonic()
            self._subscription = self._node.create_subscription(
                self._message_type, self._name, self._on_message, self._qos,
                event_callbacks=UNWATCHED_SUBSCRIPTION,
            )  # fmt: skip

    def stop(self) -> None:
        """Listens no more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come for SILENCE_S."""
        return time.monotonic() - self._last_s >= SILENCE_S

    def problem(self) -> str | None:
        """A sentence where nothing has come for SILENCE_S; None where all is well."""
        if not self.is_silent:
            return None
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            return f"Nothing is published on {self.topic}: start its publisher or remap the topic."
        for publisher in publishers:
            if publisher.topic_type != self._type_name:
                return (
                    f"{self.topic} is published as {publisher.topic_type}, "
                    f"but {self._type_name} is expected."
                )
            compatibility, reason = qos_check_compatible(publisher.qos_profile, self._qos)
            if compatibility == QoSCompatibility.ERROR:
                return (
                    f"The QoS of {self.topic} does not match its publisher's "
                    f"({reason.strip(' ;')}): nothing will come; "
                    "for images, image_qos:=sensor_data takes any."
                )
        return (
            f"Nothing has come on {self.topic} for {SILENCE_S:g} s, although it has "
            f"{len(publishers)} publisher{'s' * (len(publishers) > 1)}: is it running, and on "
            "this machine is the shared-memory segment large enough for its messages?"
        )

    def _on_message(self, message: Any) -> None:
        self.received += 1
        self._last_s = time.monotonic()
        self._callback(message)


class ImageInput:
    """An image topic, raw, compressed or a video; with the transport auto, the one of the first two
    that is published.

    As long as auto finds neither, it listens to both, so that tools show where images are expected,
    and the first one is not missed. It lets go of the other as soon as it can: image_transport
    compresses for as long as somebody listens. Like there, the compressed topic is the remapped raw
    one with /compressed added.

    node: that listens, from `start` to `stop`.
    name: of the topic before remapping.
    transport: the parameter image_transport.
    qos_name: the parameter image_qos.
    callback: called with each image message and the topic that it came on.
    received: how many images have come; one that comes on both topics counts once.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        transport: str,
        qos_name: str,
        callback: Callable[[Any, str], None],
    ) -> None:
        self._node, self._name, self._callback = node, name, callback
        topics = _image_topics(node, name)
        if transport == "auto" and topics["raw"].endswith(COMPRESSED):
            transport = "compressed"
        self._transports = list(MESSAGES) if transport == "auto" else [transport]
        self._topics = topics
        qos = IMAGE_QOS[qos_name]
        if transport in VIDEOS:
            qos = QoSProfile(depth=VIDEO_DEPTH, reliability=qos.reliability)
        types = {each: _message_type(each) for each in self._transports}
        self._watched = {
            each: WatchedTopic(node, of_type, topics[each], qos, partial(self._on_message, each))
            for each, of_type in types.items()
            if of_type is not None
        }
        self._heard: list[str] = []  # transports that are listened to
        self._came_compressed: set[int] = set()  # exposures, while both were
        self.received = 0

    def start(self) -> None:
        """Listens; with the transport auto to both topics, until `choose` finds one."""
        if not self._heard:
            self._listen(self._transports)

    def stop(self) -> None:
        """Listens no more."""
        self._listen([])

    @property
    def topic(self) -> str:
        """What is listened to, after remapping: one topic, or "/image or /image/compressed"."""
        return " or ".join(self._topics[each] for each in self._heard or self._transports)

    def choose(self) -> None:
        """To be called again and again. With the transport auto: listens to the topic that is
        published, for as long as it is; raw comes first. To both where neither is.
        """
        if len(self._transports) == 1 or not self._heard:
            return
        published = [
            each
            for each, watched in self._watched.items()
            if self._node.get_publishers_info_by_topic(watched.topic)
        ]
        if len(self._heard) > 1 or self._heard[0] not in published:
            self._listen(published[:1] or self._transports)

    def problem(self) -> str | None:
        """As WatchedTopic.problem."""
        if not self._watched:
            return _not_installed(self._transports[0])
        heard = [self._watched[each] for each in self._heard]
        if len(heard) == 1:
            return heard[0].problem()
        if not all(watched.is_silent for watched in heard):
            return None
        for transport in VIDEOS:
            if self._node.get_publishers_info_by_topic(self._topics[transport]):
                return (
                    f"Nothing is published on {self.topic}, but a video on "
                    f"{self._topics[transport]}: set image_transport:={transport}."
                )
        return (
            f"Nothing is published on {self.topic}: start the camera or remap the topic "
            f"`{self._name}`."
        )

    def _listen(self, transports: list[str]) -> None:
        if len(transports) > len(self._heard):
            self._came_compressed.clear()
        self._heard = transports
        for each, watched in self._watched.items():
            if each in transports:
                watched.start()
            else:
                watched.stop()

    def _on_message(self, transport: str, message: Any) -> None:
        stamp_ns, to_both = image_stamp_ns(message), len(self._heard) > 1
        if transport == "raw":
            if to_both:
                self._listen(["raw"])
            if stamp_ns in self._came_compressed:
                self._came_compressed.remove(stamp_ns)  # the same image again
                return
        elif to_both:
            self._came_compressed.add(stamp_ns)
        self.received += 1
        self._callback(message, self._topics[transport])


def _image_topics(node: Node, name: str) -> dict[str, str]:
    """Full names by transport. A remapping of `NAME/compressed` itself counts too."""
    raw = node.resolve_topic_name(name)
    compressed = node.resolve_topic_name(name + COMPRESSED)
    if compressed == node.resolve_topic_name(name, only_expand=True) + COMPRESSED:
        compressed = raw.removesuffix(COMPRESSED) + COMPRESSED
    videos = {each: f"{raw.removesuffix('/' + each)}/{each}" for each in VIDEOS}
    return {"raw": raw, "compressed": compressed, **videos}


def _message_type(transport: str) -> Any | None:
    """The class; None where it is not installed."""
    if transport in MESSAGES:
        return MESSAGES[transport]
    package, _, name = VIDEOS[transport].split("/")
    try:
        return getattr(import_module(f"{package}.msg"), name)
    except ImportError:
        return None


def _not_installed(transport: str) -> str:
    package = VIDEOS[transport].split("/")[0]
    return (
        f"image_transport is {transport}, but its messages are not installed: install "
        f"{package} (apt: ros-$ROS_DISTRO-{package.replace('_', '-')})."
    )
