"""`export_map`: a `.glace` map of ACE's features becomes one that the published code reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from glace_ros.command_line.output_files import require_distinct, require_writable
from glace_ros.command_line.program import run
from glace_ros.maps.ace_export import official_paths, write_official_map
from glace_ros.maps.scene_map import SceneMap

_NOTICED_M = 0.001
"""Centres that move by less than poses are exact to are not worth a word."""


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 4 the map cannot be used, or the published code has no such maps."""
    args = _parser().parse_args(argv)
    return run("export_map", lambda: _export(args))


def _export(args: argparse.Namespace) -> int:
    output = Path(args.output)
    scene_map = SceneMap.load(args.map)
    paths = official_paths(output, len(scene_map.heads))
    for path in paths:
        require_distinct({"the map": args.map, "--output": path})
        require_writable("--output", path)
    moved_m = write_official_map(scene_map, output)
    for path in paths:
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    if moved_m > _NOTICED_M:
        print(
            f"note: published maps keep their centres in fp16: they move by up to {moved_m:.3f} m"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="export_map", description=__doc__)
    parser.add_argument("map", metavar="MAP.glace")
    parser.add_argument(
        "--output", required=True, metavar="MAP.pt",
        help="of an ensemble MAP_0.pt, MAP_1.pt, ...: a file for each head",
    )  # fmt: skip
    return parser
