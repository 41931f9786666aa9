"""launch/localize.launch.py: the arguments of Nav2's localization_launch.py, and what they do."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from lifecycle_msgs.msg import Transition
from support.launch_stand_in import nodes_of_launch_file
from support.robot import NodeProcess, Robot, wait_until

from glace_ros.geometry.pose import Pose

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "localize.launch.py"
MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)
# what a robot's camera and Nav2 call what the tests call image, camera_info and pose
ROBOT_TOPICS = (
    "image:=camera/image_raw",
    "camera_info:=camera/camera_info",
    "pose:=amcl_pose",
)


def test_the_arguments_are_those_of_nav2_and_of_a_camera():
    _, defaults = nodes_of_launch_file(LAUNCH_FILE)
    of_nav2 = {"namespace", "map", "use_sim_time", "params_file", "autostart", "use_respawn"}
    ours = {"image_topic", "camera_info_topic", "camera_names", "pose_topic", "rviz"}
    assert set(defaults) == of_nav2 | {"log_level"} | ours
    assert Path(defaults["params_file"]).is_file()


def test_the_arguments_reach_the_process():
    nodes, _ = nodes_of_launch_file(
        LAUNCH_FILE, log_level="debug", use_sim_time="True", autostart="False",
        map="/maps/office.glace", params_file="/etc/nav2.yaml", image_topic="front/image",
    )  # fmt: skip
    arguments = " ".join(nodes["localize"][0])
    for expected in (
        "--log-level debug", "-p use_sim_time:=true", "-p autostart:=false",
        "-p map:=/maps/office.glace", "--params-file /etc/nav2.yaml", "-r image:=front/image",
    ):  # fmt: skip
        assert expected in arguments
    respawn = nodes["localize"][1].options["respawn"]
    assert respawn.perform({"use_respawn": "True"}) == "True"
    # the arguments override the file, so they have to come after it
    assert arguments.index("--params-file") < arguments.index("-p map:=")
    assert "rviz2" not in nodes
    without_map, _ = nodes_of_launch_file(LAUNCH_FILE)
    assert "map:=" not in " ".join(without_map["localize"][0])  # the file's counts


def test_several_cameras_have_the_topics_that_their_drivers_publish():
    nodes, _ = nodes_of_launch_file(LAUNCH_FILE, camera_names="front rear")
    arguments = nodes["localize"][0]
    assert "camera_names:=[front, rear]" in arguments
    rules = [rule for rule in arguments if "image" in rule]
    assert rules == ["front/image:=front/image_raw", "rear/image:=rear/image_raw"]
    assert not any(rule.startswith("camera_info:=") for rule in arguments)


def test_without_rviz_one_sentence_names_its_package_and_the_rest_is_launched(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    nodes, _ = nodes_of_launch_file(LAUNCH_FILE, rviz="true")
    assert list(nodes) == ["localize"]
    assert [(said.levelname, said.getMessage()) for said in caplog.records] == [
        ("WARNING", "rviz:=true, but RViz is not installed (ros-$ROS_DISTRO-rviz2): going on "
         "without it.")
    ]  # fmt: skip
    caplog.clear()
    nodes_of_launch_file(LAUNCH_FILE)
    assert caplog.records == []  # nobody has asked for it


def test_rviz_opens_our_view_in_the_same_namespace(tmp_path, monkeypatch):
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "rviz2").write_text("")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    nodes, _ = nodes_of_launch_file(
        LAUNCH_FILE, rviz="true", namespace="robot_1", pose_topic="where"
    )
    arguments = nodes["rviz2"][0]
    assert Path(arguments[arguments.index("-d") + 1]).is_file()
    for rule in ("__ns:=/robot_1", "/tf:=tf", "/tf_static:=tf_static", "amcl_pose:=where"):
        assert rule in arguments


@pytest.mark.ros
@pytest.mark.parametrize("namespace", ["", "robot_1"])
def test_without_a_lifecycle_manager(namespace, ros_domain_id, tmp_path):
    nodes, _ = nodes_of_launch_file(LAUNCH_FILE, namespace=namespace)
    node = NodeProcess(tmp_path, *nodes["localize"][0])
    robot = Robot(ros_domain_id, namespace, ROBOT_TOPICS)
    try:
        robot.wait_for_node()
        robot.wait_for_listeners()
        robot.publish_static()
        robot.drive(MAP_FROM_ODOM, 1.5)
        wait_until(lambda: robot.poses and robot.transforms)
        prefix = f"/{namespace}" if namespace else ""
        assert robot.node.count_publishers(f"{prefix}/amcl_pose") == 1
        assert robot.node.count_publishers(f"{prefix}/tf") == 2  # the robot's odometry, too
        assert robot.node.count_publishers("/tf") == (0 if namespace else 2)
    finally:
        robot.close()
        node.close()


@pytest.mark.ros
def test_with_a_lifecycle_manager(ros_domain_id, tmp_path):
    nodes, _ = nodes_of_launch_file(LAUNCH_FILE, autostart="false")
    node = NodeProcess(tmp_path, *nodes["localize"][0])
    robot = Robot(ros_domain_id, "", ROBOT_TOPICS)
    try:
        robot.wait_for_node()
        assert robot.state() == "unconfigured"
        assert robot.transition(Transition.TRANSITION_CONFIGURE)
        assert robot.transition(Transition.TRANSITION_ACTIVATE)
        robot.wait_for_listeners()
    finally:
        robot.close()
        node.close()


RUN = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch import LaunchDescription
given = [tuple(argument.split(":=", 1)) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
include = IncludeLaunchDescription(source, launch_arguments=given)
service = LaunchService()
service.include_launch_description(LaunchDescription([include]))
sys.exit(service.run())
"""


@pytest.mark.ros
@pytest.mark.skipif(
    importlib.util.find_spec("launch_ros") is None, reason="launch_ros is not on PyPI"
)
def test_with_the_real_launch(ros_domain_id, tmp_path):
    """What is installed, started as `ros2 launch` does it."""
    arguments = ["namespace:=robot_1", "autostart:=False", "use_sim_time:=True", "map:=/no.glace"]
    with (tmp_path / "launch.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(LAUNCH_FILE), *arguments], stdout=log, stderr=log
        )
    robot = Robot(ros_domain_id, "robot_1")
    try:
        robot.wait_for_node()
        assert robot.state() == "unconfigured"
        assert not robot.transition(Transition.TRANSITION_CONFIGURE)
        wait_until(lambda: "no map file /no.glace" in (tmp_path / "launch.log").read_text())
    finally:
        robot.close()
        process.send_signal(signal.SIGINT)
        process.wait(40.0)
