"""A localizer that fails: one image, many in a row for a while, and for good."""

from __future__ import annotations

import time
from threading import Event
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from glace_ros.msg import LocalizationStatus
from lifecycle_msgs.msg import Transition
from support.fake_localizer_process import BREAK, FULL, HANG, RAISE, REJECT
from support.robot import NodeProcess, Robot
from support.waiting import let_pass, wait_until

from glace_ros.device import still_computes
from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.geometry.pose import Pose
from glace_ros.node.localizing.base_locator import ImageRejected
from glace_ros.node.localizing.localizer_failures import (
    ERROR_AFTER,
    LOST_S,
    RETRY_S,
    STUCK_S,
    BrokenDeviceError,
    LocalizerFailures,
    in_one_line,
)
from glace_ros.node.localizing.localizing_thread import TICKS_A_S, ImageJob, LocalizingThread
from glace_ros.node.ros_interface.parameters import LocalizeParameters
from glace_ros.rejection import Rejection, RejectionCode

MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)
FULL_SENTENCE = "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB."
BROKEN_SENTENCE = (
    "RuntimeError: CUDA error: device-side assert triggered "
    "(the GPU is lost to this process: it must be started again)"
)


@pytest.fixture
def said():
    return []


@pytest.fixture
def failures(said):
    log = SimpleNamespace(
        **{
            level: lambda line, level=level: said.append((level, line))
            for level in ("info", "error", "fatal")
        }
    )
    return LocalizerFailures(log, "holding map->odom")


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_only_failures_in_a_row_are_an_error_and_one_good_image_ends_it(failures, said):
    bug = raised(RuntimeError("a bug"))
    for _ in range(ERROR_AFTER - 1):
        failures.failed(bug, lambda: True)
    failures.passed()
    for _ in range(ERROR_AFTER - 1):
        failures.failed(bug, lambda: True)
    assert failures.problem is None
    assert not any("ERROR" in line for _, line in said)
    for _ in range(10):
        failures.failed(bug, lambda: True)
        assert failures.problem == "RuntimeError: a bug"
    assert [line for _, line in said if "ERROR" in line] == [
        "ERROR: the localizer has failed on 5 images in a row (RuntimeError: a bug); "
        "holding map->odom, trying again every 2 s"
    ]
    assert sum("Traceback" in line for _, line in said) == 1
    failures.passed()
    assert failures.problem is None
    level, line = said[-1]
    assert level == "info"
    assert line.startswith("The localizer works again, after ")
    assert line.endswith(" s and 14 failures.")


def test_a_broken_device_is_an_error_at_once_and_for_good(failures, said):
    failures.failed(
        raised(RuntimeError("CUDA error: illegal memory access\nadvice")), lambda: False
    )
    assert failures.broken
    assert failures.problem.startswith("RuntimeError: CUDA error: illegal memory access (the GPU")
    failures.passed()
    failures.failed(raised(RuntimeError("another")), lambda: False)
    assert failures.broken
    assert failures.problem.startswith("RuntimeError: CUDA error: illegal memory access (the GPU")
    assert [level for level, _ in said].count("fatal") == 1


def test_a_call_that_hangs_is_an_error_until_it_returns_and_then_for_good(failures, said):
    failures.stuck(10, lost=False)
    assert failures.problem == "the localizer has been working on one image for 10 s"
    assert said == [("error", f"ERROR: {failures.problem}; holding map->odom")]
    failures.passed()
    assert failures.problem is None
    assert said[-1][1].startswith("The localizer works again, after 10.")
    failures.stuck(10, lost=False)
    failures.stuck(60, lost=True)
    failures.passed()
    assert failures.broken
    assert failures.problem.endswith("on one image for 60 s: this process must be started again")


@pytest.fixture
def localizing(said):
    """A thread whose images take until they are set free."""
    log = SimpleNamespace(error=said.append, fatal=said.append, info=said.append)
    node = SimpleNamespace(get_logger=lambda: log, context=SimpleNamespace(ok=lambda: True))
    thread = LocalizingThread(node, LocalizeParameters(max_rate=100.0), time.time_ns, print)
    thread.start()
    return thread


class WaitingLocator:
    """As BaseLocator; begun, free: of the image."""

    def __init__(self):
        self.begun, self.free = Event(), Event()

    def locate(self, image, now_ns, *, tracking):
        self.begun.set()
        assert self.free.wait(40.0)
        raise ImageRejected(Rejection(RejectionCode.NO_FRAME_ID))


