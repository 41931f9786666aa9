"""Two ways from the same scene coordinates to a pose: the paper's, as DSAC* describes it, and ours.

The network of a map regresses each image once; then both solvers get the same points, and again
with the points shuffled, where no pose fits and only the bound on the work counts. Landmarks and
the localizer's acceptance are left out: poses are those of the network's points alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmark.__main__ import OFFICE
from benchmark.dsac_star import DsacStarConfig, dsac_star
from glace_ros.evaluation.localized_frame import LocalizedFrame
from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.geometry.pose import Pose
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.pose_solver import PoseSolverConfig, solve_pose
from glace_ros.maps.scene_map import SceneMap
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.rejection import Rejection, RejectionCode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera

Solve = Callable[["Prediction"], "Pose | None"]


class Prediction(NamedTuple):
    """What the map says of an image.

    pixels_n2: of a pinhole.
    points_n3: theirs, metres from the map's origin.
    camera: the pinhole.
    map_from_camera: the true pose, from that origin too; None: unknown.
    """

    pixels_n2: NDArray[np.float64]
    points_n3: NDArray[np.float64]
    camera: Camera
    map_from_camera: Pose | None = None


def by_lo_ransac(prediction: Prediction, config: PoseSolverConfig) -> Pose | None:
    """map_from_camera as the localizer solves it."""
    solution = solve_pose(prediction.pixels_n2, prediction.points_n3, prediction.camera, config)
    return solution.map_from_camera if solution else None


def by_dsac_star(prediction: Prediction, config: DsacStarConfig) -> Pose | None:
    """map_from_camera as the paper solves it."""
    return dsac_star(prediction.pixels_n2, prediction.points_n3, prediction.camera, config)


def predictions(
    scene_map: SceneMap, bag: Path, pose_topic: str, points: int
) -> Iterator[Prediction]:
    """Of each image of the bag with a true pose."""
    localizer = Localizer(scene_map, LocalizerConfig(points=points))
    origin_from_map = Pose(np.eye(3), -np.array(scene_map.metadata.origin_m))
    with RecordingReader(bag, None, None, pose_topic) as reader:
        for image in reader.images():
            if image.map_from_camera:
                said = localizer.regress(image.image_rgb_hwc, image.camera)
                truth = origin_from_map @ image.map_from_camera
                yield Prediction(said.pixels_n2, said.points_n3(), said.camera, truth)


def solved(solve: Solve, prediction: Prediction) -> LocalizedFrame:
    """One prediction solved once, with its time."""
    start = time.perf_counter()
    estimate = solve(prediction)
    seconds = time.perf_counter() - start
    points = len(prediction.pixels_n2)
    rejection = None if estimate else Rejection(RejectionCode.NO_POSE, points=points)
    return LocalizedFrame(
        0, prediction.map_from_camera, estimate, None, 0, points, seconds, rejection
    )


def solvers(seed: int) -> dict[str, Solve]:
    """Ours first: ratios are to it."""
    ours, dsac = replace(PoseSolverConfig(), seed=seed), replace(DsacStarConfig(), seed=seed)
    return {
        "PoseLib": partial(by_lo_ransac, config=ours),
        "as DSAC*": partial(by_dsac_star, config=dsac),
    }


def main() -> int:
    """Solves everything `--repeat` times, with another seed each time, and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.pose_solvers", description=__doc__)
    parser.add_argument("--map", type=Path, required=True, help="a .glace map")
    parser.add_argument("--bag", type=Path, default=OFFICE / "query", help="of the same place")
    parser.add_argument("--pose-source", default="/ground_truth/pose", help="topic of true poses")
    parser.add_argument("--points", type=int, default=LocalizerConfig.points, help="of an image")
    parser.add_argument("--repeat", type=int, default=3, help="seeds")
    args = parser.parse_args()
    torch.set_num_threads(1)
    given = list(predictions(SceneMap.load(args.map), args.bag, args.pose_source, args.points))
    if not given:
        print(f"pose_solvers: {args.bag} has no image with a pose on {args.pose_source}")
        return 2
    rng = np.random.default_rng(0)
    shuffled = [each._replace(points_n3=rng.permutation(each.points_n3)) for each in given]
    for solve in solvers(0).values():
        solve(given[0])  # the first call warms up
    found: dict[str, list[LocalizedFrame]] = {name: [] for name in solvers(0)}
    nothing: dict[str, list[LocalizedFrame]] = {name: [] for name in solvers(0)}
    for seed in range(args.repeat):
        # in turn for each image, so that what else the machine does falls on both
        for prediction, noise in zip(given, shuffled, strict=True):
            for name, solve in solvers(seed).items():
                found[name].append(solved(solve, prediction))
                nothing[name].append(solved(solve, noise))
    Console().print(comparison(found, nothing, f"{len(given)} images, {args.repeat} seeds each"))
    return 0


def comparison(
    found: dict[str, list[LocalizedFrame]], nothing: dict[str, list[LocalizedFrame]], title: str
) -> Table:
    """A row for each solver, and one of each other's metrics over the first's."""
    table = Table(
        "solver", "with a pose", "median error", "5 cm / 5 deg", "median, p95",
        "where nothing fits", title=title,
    )  # fmt: skip
    rows = {name: _metrics(found[name], nothing[name]) for name in found}
    first, *others = rows
    for name, row in rows.items():
        poses, metres, degrees, within, *ms = row
        table.add_row(
            name, f"{poses:.0%}", f"{100 * metres:.2f} cm, {degrees:.2f} deg", f"{within:.0%}",
            f"{ms[0]:.1f}, {ms[1]:.1f} ms", f"{ms[2]:.1f}, {ms[3]:.1f} ms",
        )  # fmt: skip
    for name in others:
        poses, metres, degrees, within, *ms = rows[name] / rows[first]
        table.add_row(
            f"{name} / {first}", f"{poses:.2f}", f"{metres:.2f}, {degrees:.2f}", f"{within:.2f}",
            f"{ms[0]:.1f}, {ms[1]:.1f}", f"{ms[2]:.1f}, {ms[3]:.1f}",
        )  # fmt: skip
    return table


def _metrics(found: list[LocalizedFrame], nothing: list[LocalizedFrame]) -> NDArray[np.float64]:
    """(8,) ratio with a pose, median m and deg, ratio within 5 cm / 5 deg, ms: median and p95, and
    both where nothing fits.
    """
    metrics, bounded_ms = summarize_frames(found), summarize_frames(nothing)["latency_ms"]
    ms = metrics["latency_ms"]
    return np.array(
        [
            metrics["localized"] / len(found), metrics["median_translation_m"],
            metrics["median_rotation_deg"], metrics["recall"]["5cm_5deg"],
            ms["p50"], ms["p95"], bounded_ms["p50"], bounded_ms["p95"],
        ],
        dtype=np.float64,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
