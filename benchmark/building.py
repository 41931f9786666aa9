"""Building scale: 14 rooms around a ring of corridors, a drive of 400 m with odometry that drifts.

    python -m benchmark.building --folder build/building
    python -m benchmark.building --folder build/building --days

Records the drives (simulated), builds maps of them, evaluates another drive, prints tables. What is
done lies in the folder and is not done again; a step that was cut off goes on from what it saved.
`--days`: light and furniture change, and maps of one drive, of the other, of both are compared.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmark.building_figures import (
    cost_cells,
    cut,
    own_recall,
    pose_cells,
    shown,
    trajectory_cells,
)
from benchmark.building_recordings import record, recordings
from benchmark.steps import GLACE, glace_once
from glace_ros.simulation.bag_messages import TRUTH_TOPIC

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).resolve().parents[1] / "build" / "building"
VARIANTS: dict[str, tuple[object, ...]] = {
    "odometry": ("--refine-poses", "off"),
    "refined": ("--refine-poses", "auto"),
    "truth": ("--refine-poses", "off", "--pose-source", TRUTH_TOPIC),
}
"""What poses a map is made of."""
GROWTH = (250, 500, 1000)


def main() -> int:
    """Exit code 0 once the tables are printed, else that of the command that failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.building", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for everything that is made")
    parser.add_argument("--seed", type=int, default=0, help="of the odometry's errors")
    parser.add_argument(
        "--image-rate", type=float, default=1.1, help="of the drive that is mapped, Hz"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of each map")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="maps of the first table")
    parser.add_argument("--buffer-gb", type=float, default=2.0)
    parser.add_argument("--no-growth", action="store_true", help="without parts of the drive")
    parser.add_argument("--days", action="store_true", help="the table of several drives instead")
    args = parser.parse_args()
    benchmark = Benchmark(args.folder / f"seed{args.seed}_{args.image_rate:g}hz", args)
    if args.days:
        Console().print(benchmark.days())
        return 0
    Console().print(benchmark.variants(args.variants.split(",")))
    if not args.no_growth:
        Console().print(benchmark.growth())
    return 0


class Benchmark:
    """The steps, each done once, and their tables."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self._folder, self._args = folder, args
        self._recordings = recordings(args.seed, args.image_rate)
        self._offered = {name: offered_options(name) for name in ("build_map", "evaluate")}
        folder.mkdir(parents=True, exist_ok=True)

    def variants(self, names: Sequence[str]) -> Table:
        """A column for each kind of poses that the map is made of."""
        bag, query = self._bag("mapping"), self._bag("query")
        columns = []
        for name in names:
            options = ("--minutes", self._args.minutes, *VARIANTS[name])
            built = self._build(name, [bag], options)
            found = self._evaluate(name, query)
            trajectory = trajectory_cells(built, bag, self._map(name), name)
            columns.append([*trajectory, *pose_cells(found), *cost_cells(built)])
        table = Table("poses", *names, title="building: a map of one drive, another one localized")
        for heading, *cells in zip(
            ("views", "way, m", "odometry RMSE, m", "map's RMSE, m", "loops", "wrong loops",
             "25 cm / 5 deg", "the same, aligned", "median, cm", "the same, aligned",
             "false accepts", "peak, GB", "time, s"),
            *columns, strict=True,
        ):  # fmt: skip
            table.add_row(heading, *cells)
        return table

    def growth(self) -> Table:
        """Time and memory of parts of the drive, with next to no training."""
        table = Table(title="building: the beginning of the drive, 100 steps of training")
        headings = ("images", "views", "RMSE, m", "loops", "refinement, s", "all, s", "peak, GB")
        for heading in headings:
            table.add_column(heading, justify="right")
        for images in GROWTH:
            bag = self._folder / f"first_{images}"
            if not bag.is_dir():
                shutil.rmtree(bag.parent / ".unfinished", ignore_errors=True)
                cut(self._bag("mapping"), images, bag)
            name = f"first_{images}_refined"
            built = self._build(
                name, [bag], ("--iterations", 100, "--no-report", *VARIANTS["refined"])
            )
            views, _, _, rmse, loops, _ = trajectory_cells(built, bag, self._map(name), name)
            refined = built.get("pose_refinement") or {}
            refined_s = built["seconds"].get("refine", refined.get("seconds"))
            table.add_row(
                str(images), views, rmse, loops, shown(refined_s, "{:.0f}"),
                shown(built["seconds"].get("total"), "{:.0f}"), shown(built["peak_gb"], "{:.2f}"),
            )  # fmt: skip
        return table

    def days(self) -> Table:
        """Recall of the queries of either day in maps of the first drive, the other, and both."""
        drives = {"first day": ["mapping"], "other day": ["other_mapping"]}
        drives["both"] = ["mapping", "other_mapping"]
        table = Table(title="building, kept up: aligned within 25 cm / 5 deg, median")
        for heading in ("map of", "views", *(f"query of the {day}" for day in ("first", "other"))):
            table.add_column(heading, justify="right")
        for title, names in drives.items():
            if len(names) > 1 and "may be given again" not in self._offered["build_map"]:
                table.add_row(title, "-", "-", "-")
                continue
            name = "days_" + "_".join(names)
            options = ("--minutes", self._args.minutes, *VARIANTS["refined"])
            built = self._build(name, [self._bag(drive) for drive in names], options)
            cells = [
                pose_cells(self._evaluate(name, self._bag(q))) for q in ("query", "other_query")
            ]
            found = (f"{cell[1]}, {cell[3]} cm" for cell in cells)
            table.add_row(title, str(built.get("mapping_frames", "-")), *found)
        return table

    def _bag(self, name: str) -> Path:
        with Progress(transient=True) as progress:
            task = progress.add_task(f"record {name}", total=None)
            return record(
                self._folder.parent / "recordings", name, self._recordings[name],
                lambda done, total: progress.update(task, completed=done, total=total),
            )  # fmt: skip

    def _map(self, name: str) -> Path:
        return self._folder / f"{name}.glace"

    def _build(self, name: str, bags: Sequence[Path], options: Sequence[object]) -> dict[str, Any]:
        arguments: list[object] = [argument for bag in bags for argument in ("--bag", bag)]
        arguments += ["--output", self._map(name), "--buffer-gb", self._args.buffer_gb]
        if any(self._folder.glob(f"{name}.glace.*")):
            arguments.append("--resume")
        arguments += without("--refine-poses", options, self._offered["build_map"])
        return glace_once(self._folder, f"{name}.build", "build_map", *arguments)

    def _evaluate(self, name: str, query: Path) -> dict[str, Any]:
        """Metrics, and `mine`: those that it has no key for."""
        step = f"{name}.{query.name}"
        tum = self._folder / f"{step}.tum"
        arguments = ["--map", self._map(name), "--bag", query, "--pose-source", TRUTH_TOPIC]
        align = without("--align", ("--align", "similarity"), self._offered["evaluate"])
        metrics = glace_once(self._folder, step, "evaluate", *arguments, "--tum", tum, *align)
        return {**metrics, "mine": own_recall(tum, query, metrics)}


def offered_options(command: str) -> str:
    """What `glace COMMAND --help` says: options that this checkout lacks are left out."""
    arguments = [*GLACE, command, "--help"]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    return " ".join(said.split())


def without(option: str, arguments: Sequence[object], offered: str) -> list[object]:
    """The arguments, without an option and its value where it is not offered."""
    found = list(arguments)
    if option in found and option not in offered:
        at = found.index(option)
        del found[at : at + 2]
    return found


if __name__ == "__main__":
    sys.exit(main())