def offer_image(localizing):
    locator = WaitingLocator()
    run = SimpleNamespace(reject=lambda *_: None, is_tracking=lambda _: False)
    image = SimpleNamespace(camera="", stamp_ns=0)
    localizing.offer(ImageJob(run, None, locator, image))
    assert locator.begun.wait(40.0)
    return locator


def test_the_thread_is_stuck_after_so_many_ticks_on_one_image(localizing):
    for _ in range(3):  # images that take long, but each is another one
        locator = offer_image(localizing)
        for _ in range(STUCK_S * TICKS_A_S):
            assert not localizing.watch()
        locator.free.set()
        wait_until(lambda: not localizing.is_busy)
    assert not any(localizing.watch() for _ in range(2 * STUCK_S * TICKS_A_S))  # none is there
    assert localizing.failures.problem is None

    locator = offer_image(localizing)
    heard = [localizing.watch() for _ in range(1 + LOST_S * TICKS_A_S)]
    assert [tick for tick, changed in enumerate(heard) if changed] == [
        STUCK_S * TICKS_A_S, LOST_S * TICKS_A_S
    ]  # fmt: skip
    assert localizing.failures.broken
    localizing.stop()  # does not wait for the image
    locator.free.set()


@pytest.mark.parametrize("ctrl_c", [False, True])
def test_who_stops_the_thread_does_not_wait_for_ever(localizing, monkeypatch, ctrl_c):
    name = "LAST_IMAGE_S" if ctrl_c else "STUCK_S"
    monkeypatch.setattr(f"glace_ros.node.localizing.localizing_thread.{name}", 0.2)
    localizing._node.context.ok = lambda: not ctrl_c
    locator = offer_image(localizing)
    begun_s = time.monotonic()
    localizing.stop()
    assert 0.2 <= time.monotonic() - begun_s < 5.0  # 10 s, were it not looked at
    assert localizing.is_busy
    locator.free.set()


def test_an_exception_is_one_line_of_bounded_length():
    assert in_one_line(ValueError()) == "ValueError()"
    assert in_one_line(RuntimeError("\n\n  first \nsecond")) == "RuntimeError: first"
    assert len(in_one_line(RuntimeError("x" * 10_000))) == 300


def test_a_device_is_asked_whether_it_still_computes(monkeypatch):
    assert still_computes(torch.device("cpu"))
    answers = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: answers.append(device))
    gpu = torch.device("cuda", 1)
    assert still_computes(gpu)
    assert answers == [gpu]

    def broken(_):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    assert not still_computes(gpu)


def test_the_message_knows_the_state():
    for state in LocalizationState:
        assert getattr(LocalizationStatus, state.name) == int(state)


# --- in a real process ---


def drive_until(robot, condition, what=None):
    deadline = time.monotonic() + 40.0
    while not condition():
        assert time.monotonic() < deadline
        robot.drive(MAP_FROM_ODOM, 0.3, *([] if what is None else [what]))


def is_error(robot):
    return bool(robot.statuses) and robot.statuses[-1].state == LocalizationStatus.ERROR


@pytest.mark.ros
def test_a_full_gpu_is_an_error_state_until_there_is_room_again(live):
    robot, node = live
    robot.activate(tf_on_lost="stop", degraded_timeout=60.0, lost_timeout=60.0)
    robot.publish_static()
    drive_until(robot, lambda: robot.transforms)
    drive_until(robot, lambda: is_error(robot), FULL)
    node.wait_for(
        f"ERROR: the localizer has failed on 5 images in a row ({FULL_SENTENCE}); "
        "stopping map->odom, trying again every 2 s"
    )
    robot.statuses.clear()
    robot.diagnostics.clear()
    let_pass(0.3, "what was sent before may still be on its way")
    robot.transforms.clear()
    began_s = time.monotonic()
    robot.drive(MAP_FROM_ODOM, 3.0 * RETRY_S, FULL)
    assert robot.transforms == []  # as when LOST
    assert all(status.state == LocalizationStatus.ERROR for status in robot.statuses)
    assert {status.rejection_reason for status in robot.statuses} == {FULL_SENTENCE}
    looked_at = {(s.image_stamp.sec, s.image_stamp.nanosec) for s in robot.statuses}
    assert 2 <= len(looked_at) <= 2 + (time.monotonic() - began_s) / RETRY_S
    tasks = {t.name.split(": ")[1]: t for t in robot.diagnostics[-1].status}
    assert tasks["localization"].message == f"ERROR. {FULL_SENTENCE}"
    assert (tasks["localization"].level, tasks["inference"].level) == (b"\x02", b"\x02")
    assert node.log().count("ERROR: the localizer") == 1
    assert node.log().count("Traceback") == 1

    robot.poses.clear()
    drive_until(robot, lambda: "The localizer works again, after " in node.log())
    wait_until(lambda: robot.poses and robot.transforms)
    drive_until(robot, lambda: robot.statuses[-1].state == LocalizationStatus.TRACKING)


