"""Topics that rclpy does not watch for other nodes' QoS.

It would watch each by two more things that the executor goes through, in Python, whenever a message
of any topic comes: with 18 topics over half of its work, while an image waits for the interpreter.
What we publish fits whoever listens, or they are told; of images we say it ourselves.
"""

from __future__ import annotations

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks

UNWATCHED_PUBLISHER = PublisherEventCallbacks(use_default_callbacks=False)
UNWATCHED_SUBSCRIPTION = SubscriptionEventCallbacks(use_default_callbacks=False)
