"""`demo`: a simulated robot maps a flat; a live ROS 2 graph finds it there again; a page tells.

Nothing is needed but this package: two drives are recorded as bags, `build_map` makes a map of the
first, `localize` runs as a process, the second is played to it, and what it publishes is compared
with the truth.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from glace_ros.command_line.child_process import child_process
from glace_ros.command_line.output_files import write_json
from glace_ros.command_line.program import run
from glace_ros.command_line.progress import progress_bar
from glace_ros.demo.comparison import compare
from glace_ros.demo.live_run import play_to_localizer
from glace_ros.demo.results import DemoResults
from glace_ros.errors import GlaceError
from glace_ros.simulation.bag_messages import CAMERA_INFO_TOPIC, IMAGE_TOPIC, TRUTH_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from glace_ros.demo.recording import DemoRecording

NOT_REACHED = 3
_SENSORS = (f"{IMAGE_TOPIC}/compressed", CAMERA_INFO_TOPIC, "/tf", "/tf_static", "/odom")


class DemoError(GlaceError):
    """A part of the demo ended with an error, which it has told; its exit code becomes ours."""


def main(argv: list[str] | None = None) -> int:
    """Exit code 0: reached what it should; 3: it did not; 130: interrupted; else that of a part."""
    args = _parser().parse_args(argv)
    return run("demo", lambda: _demo(args))


def _demo(args: argparse.Namespace) -> int:
    console = Console(stderr=True)
    folder = _writable(Path(args.output))
    map_path, seconds = folder / "flat.glace", dict[str, float]()
    with _stage(console, seconds, "1/4 recording two drives through a simulated flat"):
        recording = _record(console, args, folder / "recording")
        if not recording.new:
            console.print(f"  {folder / 'recording'} has them already", highlight=False)
    with _stage(console, seconds, "2/4 building the map of the first"):
        left_out = _build_map(args, recording.mapping, map_path, folder / "build_map.json")
    with _stage(console, seconds, "3/4 localizing the second in a live ROS 2 graph"):
        results = _localize(console, recording, map_path, folder / "localize.log")
    with _stage(console, seconds, "4/4 writing the report"):
        from glace_ros.demo.page import demo_page  # starts PyTorch, which costs seconds
        from glace_ros.report.page import write_page

        page = demo_page(recording, map_path, results, left_out, dict(seconds))
        write_page(folder / "report.html", page)
    metrics = {**results.as_json(), "map_bytes": map_path.stat().st_size, "seconds": seconds}
    write_json(folder / "demo.json", metrics)
    _print_table(results, folder / "report.html")
    if results.passed:
        return 0
    print(f"demo: {results.verdict}", file=sys.stderr)
    return NOT_REACHED


def _record(console: Console, args: argparse.Namespace, folder: Path) -> DemoRecording:
    try:
        from glace_ros.demo.recording import DemoRecordingConfig, record_demo
    except ModuleNotFoundError as error:
        raise GlaceError(
            f"The simulated flat needs {error.name}; install it with: pip install 'glace_ros[demo]'"
        ) from error
    config = DemoRecordingConfig().with_seed(args.seed)
    if args.size == "small":
        config = replace(
            config,
            mapping=replace(config.mapping, image_rate_hz=2.0),
            query=replace(config.query, duration_s=20.0),
        )
    return record_demo(folder, config, _bars(console))


def _build_map(args: argparse.Namespace, bag: Path, output: Path, metrics: Path) -> dict[str, int]:
    """Runs `build_map`; returns what it left out, by reason."""
    arguments = ["--bag", bag, "--output", output, "--minutes", args.minutes, "--json", metrics]
    arguments += ["--seed", args.seed, "--features-cache-gb", 0]
    metrics.unlink(missing_ok=True)
    with child_process("build_map", [str(argument) for argument in arguments]) as process:
        code = process.wait()
    # a map that failed its own check is there, and the live graph will show how bad it is
    if code != 0 and not (code == NOT_REACHED and output.is_file()):
        error = DemoError(f"build_map ended with exit code {code} (see above)")
        error.exit_code = code if code > 0 else 1
        raise error
    left_out = json.loads(metrics.read_text()).get("left_out", {})
    return {str(reason): int(count) for reason, count in left_out.items()}


def _localize(console: Console, recording: DemoRecording, map_path: Path, log: Path) -> DemoResults:
    with progress_bar(console, "  play", 1.0) as advance:
        live = play_to_localizer(
            recording.query,
            _SENSORS,  # not the truth
            _SENSORS[0],
            {"map": map_path.resolve()},
            {"image": IMAGE_TOPIC, "camera_info": CAMERA_INFO_TOPIC},
            log,
            lambda done_s, total_s: advance(done_s / total_s),
        )
    return compare(recording.mapping, recording.query, TRUTH_TOPIC, live)


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "demo.json").unlink(missing_ok=True)
        (folder / "report.html").unlink(missing_ok=True)
    except OSError as error:
        raise GlaceError(f"--output {folder} cannot be written: {error.strerror}") from error
    return folder


@contextlib.contextmanager
def _stage(console: Console, seconds: dict[str, float], what: str) -> Iterator[None]:
    console.print(f"[bold]{what}[/bold]", highlight=False)
    started_s = time.monotonic()
    yield
    seconds[what.partition(" ")[2]] = time.monotonic() - started_s


def _bars(
    console: Console,
) -> Callable[[str], contextlib.AbstractContextManager[Callable[[int, int], None]]]:
    @contextlib.contextmanager
    def bar(what: str) -> Iterator[Callable[[int, int], None]]:
        with progress_bar(console, f"  {what}", 1.0) as advance:
            yield lambda done, total: advance(done / total)
            advance(1.0)

    return bar


def _print_table(results: DemoResults, page: Path) -> None:
    table = Table(title="The live graph against the truth")
    for title in ("", "reached", "wanted"):
        table.add_column(title)
    for metric in results.metrics():
        colour = {True: "green", False: "red", None: ""}[metric.met]
        value = f"[{colour}]{metric.value}[/{colour}]" if colour else metric.value
        table.add_row(metric.name, value, metric.wanted)
    console = Console()
    console.print(table)
    for why, count in results.without_pose.items():
        console.print(f"{count} without a pose: {why.words}", highlight=False)
    console.print(f"{results.verdict if results.passed else ''}\nOpen {page}", highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--output", default="demo_output", metavar="DIR", help="recordings, map, report.html"
    )
    parser.add_argument(
        "--minutes", type=_positive, default=5.0, help="wall time for building the map"
    )
    parser.add_argument("--seed", type=_seed, default=0, help="of the flat, the drives, the map")
    parser.add_argument(
        "--size",
        choices=["normal", "small"],
        default="normal",
        help="small: fewer images of the same room, and a short query drive",
    )
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value
