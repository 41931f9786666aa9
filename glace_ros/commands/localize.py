"""`glace localize`: the live node, from the command line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Thread, active_count
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions, install_signal_handlers
from rclpy.utilities import remove_ros_args

from glace_ros.command_line.importing import uncollected
from glace_ros.node.localizer_node import NODE_NAME, GlaceLocalizer
from glace_ros.node.localizing.localizer_failures import BrokenDeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glace_ros.node.localizer_node import ReadsMaps
    from glace_ros.node.localizing.loaded_map import CheckedMap
    from glace_ros.node.ros_interface.parameters import LocalizeParameters

MAP_LOADING = "glace_ros.node.localizing.map_loading"
SLOW_TO_IMPORT = ("glace_ros.node.configured_localizer", MAP_LOADING)  # SciPy, PyTorch
LOOK_S = 0.5  # whether the context has ended
TAKE_DOWN_S = 1.5  # for a lifecycle manager to take down a node whose GPU is gone
LAST_ANSWER_S = 0.3  # after it: the manager asks for the state that it has come to


def main(argv: list[str] | None = None, read: ReadsMaps | None = None) -> int:
    """`glace localize`: runs the node until it is interrupted. Returns the exit code.

    0: interrupted or stopped. 2: the command line is of no use. 7: the GPU can compute nothing more
    in this process. With autostart, a node that cannot start ends with the code of the error (2
    parameters, 4 map, 5 weights): there is no lifecycle manager that could try again.

    argv: the command line after `localize`; None: the process's.
    read: as in GlaceLocalizer; None: real maps.
    """
    stopping = StopSignals()
    loading = Thread(target=_import_quietly, daemon=True)
    code = run(sys.argv[1:] if argv is None else argv, read or read_map, stopping, loading)
    # A launched node gets a terminal's Ctrl-C twice: the second must not end this. And ignored
    # signals are all that Python does not set back to what they were before it ends.
    stopping.ignore()
    if code == BrokenDeviceError.exit_code or active_count() > 1:
        # What CUDA does when the interpreter ends waits for the device; and neither the import nor
        # an image is to be waited for, or PyTorch torn down beside it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def run(argv: list[str], read: ReadsMaps, stopping: StopSignals, loading: Thread) -> int:
    """As main, which ends the process.

    stopping: from before there is a context.
    loading: begun as soon as the node's services answer.
    """

    def read_with_all_imported(parameters: LocalizeParameters) -> CheckedMap:
        # SciPy looks into a torch that it finds, half imported or not, and raises AttributeError
        loading.join()
        if not rclpy.ok():
            raise ExternalShutdownException
        return read(parameters)

    node = executor = None
    try:
        arguments = parse(argv)
        no_handlers = SignalHandlerOptions.NO
        rclpy.init(args=ros_arguments(arguments, argv), signal_handler_options=no_handlers)
        stopping.wait()
        node = GlaceLocalizer(read_with_all_imported, overrides(arguments))
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        install_signal_handlers(SignalHandlerOptions.ALL)
        if stopping.came:
            return 0
        loading.start()
        if node.get_parameter("autostart").value:
            with stopping.interrupting():  # a map may take long
                started = node.autostart()
            if not started and rclpy.ok():
                return 1 if node.failure is None else node.failure.exit_code
        else:
            node.get_logger().info(
                "Unconfigured, until a lifecycle manager or `ros2 lifecycle set` configures it; "
                "with autostart:=true it does so itself."
            )
        spin(node, executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (RuntimeError, ValueError, TypeError) as error:
        if node is None:  # bad --ros-args, a missing params file, a value that rclpy cannot take
            print(f"glace localize: {error}", file=sys.stderr)
            return 2
        if rclpy.ok():  # else Ctrl-C came while something was sent
            raise
    finally:
        if executor is not None:
            # Collected without this, in a cycle with a service that still waits, it destroys its
            # guard after the guard itself did: a traceback in the log, or none, as it comes.
            executor.shutdown(timeout_sec=0)
        if node is not None:
            node.release()
            node.destroy_node()
        rclpy.try_shutdown()
    return BrokenDeviceError.exit_code if node is not None and node.broken else 0


def read_map(parameters: LocalizeParameters) -> CheckedMap:
    """See map_loading."""
    return import_module(MAP_LOADING).read_map(parameters)  # type: ignore[no-any-return]


def _import_quietly() -> None:
    with suppress(Exception), uncollected():  # configure comes upon it again, and says it
        for name in SLOW_TO_IMPORT:
            import_module(name)


class StopSignals:
    """Ctrl-C and SIGTERM. They end the process, which holds nothing yet; from `wait` on they are
    but noted, and rclpy's handlers, once these are installed, end the context, so that nothing is
    interrupted in its middle; at last they are ignored.

    came: one of them has come.
    """

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.came = self._interrupts = False
        self._at_once = True
        for number in self.NUMBERS:
            signal.signal(number, self._on_signal)

    def wait(self) -> None:
        """Notes them, from now on."""
        self._at_once = False

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raises KeyboardInterrupt in the middle."""
        self._interrupts = True
        try:
            if self.came:
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupts = False

    def ignore(self) -> None:
        """From now on."""
        for number in self.NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.came = True
        if self._at_once:
            os._exit(0)
        if self._interrupts:
            self._interrupts = False  # a second one does not interrupt what ends it
            raise KeyboardInterrupt


def spin(node: GlaceLocalizer, executor: SingleThreadedExecutor) -> None:
    """Until the context ends, or nothing can be localized any more and a lifecycle manager has
    taken the node down: it asks after the bond is broken, and waits without limit for answers.

    rclpy.spin_until_future_complete keeps 250 bytes of every message and timer for ever.

    executor: of the node.
    """
    while rclpy.ok() and not node.broken:
        # a signal may wake the executor before it has ended the context, and then never again
        executor.spin_once(timeout_sec=LOOK_S)
    leave_s = time.monotonic() + TAKE_DOWN_S
    while rclpy.ok() and (left_s := leave_s - time.monotonic()) > 0.0:
        executor.spin_once(timeout_sec=left_s)
        if node.state_label == "unconfigured":
            leave_s = min(leave_s, time.monotonic() + LAST_ANSWER_S)


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