@pytest.mark.ros
def test_an_image_that_is_only_rejected_ends_the_error_too(live):
    robot, node = live
    robot.activate()
    robot.publish_static()
    drive_until(robot, lambda: is_error(robot), RAISE)
    drive_until(robot, lambda: not is_error(robot), REJECT)
    assert robot.statuses[-1].state == LocalizationStatus.UNLOCALIZED
    node.wait_for("The localizer works again, after ")


@pytest.fixture
def robot_and_node(ros_domain_id, tmp_path):
    node = NodeProcess(tmp_path, "--ros-args", "-p", "autostart:=true")
    robot = Robot(ros_domain_id)
    robot.wait_for_node()
    yield robot, node
    robot.close()
    node.close()


@pytest.mark.ros
def test_a_broken_gpu_ends_the_bond_and_the_process(robot_and_node):
    """So that Nav2's manager and a launch file's use_respawn notice."""
    pytest.importorskip("bond.msg", reason="the messages of bond are not built")
    from support.lifecycle_manager import ManagerEnd

    robot, node = robot_and_node
    manager = ManagerEnd(robot)
    robot.wait_for_listeners()
    robot.publish_static()
    drive_until(robot, lambda: robot.transforms)
    wait_until(lambda: manager.beats() >= 5)
    drive_until(robot, lambda: node.process.poll() is not None, BREAK)
    assert node.process.wait(40.0) == BrokenDeviceError.exit_code == 7
    assert manager.is_broken()  # with a goodbye: nobody has to wait for silence
    assert is_error(robot)
    assert robot.statuses[-1].rejection_reason == BROKEN_SENTENCE
    assert robot.diagnostics[-1].status[0].message == f"ERROR. {BROKEN_SENTENCE}"
    assert node.log().count(f"ERROR: {BROKEN_SENTENCE}") == 1
    assert node.log().count("Traceback") == 1  # of the failure itself


@pytest.mark.ros
def test_a_gpu_call_that_hangs_is_an_error_and_then_the_end(robot, start):
    """The node goes on answering, and neither deactivate nor the exit waits for the call."""
    node = start()
    for transition in (Transition.TRANSITION_DEACTIVATE, None):
        robot.activate(map="/maps/impatient.glace")
        robot.publish_static()
        drive_until(robot, lambda: robot.poses)
        drive_until(robot, lambda: is_error(robot), HANG)
        sentence = robot.statuses[-1].rejection_reason
        assert sentence == "the localizer has been working on one image for 1 s"
        node.wait_for(f"ERROR: {sentence}; holding map->odom")
        assert robot.state() == "active"
        if transition is not None:
            assert robot.transition(transition)
    assert node.process.wait(40.0) == BrokenDeviceError.exit_code
    node.wait_for("working on one image for 6 s: this process must be started again")


@pytest.mark.ros
def test_neither_deactivate_nor_ctrl_c_waits_for_a_call_that_hangs(robot, start):
    """Before anybody has noticed that it does."""
    node = start()
    robot.activate(map="/maps/impatient.glace")
    for end in (lambda: robot.transition(Transition.TRANSITION_DEACTIVATE), node.interrupt):
        if robot.state() == "inactive":
            assert robot.transition(Transition.TRANSITION_ACTIVATE)
            robot.wait_for_listeners()
        robot.publish_static()
        robot.poses.clear()
        drive_until(robot, lambda: robot.poses)
        drive_until(robot, lambda: "hangs" in node.log(), HANG)
        node.forget_log()
        code = end()
        assert code in (True, 0), code
    assert "Traceback" not in node.log()
