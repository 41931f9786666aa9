"""`export_map`: a `.glace` map of ACE's features becomes one that the published code reads."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from glace_ros.nodes.command_line import require_distinct, require_writable, run
from glace_ros.scene.official_map import write_official_map
from glace_ros.scene.scene_map import SceneMap

_NOTICED_M = 0.001


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 4 the map cannot be used, or the published code has no such maps."""
    args = _parser().parse_args(argv)
    return run("export_map", lambda: _export(args))


def _export(args: argparse.Namespace) -> int:
    output = Path(args.output)
    require_distinct({"the map": args.map, "--output": output})
    require_writable("--output", output)
    moved_m = write_official_map(SceneMap.load(args.map), output)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")
    if moved_m > _NOTICED_M:
        print(
            f"note: published maps keep their centres in fp16: they move by up to {moved_m:.3f} m"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="export_map", description=__doc__)
    parser.add_argument("map", metavar="MAP.glace")
    parser.add_argument("--output", required=True, metavar="MAP.pt")
    return parser


if __name__ == "__main__":
    sys.exit(main())
