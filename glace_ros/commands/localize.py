"""`glace localize`: the live node, from the command line."""

from __future__ import annotations

import os
import signal
import sys

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from glace_ros.node.localizer_node import GlaceLocalizer
from glace_ros.node.localizing.loaded_map import read_map
from glace_ros.node.localizing.localizer_failures import BrokenDeviceError
from glace_ros.nodes.localize_arguments import overrides, parse, ros_arguments


def spin(node: GlaceLocalizer) -> None:
    """Until the context ends or nothing can be localized any more.

    rclpy.spin_until_future_complete keeps 250 bytes of every message and timer for ever.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while rclpy.ok() and not node.broken:
        executor.spin_once()
    executor.remove_node(node)


def main(
    argv: list[str] | None = None,
    read: ReadsMaps = read_map,
) -> int:
    """`glace localize`: runs the node until it is interrupted. Returns the exit code.

    0: interrupted or stopped. 2: the command line is of no use. 7: the GPU can compute nothing more
    in this process. With autostart, a node that cannot start ends with the code of the error (2
    parameters, 4 map, 5 weights): there is no lifecycle manager that could try again. read: as in
    GlaceLocalizer.
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
