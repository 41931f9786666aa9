"""The node's process under a manager that behaves as Nav2's, with the bond's times as docs/nav2.md
has them: commands, death, respawn, and Ctrl-C. What it asks for is in test_lifecycle_requests.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")
pytest.importorskip("bond.msg", reason="the messages of bond are not built: run `make setup`")

import glace_ros.msg
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from support.fake_localizer_process import BREAK, read
from support.launch_stand_in import nodes_of_launch_file
from support.lifecycle_manager import LifecycleManager
from support.robot import NodeProcess, Robot
from support.waiting import let_pass, wait_until

from glace_ros.commands import localize
from glace_ros.geometry.pose import Pose
from glace_ros.node.localizer_node import GlaceLocalizer

pytestmark = pytest.mark.ros

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "localize.launch.py"
MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)


class Respawned:
    """The node as launch runs it with use_respawn and without autostart, until `close`.

    node: the process that runs now.
    exit_codes: of those before it.
    """

    def __init__(self, folder, *arguments):
        nodes, _ = nodes_of_launch_file(LAUNCH_FILE, use_respawn="true", autostart="false")
        self._delay_s = nodes["localize"][1].options["respawn_delay"]
        self._folder, self._arguments = folder, arguments
        self.exit_codes, self._closed = [], Event()
        self.node = NodeProcess(folder, *arguments)
        self._thread = Thread(target=self._respawn)
        self._thread.start()

    def _respawn(self):
        while True:
            code = self.node.process.wait()
            self.exit_codes.append(code)
            if self._closed.wait(self._delay_s):
                return
            self.node = NodeProcess(self._folder, *self._arguments)

    def close(self):
        self._closed.set()
        while self._thread.is_alive():  # it may be about to start another one
            self.node.close()
            self._thread.join(0.1)


@pytest.fixture
def launched(tmp_path, ros_domain_id):
    launched = Respawned(tmp_path)
    yield launched
    launched.close()


@pytest.fixture
def manager(launched, ros_domain_id):
    """With Nav2's own bond_timeout, and the profile that docs/nav2.md asks for (conftest.py).

    Without that a busy machine finds the successor of a killed node too late: the manager hangs.
    """
    manager = LifecycleManager(ros_domain_id)
    yield manager
    manager.close()


# (command, whether it succeeds, the node's state after it). To Nav2 1.3 a transition has succeeded
# when it was answered, however, and the state is the one that it leads to.
COMMANDS = (
    ("startup", True, "active"),
    ("startup", False, "active"),  # configure on an active node
    ("resume", True, "active"),
    ("cleanup", False, "active"),
    ("pause", True, "inactive"),
    ("pause", True, "inactive"),
    ("configure", True, "inactive"),
    ("reset", True, "unconfigured"),  # deactivate on an inactive node
    ("reset", False, "unconfigured"),  # and on one that is unconfigured
    ("reset", False, "unconfigured"),
    ("resume", False, "unconfigured"),
    ("pause", False, "unconfigured"),
    ("cleanup", True, "unconfigured"),
    ("configure", True, "inactive"),
    ("resume", True, "active"),
    ("reset", True, "unconfigured"),
    ("startup", True, "active"),
    ("shutdown", True, "finalized"),
    ("startup", False, "finalized"),
    ("reset", False, "finalized"),
    ("shutdown", True, "finalized"),
)


def test_every_command_is_answered_in_every_state(manager, launched):
    for i, (command, succeeds, state) in enumerate(COMMANDS):
        assert manager.command(command) == succeeds, (i, command)
        assert manager.node_state() == state, (i, command)
    assert launched.exit_codes == []
    assert "Traceback" not in launched.node.log()
    assert launched.node.interrupt() == 0


def test_a_node_that_was_active_already_is_told_apart_and_lives(tmp_path, ros_domain_id):
    """The manager beside autostart:=true."""
    node, manager = NodeProcess(tmp_path, "--map", "a.glace"), LifecycleManager(ros_domain_id)
    try:
        wait_until(lambda: manager.node_state() == "active")
        assert not manager.command("startup")
        assert manager.node_state() == "active"
        node.wait_for("The transition 1 is not possible in the state active, which stays.")
    finally:
        manager.close()
        node.close()


def kill(manager, launched):
    """kill -9 of the node; seconds until the manager has it active again."""
    before = len(launched.exit_codes)
    begun_s = time.monotonic()
    launched.node.process.kill()
    wait_until(lambda: not manager.active)
    wait_until(lambda: manager.active, 60.0)
    assert launched.exit_codes[before:] == [-signal.SIGKILL]
    return time.monotonic() - begun_s


def test_a_killed_node_is_active_again(manager, launched):
    assert manager.command("startup")
    kill(manager, launched)
    assert manager.node_state() == "active"


@pytest.mark.slow
def test_a_node_that_is_killed_five_times_is_active_again_each_time(manager, launched):
    assert manager.command("startup")
    took_s = [kill(manager, launched) for _ in range(5)]
    print("active again after", " ".join(f"{s:.1f}" for s in sorted(took_s)), "s")


def test_a_node_whose_gpu_is_gone_is_taken_down_and_active_again(manager, launched, ros_domain_id):
    robot = Robot(ros_domain_id)
    try:
        assert manager.command("startup")
        robot.wait_for_listeners()
        robot.publish_static()
        robot.drive(MAP_FROM_ODOM, 1.0, what=BREAK)
        wait_until(lambda: launched.exit_codes == [7])
        wait_until(lambda: manager.active, 60.0)
        assert manager.node_state() == "active"
        robot.wait_for_listeners()
        robot.poses.clear()
        robot.drive(MAP_FROM_ODOM, 1.0)
        wait_until(lambda: robot.poses)
    finally:
        robot.close()


def test_a_broken_node_that_nobody_takes_down_ends_all_the_same(tmp_path, ros_domain_id):
    node, robot = NodeProcess(tmp_path, "--map", "a.glace"), Robot(ros_domain_id)
    try:
        robot.wait_for_node()
        robot.wait_for_listeners()
        robot.publish_static()
        robot.drive(MAP_FROM_ODOM, 1.0, what=BREAK)
        assert node.process.wait(40.0) == 7
        wait_until(lambda: not robot.get_state.service_is_ready())  # no ghost of it answers never
    finally:
        robot.close()
        node.close()


def test_a_node_that_stands_still_for_7_s_is_active_again(manager, launched):
    assert manager.command("startup")
    launched.node.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: not manager.active)  # after 4 s of silence; it asks, and waits
    let_pass(2.5, "the manager's question is on its way to a process that stands still")
    launched.node.process.send_signal(signal.SIGCONT)
    wait_until(lambda: manager.active, 60.0)
    assert manager.node_state() == "active"
    assert launched.exit_codes == []


def test_a_context_that_ends_without_a_word_ends_the_spinning():
    """As of a signal whose handler wakes the executor first, and ends the context then."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node, executor = GlaceLocalizer(read), SingleThreadedExecutor()
    try:
        executor.add_node(node)
        spinning = Thread(target=localize.spin, args=(node, executor), daemon=True)
        spinning.start()
        let_pass(0.3, "it sleeps, as nothing wakes an unconfigured node")
        with node.context.handle:
            node.context.handle.shutdown()
        spinning.join(20.0)
        assert not spinning.is_alive()
    finally:
        executor.shutdown(timeout_sec=0)
        node.destroy_node()
        rclpy.try_shutdown()


