"""The bond between the live node and a lifecycle manager, here played as Nav2's manager does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.lifecycle_manager import ManagerEnd

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")
pytest.importorskip("bond.msg", reason="the messages of bond are not built: run `make setup`")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from support.fake_localizer_process import SLEEP
from support.robot import NodeProcess, Robot, odometry_at
from support.waiting import holds, let_pass, wait_until

from glace_ros.geometry.pose import Pose

pytestmark = pytest.mark.ros

MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)


@pytest.fixture  # for one test alone, which kills it or needs it fresh
def node(tmp_path, ros_domain_id, request):
    node = NodeProcess(tmp_path, *getattr(request, "param", ()))
    yield node
    node.close()


@pytest.fixture
def robot(node, ros_domain_id):
    robot = Robot(ros_domain_id)
    robot.wait_for_node()
    yield robot
    robot.close()


def test_a_bond_is_formed_and_broken_in_two_rounds_of_the_lifecycle(robot, node):
    instances = []
    for _ in range(2):
        manager = ManagerEnd(robot)
        assert robot.transition(Transition.TRANSITION_CONFIGURE)
        assert holds(lambda m=manager: m.heard == [], 0.5)  # inactive
        assert robot.transition(Transition.TRANSITION_ACTIVATE)
        wait_until(lambda m=manager: m.beats() >= 5)
        message = manager.heard[-1][1]
        assert message.heartbeat_period == pytest.approx(0.1)
        assert message.heartbeat_timeout == pytest.approx(4.0)
        node.wait_for("Bond formed with the lifecycle manager.")
        assert robot.transition(Transition.TRANSITION_DEACTIVATE)
        wait_until(manager.is_broken)
        assert holds(manager.is_broken, 0.5)  # and no heartbeat comes after it
        assert robot.transition(Transition.TRANSITION_CLEANUP)
        assert len(manager.instances()) == 1
        instances += manager.instances()
        manager.end()
        node.forget_log()
    assert len(set(instances)) == 2
    assert node.interrupt() == 0
    assert "Traceback" not in node.log()


def test_heartbeats_go_on_during_a_slow_inference_and_a_deactivation_is_said_at_once(live):
    robot, node = live
    manager = ManagerEnd(robot)
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    stamp_ns = robot.now_ns()
    for odometry_ns in (stamp_ns - 1, stamp_ns + 1):
        robot.publish_odometry(odometry_ns, odometry_at(odometry_ns))
    robot.publish_image(stamp_ns, MAP_FROM_ODOM @ odometry_at(stamp_ns), SLEEP)  # 3 s
    node.wait_for_sleep()
    before, poses = manager.beats(), len(robot.poses)
    wait_until(lambda: manager.beats() - before >= 5, 1.0)  # 10 Hz
    deactivation = robot.change_state.call_async(_request(Transition.TRANSITION_DEACTIVATE))
    wait_until(manager.is_broken)
    assert not deactivation.done()  # it waits for the image
    assert len(robot.poses) == poses  # so the image has slept all the time
    assert wait_until(lambda: deactivation.done() and deactivation.result()).success


def _request(transition_id):
    request = ChangeState.Request()
    request.transition.id = transition_id
    return request


@pytest.mark.parametrize("node", [("--ros-args", "-p", "use_sim_time:=true")], indirect=True)
def test_heartbeats_come_while_a_simulation_has_not_begun(robot, node):
    manager = ManagerEnd(robot)
    robot.activate()  # nothing is on /clock
    wait_until(lambda: manager.beats() >= 5)


CTRL_C_WHILE_A_HEARTBEAT_IS_SENT = """
import sys
import rclpy
sys.argv[1:] = ["--ros-args", "-p", "autostart:=true"]
from support import fake_localizer_process
from glace_ros.node import lifecycle_bond
from glace_ros.commands.localize import main
beat = lifecycle_bond.LifecycleBond._beat
def shut_down_and_beat(bond):
    rclpy.shutdown()  # as the signal's handler does, in a thread of its own
    beat(bond)
lifecycle_bond.LifecycleBond._beat = shut_down_and_beat
sys.exit(main(read=fake_localizer_process.read))
"""


def test_ctrl_c_while_a_heartbeat_is_sent_is_exit_code_0(ros_domain_id):
    process = subprocess.run(
        [sys.executable, "-c", CTRL_C_WHILE_A_HEARTBEAT_IS_SENT],
        cwd=Path(__file__).parents[1],
        env=dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2])),
        capture_output=True, text=True, timeout=150.0,
    )  # fmt: skip
    assert "is loaded" in process.stderr + process.stdout
    assert (process.returncode, "Traceback" in process.stderr) == (0, False), process.stderr


def test_a_killed_node_falls_silent_without_a_goodbye(robot, node):
    manager = ManagerEnd(robot)
    robot.activate()
    wait_until(lambda: manager.beats() >= 5)
    node.process.kill()
    node.process.wait()
    wait_until(lambda: manager.silence_s() > 2.0)
    assert not manager.is_broken()
    assert all(message.active for _, message in manager.heard)


def test_a_manager_s_goodbye_is_answered_and_the_node_works_on(live):
    robot, node = live
    manager = ManagerEnd(robot)
    robot.activate()
    node.wait_for("Bond formed with the lifecycle manager.")
    manager.say_goodbye()
    wait_until(manager.is_broken)
    assert holds(manager.is_broken, 0.5)
    assert robot.state() == "active"
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    assert robot.poses != []
    manager.end()
    robot.activate()  # anew, with a new manager
    successor = ManagerEnd(robot)
    wait_until(lambda: successor.beats() >= 5)
    assert successor.instances().isdisjoint(manager.instances())


def test_neither_other_bonds_nor_the_manager_s_silence_break_it(live):
    robot, node = live
    manager, of_map_server = ManagerEnd(robot), ManagerEnd(robot, "map_server")
    stranger = ManagerEnd(robot)
    stranger._timer.cancel()
    robot.activate()
    node.wait_for("Bond formed with the lifecycle manager.")
    of_map_server.say_goodbye()
    stranger.say_goodbye()
    manager._timer.cancel()  # without a goodbye
    let_pass(
        1.0, "the goodbyes and the silence are in the past: a node that minds none says nothing"
    )
    manager.heard.clear()
    wait_until(lambda: manager.beats() >= 5)
    assert not manager.is_broken()


def test_without_the_messages_of_bond_the_node_says_so_once_and_works(
    tmp_path, ros_domain_id, monkeypatch
):
    (tmp_path / "bond.py").touch()  # has no bond.msg
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    node, robot = NodeProcess(tmp_path), Robot(ros_domain_id)
    try:
        robot.wait_for_node()
        manager = ManagerEnd(robot)
        for _ in range(2):
            robot.activate()
            robot.publish_static()
            robot.drive(MAP_FROM_ODOM, 1.0)
            assert robot.poses != []
        assert node.log().count("The Python package 'bond' is missing, hence no heartbeat") == 1
        assert manager.heard == []
        assert "Traceback" not in node.log()
    finally:
        robot.close()
        node.close()
