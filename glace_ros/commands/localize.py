"""`glace localize`: the live node, from the command line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args

from glace_ros.node.localizer_node import NODE_NAME, GlaceLocalizer
from glace_ros.node.localizing.loaded_map import read_map
from glace_ros.node.localizing.localizer_failures import BrokenDeviceError

if TYPE_CHECKING:
    from glace_ros.node.localizer_node import ReadsMaps


def spin(node: GlaceLocalizer) -> None:
    """Until the context ends or nothing can be localized any more.

    rclpy.spin_until_future_complete keeps 250 bytes of every message and timer for ever.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok() and not node.broken:
            executor.spin_once()
        executor.remove_node(node)
    finally:
        # Collected without this, in a cycle with a service that still waits, it destroys its guard
        # after the guard itself did: a traceback in the log, or none, as the collector goes.
        executor.shutdown(timeout_sec=0)


def main(
    argv: list[str] | None = None,
    read: ReadsMaps = read_map,
) -> int:
    """`glace localize`: runs the node until it is interrupted. Returns the exit code.

    0: interrupted or stopped. 2: the command line is of no use. 7: the GPU can compute nothing more
    in this process. With autostart, a node that cannot start ends with the code of the error (2
    parameters, 4 map, 5 weights): there is no lifecycle manager that could try again.

    argv: the command line after `localize`; None: the process's.
    read: as in GlaceLocalizer.
    """
    argv = sys.argv[1:] if argv is None else argv
    node = None
    try:
        arguments = parse(argv)
        rclpy.init(args=ros_arguments(arguments, argv))
        node = GlaceLocalizer(read, overrides(arguments))
        if node.get_parameter("autostart").value and not node.autostart():
            return 1 if node.failure is None else node.failure.exit_code
        spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (RuntimeError, ValueError, TypeError) as error:
        if node is None:  # bad --ros-args, a missing params file, a value that rclpy cannot take
            print(f"glace localize: {error}", file=sys.stderr)
            return 2
        if rclpy.ok():  # else Ctrl-C came while something was sent
            raise
    finally:
        # a launched node gets a terminal's Ctrl-C twice: the second must not end this
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.release()
            node.destroy_node()
        rclpy.try_shutdown()
        if node is not None and node.broken:
            # what CUDA does when the interpreter ends waits for the device
            os._exit(BrokenDeviceError.exit_code)
    return 0


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