# --- Ctrl-C, of what `ros2 run` and `ros2 launch` start ---


# after `env` has blocked signals, which is its first act; the first 0.5 s more closely: Python
# starts, twice with PyPI's wheels, then what we import
MOMENTS_S = (0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0)


def blocks_signals(pid):
    """Whether a process that was just begun holds SIGINT back, or has a handler for it."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = (
        int(line.split()[1], 16) for line in status.splitlines() if line[:6] in ("SigBlk", "SigCgt")
    )
    return any(mask & 1 << signal.SIGINT - 1 for mask in masks)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_ends_it_cleanly(number, ros_domain_id, tmp_path):
    installed = Path(glace_ros.msg.__file__).parents[4]  # PREFIX/lib, above python3.x/site-packages
    localize = installed / "glace_ros" / "localize"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for moment_s in MOMENTS_S:
        process = subprocess.Popen(
            [localize], env=dict(os.environ, ROS_HOME=str(tmp_path), PATH=path),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(lambda pid=process.pid: blocks_signals(pid))
            let_pass(moment_s, "any moment will do")
            os.killpg(process.pid, number)
            said = process.communicate(timeout=40.0)[0]
        finally:
            process.kill()
        assert process.returncode == 0, (moment_s, said)
        assert "Traceback" not in said, (moment_s, said)
