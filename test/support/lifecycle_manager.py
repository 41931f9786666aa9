"""The other end of the bond, which Nav2's lifecycle manager holds."""

from __future__ import annotations

import time
import uuid

from bond.msg import Status

PERIOD_S = 0.1


class ManagerEnd:
    """The manager's end of a bond, beating from construction until `end`.

    heard: (arrival in monotonic s, message) of the other end.
    """

    def __init__(self, robot, bond_id="glace_localizer"):
        self._robot, self._id, self._instance_id = robot, bond_id, str(uuid.uuid4())
        self.heard = []
        self._publisher = robot.node.create_publisher(Status, "bond", 5)
        self._subscription = robot.node.create_subscription(Status, "bond", self._on_status, 100)
        self._timer = robot.node.create_timer(PERIOD_S, lambda: self.send(active=True))

    def _on_status(self, message):
        if message.id == self._id and message.instance_id != self._instance_id:
            self.heard.append((time.monotonic(), message))

    def send(self, active):
        message = Status(id=self._id, instance_id=self._instance_id, active=active)
        self._publisher.publish(message)

    def say_goodbye(self):
        self._timer.cancel()
        self.send(active=False)

    def end(self):
        self._robot.node.destroy_timer(self._timer)
        self._robot.node.destroy_subscription(self._subscription)
        self._robot.node.destroy_publisher(self._publisher)

    def instances(self):
        return {message.instance_id for _, message in self.heard}

    def beats(self):
        return sum(message.active for _, message in self.heard)

    def is_broken(self):
        return bool(self.heard) and not self.heard[-1][1].active

    def silence_s(self):
        return time.monotonic() - self.heard[-1][0]
