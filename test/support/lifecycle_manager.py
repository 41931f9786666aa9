"""What Nav2's lifecycle manager does: its end of the bond, and the transitions that it asks for."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

import rclpy
from bond.msg import Status
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from support.waiting import wait_until

PERIOD_S = 0.1
# by the manager's name for them: the transition's id, and the state that it leads to
TRANSITIONS = {
    "configure": (1, "inactive"),
    "cleanup": (2, "unconfigured"),
    "activate": (3, "active"),
    "deactivate": (4, "inactive"),
    "shutdown": (5, "finalized"),
}


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


class LifecycleManager:
    """Does with the node what Nav2's lifecycle manager does, with its times (read of Nav2 1.3.13).

    Its answer to a broken bond is a hard reset, after which it looks every second whether the node
    is there, for 10 s, and starts it up again. It waits for the answer to a transition without any
    limit: a node that gives none hangs it for good, and the test with it.

    domain_id: of the graph that it shares with the node alone.
    bond_timeout_s: as its parameter bond_timeout.
    active: whether it takes the node for active.
    """

    LOOK_S, RESPAWN_LOOK_S, RESPAWN_S = 0.2, 1.0, 10.0

    def __init__(self, domain_id: int, bond_timeout_s: float = 4.0) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self.node = rclpy.create_node("lifecycle_manager", context=self._context)
        self._change = self.node.create_client(ChangeState, "glace_localizer/change_state")
        self._get = self.node.create_client(GetState, "glace_localizer/get_state")
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._bond_timeout_s = bond_timeout_s
        self._bond: ManagerEnd | None = None
        self._watching = self.active = self._closed = False
        self._respawned_s: float | None = None  # since when it looks for the node
        self._commands: Queue[tuple[Callable[[], bool], list[bool], Event]] = Queue()
        self._threads = [
            Thread(target=work, daemon=True) for work in (self._executor.spin, self._work)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._closed = True
        self._executor.shutdown()
        for thread in self._threads:
            thread.join()
        self.node.destroy_node()
        self._context.shutdown()

    def command(self, name: str) -> bool:
        """startup, configure, cleanup, reset, pause, resume or shutdown, as Nav2's
        ManageLifecycleNodes has them; whether it succeeded.
        """
        succeeded: list[bool] = []
        done = Event()
        self._commands.put((getattr(self, f"_{name}"), succeeded, done))
        assert done.wait(90.0), f"'{name}' hangs: the node has not answered"
        return succeeded[0]

    def node_state(self) -> str:
        """Asked of the node, beside what the manager does."""
        return wait_until(self._state_or_none)

    def _state_or_none(self) -> str | None:
        with suppress(TimeoutError):
            return self._state()
        return None

    def _work(self) -> None:
        """One thing after the other, as in its callback group."""
        while not self._closed:
            try:
                action, succeeded, done = self._commands.get(timeout=self.LOOK_S)
            except Empty:
                self._look()
            else:
                try:
                    succeeded.append(action())
                except TimeoutError:
                    succeeded.append(False)
                done.set()

    def _look(self) -> None:
        if self._watching and self.active and self._bond is not None and self._is_broken():
            self._reset(hard=True)
            self._end_bond()
            self._respawned_s = time.monotonic()
        elif self._respawned_s is not None:
            time.sleep(self.RESPAWN_LOOK_S - self.LOOK_S)
            with suppress(TimeoutError):
                self._state()
                self._respawned_s = None
                self._startup()
            if self._respawned_s and time.monotonic() - self._respawned_s > self.RESPAWN_S:
                self._respawned_s = None

    def _is_broken(self) -> bool:
        assert self._bond is not None
        return self._bond.is_broken() or self._bond.silence_s() > self._bond_timeout_s

    def _startup(self) -> bool:
        self.active = self._to("configure") and self._to("activate")
        self._watching = True
        return self.active

    def _configure(self) -> bool:
        self.active = False
        return self._to("configure")

    def _cleanup(self) -> bool:
        self.active = False
        return self._to("cleanup")

    def _resume(self) -> bool:
        self.active = self._watching = self._to("activate")
        return self.active

    def _pause(self) -> bool:
        self._watching = self.active = False
        return self._to("deactivate")

    def _reset(self, hard: bool = False) -> bool:
        """hard: goes on where a transition fails."""
        self._watching = self.active = False
        with suppress(TimeoutError):
            return (self._to("deactivate") or hard) and (self._to("cleanup") or hard)
        return hard

    def _shutdown(self) -> bool:
        self._watching = self.active = False
        for name in ("deactivate", "cleanup", "shutdown"):
            self._to(name)
        return True

    def _to(self, name: str) -> bool:
        """Asks for the transition, waits without limit, and looks what has come of it. Raises
        TimeoutError where nobody is there to be asked.
        """
        transition_id, goal = TRANSITIONS[name]
        if not self._change.wait_for_service(5.0):
            raise TimeoutError("change_state")
        request = ChangeState.Request()
        request.transition.id = transition_id
        self._answer(self._change, request, math.inf)
        if self._state() != goal:
            return False
        if name == "deactivate":
            self._end_bond()
        return name != "activate" or self._begin_bond()

    def _state(self) -> str:
        """The node's. Raises TimeoutError where it does not say within 2 s."""
        if not self._get.wait_for_service(2.0):
            raise TimeoutError("get_state")
        return str(self._answer(self._get, GetState.Request(), 2.0).current_state.label)

    def _answer(self, client: Any, request: Any, timeout_s: float) -> Any:
        future, deadline_s = client.call_async(request), time.monotonic() + timeout_s
        while not future.done():
            if self._closed or time.monotonic() > deadline_s:
                raise TimeoutError(client.srv_name)
            time.sleep(0.002)
        return future.result()

    def _begin_bond(self) -> bool:
        """It has to be formed within half of its time."""
        if self._bond is None:
            self._bond = ManagerEnd(self)
        deadline_s = time.monotonic() + 0.5 * self._bond_timeout_s
        while not self._bond.heard and time.monotonic() < deadline_s:
            time.sleep(0.01)
        return bool(self._bond.heard)

    def _end_bond(self) -> None:
        if self._bond is not None:
            self._bond.say_goodbye()
            self._bond.end()
            self._bond = None
