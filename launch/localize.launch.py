"""Starts the live node where Nav2's localization_launch.py starts AMCL; docs/nav2.md says how.

With autostart:=false the node waits for a lifecycle manager: name glace_localizer among the
node_names of lifecycle_manager_localization.
"""

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

# name: (default, description). Relative names of topics follow the namespace.
ARGUMENTS = {
    "map": ("", "Map file (.glace); empty: the newest one, $ROS_HOME/glace/latest.glace"),
    "image_topic": ("camera/image_raw", "Images; their /compressed is used if only that is there"),
    "camera_info_topic": ("camera/camera_info", "Calibration of the camera of image_topic"),
    "camera_names": (
        "",
        "Several cameras, as 'front rear': NAME/image_raw and NAME/camera_info of each, in place "
        "of image_topic and camera_info_topic",
    ),
    "pose_topic": ("amcl_pose", "Where the robot's pose is published"),
    "params_file": (
        PathJoinSubstitution([FindPackageShare("glace_ros"), "config", "localize.yaml"]),
        "Parameters of the node; the other arguments override it",
    ),
    "namespace": ("", "Namespace of the node, its topics and its TF"),
    "use_sim_time": ("false", "Take the time from /clock"),
    "autostart": ("true", "Configure and activate the node without a lifecycle manager"),
    "use_respawn": ("false", "Start the node again when it has ended"),
    "log_level": ("info", "debug, info, warn or error"),
    "rviz": ("false", "Open RViz with config/localize.rviz"),
}
TF_REMAPPINGS = [("/tf", "tf"), ("/tf_static", "tf_static")]  # as Nav2: TF follows the namespace


def generate_launch_description():
    """Called by `ros2 launch glace_ros localize.launch.py`."""
    declarations = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    rviz = OpaqueFunction(function=_rviz, condition=IfCondition(LaunchConfiguration("rviz")))
    lines_at_once = SetEnvironmentVariable("RCUTILS_LOGGING_BUFFERED_STREAM", "1")
    localizer = OpaqueFunction(function=_localizer)
    return LaunchDescription([lines_at_once, *declarations, localizer, rviz])


def _boolean(name):
    return ParameterValue(LaunchConfiguration(name), value_type=bool)


def _localizer(context):
    overrides = {
        "use_sim_time": _boolean("use_sim_time"),
        "autostart": _boolean("autostart"),
    }
    if LaunchConfiguration("map").perform(context):  # else the one of params_file counts
        overrides["map"] = ParameterValue(LaunchConfiguration("map"), value_type=str)
    images = [
        ("image", LaunchConfiguration("image_topic")),
        ("camera_info", LaunchConfiguration("camera_info_topic")),
    ]
    if names := LaunchConfiguration("camera_names").perform(context).split():
        overrides["camera_names"] = names
        images = [(f"{name}/image", f"{name}/image_raw") for name in names]
    node = Node(
        package="glace_ros",
        executable="localize",
        name="glace_localizer",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            ParameterFile(LaunchConfiguration("params_file"), allow_substs=True),
            overrides,
        ],
        remappings=[
            *images,
            ("pose", LaunchConfiguration("pose_topic")),
            *TF_REMAPPINGS,
        ],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        respawn=LaunchConfiguration("use_respawn"),
        respawn_delay=0.5,  # up again before a lifecycle manager notices, and asks
        output="screen",
    )
    return [node]


def _rviz(_context):
    """Without it the robot is localized all the same: a missing package would end the launch."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        get_logger("launch.user").warning(
            "rviz:=true, but RViz is not installed (ros-$ROS_DISTRO-rviz2): going on without it."
        )
        return []
    node = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=[
            "-d",
            PathJoinSubstitution([FindPackageShare("glace_ros"), "config", "localize.rviz"]),
        ],
        parameters=[{"use_sim_time": _boolean("use_sim_time")}],
        remappings=[("amcl_pose", LaunchConfiguration("pose_topic")), *TF_REMAPPINGS],
        output="screen",
    )
    return [node]
