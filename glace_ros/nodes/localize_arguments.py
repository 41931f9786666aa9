"""The command line of `glace localize`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args

NODE_NAME = "glace_localizer"


def parse(argv: list[str]) -> argparse.Namespace:
    """Without the ROS arguments among them. Ends the process where it is of no use, or --help."""
    parser = argparse.ArgumentParser(
        prog="glace localize",
        description="Localizes a robot's camera images in a map: the ROS 2 lifecycle node "
        f"{NODE_NAME}. Everything else is set with --ros-args: remappings, parameters "
        "(`-p two_d_mode:=false`, `--params-file FILE`).",
    )
    parser.add_argument(
        "--map",
        type=Path,
        help="map file (.glace); the node then configures and activates itself "
        "(the parameters map and autostart)",
    )
    parser.add_argument(
        "--image-topic", help="topic of the images, raw or ending in /compressed (remaps `image`)"
    )
    parser.add_argument(
        "--camera-info-topic", help="topic of their camera_info (remaps `camera_info`)"
    )
    return parser.parse_args(remove_ros_args(["", *argv])[1:])


def ros_arguments(arguments: argparse.Namespace, argv: list[str]) -> list[str]:
    """The flags as remappings, before the caller's own: the first rule that fits wins."""
    remappings = {"image": arguments.image_topic, "camera_info": arguments.camera_info_topic}
    flags = [
        part
        for name, topic in remappings.items()
        if topic is not None
        for part in ("-r", f"{name}:={topic}")
    ]
    return ["--ros-args", *flags, "--", *argv]


def overrides(arguments: argparse.Namespace) -> list[Parameter]:
    """The flags as parameters."""
    if arguments.map is None:
        return []
    return [Parameter("map", value=str(arguments.map)), Parameter("autostart", value=True)]
