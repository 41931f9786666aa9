"""`glace SUBCOMMAND`: one door to the programs that `ros2 run glace_ros SUBCOMMAND` starts."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glace_ros.command_line.importing import uncollected

if TYPE_CHECKING:
    from collections.abc import Iterator

# CMakeLists.txt reads the names here, for `ros2 run`: one a line.
SUBCOMMANDS = {
    "build_map": "a rosbag or a scene folder becomes a map",
    "localize": "the live node: images become poses in a ROS 2 graph",
    "evaluate": "localize every image of a bag or scene and compare with the truth",
    "prepare": "a bag or a published data set becomes scene folders",
    "benchmark": "the paper's tables on prepared data sets, with our row",
    "covisibility": "how well a global encoder's codes tell which images see the same",
    "import_map": "a map that ACE's or GLACE's published code has trained becomes one of ours",
    "export_map": "and back",
    "demo": "a simulated building: record, map, localize live, report",
}


def main(argv: list[str] | None = None) -> int:
    """Dispatch to glace_ros.commands.SUBCOMMAND.main(argv). Exit code 2 for an unknown one."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in SUBCOMMANDS:
        is_node = argv[0] == "localize"  # which is there to be stopped
        if is_node:
            # before PyTorch is imported: threads of OpenMP that wait for each other in a loop take
            # several times as long where other programs want the cores, as on every robot; where
            # none does, as often in mapping, sleeping costs a quarter
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        elif "OMP_WAIT_POLICY" not in os.environ:
            # awake for a moment only: on idle cores about as fast as without a bound
            # (docs/experiments/2026-11-28-open-end.md)
            os.environ.setdefault("GOMP_SPINCOUNT", "3000")
        interrupted = 0 if is_node else 130
        # as of a shell's background job, which a node answers all the same, as all nodes of rclpy
        ignoring = signal.getsignal(signal.SIGINT) == signal.SIG_IGN and not is_node
        numbers = [signal.SIGTERM] if ignoring else [signal.SIGTERM, signal.SIGINT]
        with _ending_at_once(argv[0], interrupted, numbers), uncollected():
            program = importlib.import_module(f"glace_ros.commands.{argv[0]}")
        try:
            return int(program.main(argv[1:]))
        except KeyboardInterrupt:
            print(f"{argv[0]}: interrupted", file=sys.stderr)
            return interrupted
    asked = bool(argv) and argv[0] in ("-h", "--help")
    width = max(map(len, SUBCOMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in SUBCOMMANDS.items()]
    text = "\n".join(["usage: glace SUBCOMMAND ...", "", *lines, "", "glace SUBCOMMAND --help"])
    if argv and not asked:
        text = f"glace: there is no subcommand '{argv[0]}'\n{text}"
    print(text, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


@contextmanager
def _ending_at_once(program: str, code: int, numbers: list[signal.Signals]) -> Iterator[None]:
    """Signals while PyTorch is being imported, which takes seconds: there is nothing to clean up
    yet, and modules being imported turn an exception into errors of their own.

    code: that the process then ends with.
    numbers: of the signals, which whoever started us may have blocked.
    """

    def end(_number: int, _frame: object) -> None:
        os.write(2, f"{program}: interrupted\n".encode())
        os._exit(code)

    before = {number: signal.signal(number, end) for number in numbers}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
