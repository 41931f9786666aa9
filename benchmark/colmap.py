"""COLMAP (pycolmap) and build_map side by side: the same images, the same poses, the same metrics.

    python -m benchmark.colmap --mapping BAG --query BAG --pose-source TOPIC [--foreign BAG]

Both map the first bag from the same frames, localize the second one and, where it is given, a third
one of a place that the map does not show; one table has the figures of both and their ratios. What
is done lies in the folder and is not done again. pycolmap is no dependency: it is an extra.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmark.colmap_table import Side, rows
from benchmark.steps import glace_once, once
from glace_ros.command_line.arguments import positive, whole_number
from glace_ros.command_line.output_files import write_json
from glace_ros.command_line.program import run
from glace_ros.commands.build_map_config import build_request
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.errors import GlaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).resolve().parents[1] / "build" / "colmap"
INSTALL = "pip install 'pycolmap>=4.2,<5'"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 once the table is printed, 1 where pycolmap is missing, else that of the command
    that failed.
    """
    args = parsed(argv)
    return run("colmap", lambda: _compare(args))


def _compare(args: argparse.Namespace) -> int:
    if find_spec("pycolmap") is None:
        raise GlaceError(
            f"pycolmap is not installed, so there is nothing to compare with: {INSTALL}"
        )
    args.folder.mkdir(parents=True, exist_ok=True)
    require_same_choice(args.folder, choice(args))
    compared = rows(_peer(args), _ours(args))
    table = Table(
        "", f"COLMAP (pycolmap {version('pycolmap')})", "glace", "glace / COLMAP",
        title=f"{args.mapping.name}, localized: {args.query.name}; threads: {threads()}",
    )  # fmt: skip
    for row in compared:
        table.add_row(*row.cells())
    Console().print(table)
    write_json(args.folder / "comparison.json", {"rows": [row.as_json() for row in compared]})
    return 0


def _peer(args: argparse.Namespace) -> Side:
    # an extra: nothing above may import it
    from benchmark.colmap_localizer import PeerLocalizerConfig, evaluated
    from benchmark.colmap_mapping import PeerMapping, PeerMappingConfig, quieten

    quieten()
    request = build_request(build_map_parser(None).parse_args(_build_arguments(args)))
    mapping_config = PeerMappingConfig(
        most_features=args.features, neighbours=args.neighbours, threads=threads()
    )
    mapping = PeerMapping(request, args.folder, mapping_config)
    mapped = mapping.figures()
    config = PeerLocalizerConfig(most_features=args.features)

    def localized(name: str, bag: Path, source: str | None, foreign: bool) -> dict[str, Any]:
        return once(
            args.folder, f"colmap_{name}",
            lambda: evaluated(mapping.map_file, config, bag, source, foreign=foreign),
        )  # fmt: skip

    query = localized("query", args.query, args.pose_source, False)
    foreign = localized("foreign", args.foreign, None, True) if args.foreign else None
    return Side(mapped, query, foreign)


def _ours(args: argparse.Namespace) -> Side:
    folder, scene_map = args.folder, args.folder / "glace.glace"
    # from the start, without features of an earlier build: the time is of all steps
    built = glace_once(
        folder, "glace_mapping", "build_map", *_build_arguments(args), "--output", scene_map,
        "--features-cache-gb", 0,
    )  # fmt: skip
    source = ["--pose-source", args.pose_source] if args.pose_source else []
    query = glace_once(
        folder, "glace_query", "evaluate", "--map", scene_map, "--bag", args.query, *source
    )
    foreign = None
    if args.foreign:
        foreign = glace_once(
            folder, "glace_foreign", "evaluate", "--map", scene_map, "--bag", args.foreign,
            "--foreign",
        )  # fmt: skip
    return Side(built, query, foreign)


def _build_arguments(args: argparse.Namespace) -> list[str]:
    """What says to build_map which frames are mapped from, and for how long."""
    arguments = ["--bag", str(args.mapping)]
    for option, value in (
        ("--pose-source", args.mapping_pose_source),
        ("--minutes", args.minutes),
        ("--iterations", args.iterations),
    ):
        if value is not None:
            arguments += [option, str(value)]
    return arguments


def threads() -> int:
    """Of both: OMP_NUM_THREADS, which PyTorch and NumPy keep to by themselves, or all cores."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) else len(os.sched_getaffinity(0))


def choice(args: argparse.Namespace) -> dict[str, Any]:
    """All that the figures in a folder depend on, as JSON."""
    options = {name: value for name, value in vars(args).items() if name != "folder"}
    bags = {
        name: str(value.resolve()) for name, value in options.items() if isinstance(value, Path)
    }
    return {**options, **bags, "threads": threads()}


def require_same_choice(folder: Path, chosen: dict[str, Any]) -> None:
    """Raises GlaceError where the folder holds figures of another choice; else notes this one."""
    file = folder / "choice.json"
    if not any(step != file for step in folder.glob("*.json")):  # none, or one that failed at once
        write_json(file, chosen)
    before = json.loads(file.read_text()) if file.is_file() else {}
    other = [name for name in chosen if before.get(name) != chosen[name]]
    if other:
        raise GlaceError(
            f"{folder} holds figures of another {', '.join(other)}: name another --folder"
        )


def parsed(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.colmap", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--mapping", type=Path, required=True, help="the bag that is mapped")
    parser.add_argument("--query", type=Path, required=True, help="another one of the same place")
    parser.add_argument("--foreign", type=Path, help="one of another place: every pose is false")
    parser.add_argument("--pose-source", help="the truth of --query, as evaluate takes it")
    parser.add_argument("--mapping-pose-source", help="of --mapping, as build_map takes it")
    parser.add_argument("--minutes", type=positive, help="of build_map (its default: 5)")
    parser.add_argument("--iterations", type=whole_number(1), help="of build_map, instead")
    parser.add_argument(
        "--features", type=whole_number(1), default=2048, help="SIFT's, of an image, at most"
    )
    parser.add_argument(
        "--neighbours", type=whole_number(0), default=20,
        help="images that COLMAP matches each with, by their positions; 0: all",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for everything that is made")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
