"""`make benchmark`: the real `office` recording, mapped and localized, beside the figures to hold.

Runs the two programs as a user would. Exit code 0 if every figure holds, 1 if not, 2 without data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
OFFICE = REPO.parent / "shared" / "data" / "office"

# metric, how it is printed, the bound, and whether more is better
BOUNDS = (
    ("median_translation_m", "median position error, m", 0.06, False),
    ("median_rotation_deg", "median rotation error, deg", 1.1, False),
    ("5cm_5deg", "within 5 cm and 5 deg", 0.45, True),
    ("25cm_2deg", "within 25 cm and 2 deg", 0.80, True),
    ("map_bytes", "map, bytes", 5_000_000, False),
)


def main() -> int:
    """Builds, evaluates, prints each metric with its bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=__doc__)
    parser.add_argument("--data", type=Path, default=OFFICE, help="folder with mapping and query")
    parser.add_argument("--minutes", type=float, default=5.0, help="training time")
    parser.add_argument("--output", type=Path, default=REPO / "build" / "benchmark")
    args = parser.parse_args()
    if not args.data.is_dir():
        print(f"benchmark: there is no recording at {args.data}: name its folder with --data")
        return 2
    args.output.mkdir(parents=True, exist_ok=True)
    scene_map, metrics_file = args.output / "office.glace", args.output / "query.json"
    glace(
        *("build_map", "--bag", args.data / "mapping", "--output", scene_map),
        *(
            "--minutes",
            args.minutes,
            "--features-cache-gb",
            0,
            "--json",
            args.output / "mapping.json",
        ),
    )
    glace(
        *("evaluate", "--map", scene_map, "--bag", args.data / "query"),
        *("--pose-source", "/ground_truth/pose", "--json", metrics_file),
    )
    return validate_map(json.loads(metrics_file.read_text(encoding="utf-8")))


def glace(*arguments: object) -> None:
    """Runs a glace command; ends the benchmark with its exit code where it fails."""
    command = "import sys; from glace_ros.cli import main; sys.exit(main())"
    code = subprocess.call([sys.executable, "-c", command, *map(str, arguments)])
    if code:
        sys.exit(code)


def validate_map(metrics: dict[str, Any]) -> int:
    """Prints a line for each bound; 0 if all hold."""
    values = {**metrics, **metrics["recall"]}
    failed = False
    for key, label, bound, more_is_better in BOUNDS:
        value = values[key]
        holds = value is not None and (value >= bound if more_is_better else value <= bound)
        failed |= not holds
        sign = ">=" if more_is_better else "<="
        print(f"{'ok  ' if holds else 'MISS'} {label}: {value} ({sign} {bound})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
