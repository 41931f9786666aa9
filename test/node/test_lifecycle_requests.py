"""Whatever transition is asked for, in whatever state, by one or two: an answer, and life goes on.

The node is spun in this process, as `glace localize` spins it; what ends its spinning would end the
process. Those who ask are in a context of their own and wait for every answer.
"""

from __future__ import annotations

from functools import cache
from threading import Event, Thread

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

import rclpy
from hypothesis import given, settings
from hypothesis import strategies as st
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from support.fake_localizer_process import read
from support.waiting import wait_until

from glace_ros.commands import localize
from glace_ros.node.localizer_node import GlaceLocalizer

pytestmark = pytest.mark.ros

# of a managed node (design.ros2.org/articles/node_lifecycle.html), by the numbers and labels of
# lifecycle_msgs/msg/Transition
GOALS = {
    ("unconfigured", 1, "configure"): "inactive",
    ("inactive", 2, "cleanup"): "unconfigured",
    ("inactive", 3, "activate"): "active",
    ("active", 4, "deactivate"): "inactive",
    ("unconfigured", 5, "shutdown"): "finalized",
    ("inactive", 6, "shutdown"): "finalized",
    ("active", 7, "shutdown"): "finalized",
}
BY_NUMBER = {(state, number): goal for (state, number, _), goal in GOALS.items()}
BY_LABEL = {(state, label): goal for (state, _, label), goal in GOALS.items()}
PATHS = {"unconfigured": (), "inactive": (1,), "active": (1, 3), "finalized": (5,)}
# create, destroy, what callbacks return in between, and none at all
NUMBERS = [*range(9), 10, 11, 12, 20, 30, 40, 50, 60, 61, 62, 97, 98, 99, 255]
LABELS = ["configure", "cleanup", "activate", "deactivate", "shutdown", "create", "destroy",
          "transition_success", "transition_error", "dance"]  # fmt: skip


class Graph:
    """A node that spins, until it is ended or has died, and two who ask it."""

    def __init__(self):
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._context = Context()
        rclpy.init(context=self._context)
        self._asking = rclpy.create_node("asking", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._asking)
        self._clients = [
            self._asking.create_client(ChangeState, "glace_localizer/change_state")
            for _ in range(2)
        ]
        self._get_state = self._asking.create_client(GetState, "glace_localizer/get_state")
        self._thread = Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        self.node = None

    def start(self):
        """A new, unconfigured node in the place of the last one."""
        self._end_node()
        wait_until(lambda: not self._get_state.service_is_ready())
        self.node = GlaceLocalizer(read)
        self._ended = Event()
        self._spinning = Thread(target=self._spin, daemon=True)
        self._spinning.start()
        for client in (*self._clients, self._get_state):
            assert client.wait_for_service(40.0)

    def _spin(self):
        try:
            executor = SingleThreadedExecutor()
            executor.add_node(self.node)
            localize.spin(self.node, executor)
            executor.shutdown(timeout_sec=0)
        finally:
            self._ended.set()

    def _end_node(self):
        if self.node is not None:
            self.node.broken = True  # ends the spinning, at the next thing to do
            self._get_state.call_async(GetState.Request())
            self._spinning.join(40.0)
            self.node.release()
            self.node.destroy_node()

    def close(self):
        self._end_node()
        self._executor.shutdown()
        self._thread.join()
        self._asking.destroy_node()
        self._context.shutdown()
        rclpy.shutdown()

    def bring_to(self, state):
        if self.node is None or self.state() != state:
            self.start()
            assert self.ask(*PATHS[state]) == [True] * len(PATHS[state])

    def ask(self, *transitions, client=0):
        """The answers, to numbers or labels, asked for one after the other."""
        return [self.answer(self.send(transition, client)) for transition in transitions]

    def send(self, transition, client=0):
        request = ChangeState.Request()
        if isinstance(transition, str):
            request.transition.label = transition
        else:
            request.transition.id = transition
        return self._clients[client].call_async(request)

    def answer(self, future):
        return wait_until(lambda: self._done(future)).success

    def state(self):
        future = self._get_state.call_async(GetState.Request())
        return wait_until(lambda: self._done(future)).current_state.label

    def _done(self, future):
        assert not self._ended.is_set(), "the node has died"
        return future.done() and future.result()


@pytest.fixture(scope="module")
def graph(module_ros_domain):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(localize, "TAKE_DOWN_S", 0.0)  # which a node that is broken waits
        graph = Graph()
        yield graph
        graph.close()


@pytest.mark.parametrize("state", PATHS)
def test_every_transition_in_every_state(graph, state):
    for goals, transitions in ((BY_NUMBER, NUMBERS), (BY_LABEL, LABELS)):
        for transition in transitions:
            graph.bring_to(state)
            goal = goals.get((state, transition))
            assert graph.ask(transition) == [goal is not None], transition
            assert graph.state() == (goal or state), transition


def test_who_asks_for_what_is_impossible_finds_out_what_is_possible(graph, capfd):
    graph.bring_to("inactive")
    assert graph.ask(4, "configure") == [False, False]
    said = capfd.readouterr().err
    possible = (
        "in the state inactive, which stays. Possible: cleanup (2), activate (3), shutdown (6)."
    )
    assert f"The transition 4 is not possible {possible}" in said
    assert f"The transition configure is not possible {possible}" in said


def outcomes(state, first, second):
    """Every (answers to the first, to the second, state) that two who ask at once may find."""

    @cache
    def after(state, i, j):
        found = {((), (), state)} if (i, j) == (len(first), len(second)) else set()
        for asked, k, is_first in ((first, i, True), (second, j, False)):
            if k == len(asked):
                continue
            goal = BY_NUMBER.get((state, asked[k]))
            answer = (goal is not None,)
            for of_first, of_second, end in after(goal or state, i + is_first, j + (not is_first)):
                found.add(
                    (answer + of_first, of_second, end)
                    if is_first
                    else (of_first, answer + of_second, end)
                )
        return found

    return after(state, 0, 0)


ASKED = st.lists(st.one_of(st.integers(1, 4), st.sampled_from(NUMBERS)), max_size=5).map(tuple)


@settings(max_examples=250, deadline=None)
@given(first=ASKED, second=ASKED)
def test_two_who_ask_at_once_get_answers_that_fit_some_order(graph, first, second):
    if graph.node is None or graph.state() == "finalized":
        graph.start()
    before = graph.state()
    sent = [[graph.send(t, 0) for t in first], [graph.send(t, 1) for t in second]]
    answers = [tuple(graph.answer(future) for future in futures) for futures in sent]
    assert (*answers, graph.state()) in outcomes(before, first, second)
