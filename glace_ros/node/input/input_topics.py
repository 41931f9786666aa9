"""Subscriptions that notice when nothing comes, and can say why by the topic's name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.qos import (
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from sensor_msgs.msg import CompressedImage, Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.subscription import Subscription

SILENCE_S = 5.0  # discovery takes up to 3 s
COMPRESSED = "/compressed"
SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
IMAGE_QOS = {
    "sensor_data": SENSOR_QOS,
    "reliable": QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE),
}


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
                self._message_type, self._name, self._on_message, self._qos
            )

    def stop(self) -> None:
        """Listens no more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def problem(self) -> str | None:
        """A sentence where nothing has come for SILENCE_S; None where all is well."""
        if time.monotonic() - self._last_s < SILENCE_S:
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
    """An image topic, raw or compressed; with the transport auto, the one that is published.

    Like image_transport, the compressed topic is the remapped raw one with /compressed added.

    node: that listens, from `start` to `stop`.
    name: of the topic before remapping.
    transport: the parameter image_transport.
    qos_name: the parameter image_qos.
    callback: called with each image message.
    topic: what is listened to; before auto has found one, the raw topic.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        transport: str,
        qos_name: str,
        callback: Callable[[Any], None],
    ) -> None:
        self._node, self._name = node, name
        self._qos = IMAGE_QOS[qos_name]
        self._callback = callback
        self._since_s = time.monotonic()
        self._watched: WatchedTopic | None = None
        self._topics = _image_topics(node, name)
        self.topic = self._topics["raw"]
        if transport == "auto" and self.topic.endswith(COMPRESSED):
            transport = "compressed"
        self._transport, self._auto = transport, transport == "auto"

    def start(self) -> None:
        """Listens; with the transport auto, `choose` does."""
        self._since_s = time.monotonic()
        if not self._auto and self._watched is None:
            self._listen(self._transport)

    def stop(self) -> None:
        """Listens no more."""
        if self._watched is not None:
            self._watched.stop()

    @property
    def received(self) -> int:
        """How many images have come."""
        return 0 if self._watched is None else self._watched.received

    def choose(self) -> None:
        """With the transport auto: listens to the topic that is published, until images come."""
        if not self._auto or self.received:
            return
        published = [
            transport
            for transport, topic in self._topics.items()
            if self._node.get_publishers_info_by_topic(topic)
        ]
        listening = self._watched is not None
        if published and not (listening and self.topic in map(self._topics.get, published)):
            self._listen(published[0])

    def problem(self) -> str | None:
        """As WatchedTopic.problem."""
        if self._watched is not None:
            return self._watched.problem()
        if time.monotonic() - self._since_s < SILENCE_S:
            return None
        topics = " or ".join(self._topics.values())
        return (
            f"Nothing is published on {topics}: start the camera or remap the topic `{self._name}`."
        )

    def _listen(self, transport: str) -> None:
        self.stop()
        self.topic = self._topics[transport]
        message_type = Image if transport == "raw" else CompressedImage
        self._watched = WatchedTopic(
            self._node, message_type, self.topic, self._qos, self._callback
        )
        self._watched.start()


def _image_topics(node: Node, name: str) -> dict[str, str]:
    """Full names by transport. A remapping of `NAME/compressed` itself counts too."""
    raw = node.resolve_topic_name(name)
    compressed = node.resolve_topic_name(name + COMPRESSED)
    if compressed == node.resolve_topic_name(name, only_expand=True) + COMPRESSED:
        compressed = raw.removesuffix(COMPRESSED) + COMPRESSED
    return {"raw": raw, "compressed": compressed}
