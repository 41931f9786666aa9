"""Look-alike rooms: one map for all of them, with each kind of global code (the paper's table 6).

    python -m benchmark.rooms --rooms 12 --variants none,diffusion --clusters N --iterations 9000

Every finished run leaves its map and one JSON file, and a run that was cut off goes on from its
last checkpoint: start the same command again. `--again` localizes the queries anew in maps that
are there. Exit code 0 once all runs are in the table.

One file of 310 lines, to be read from its top: nothing else uses a part of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from glace_ros.command_line.output_files import write_json
from glace_ros.errors import GlaceError
from glace_ros.evaluation.localized_frame import LocalizedFrame
from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.geometry.pose import Pose
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.mapping.build_steps import seconds_of
from glace_ros.mapping.landmark_selection import LandmarkConfig
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.map_builder_config import MapBuilderConfig
from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.maps.coordinate_head import CoordinateHeadConfig
from glace_ros.maps.map_metadata import RecordingDescription
from glace_ros.maps.scene_map import SceneMap
from glace_ros.simulation.lookalike_rooms import LookAlikeRoomsConfig, room_origin_m
from glace_ros.simulation.room_photographs import RoomImages, room_images

OUTPUT = Path(__file__).resolve().parents[1] / "build" / "rooms"
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {"global_encoder": "none"},
    "identity": {"sigma": 0.0},
    "diffusion": {},
    "neighbour": {"sigma": 0.0, "neighbour_descriptors": True},
}
RECALLS = {"5cm_5deg": "5 cm, 5 deg", "10cm_5deg": "10 cm, 5 deg", "25cm_2deg": "25 cm, 2 deg"}


@dataclass(frozen=True)
class Run:
    """One row of the table."""

    rooms: int
    """How many are in the map."""
    variant: str
    """Of VARIANTS, or kmeans:K."""
    clusters: int
    """Of the position decoder."""
    minutes: float = 0.0
    """Of training; 0: iterations are what counts."""
    iterations: int = 6000
    """Of training, without minutes."""
    width: int = 512
    """Of the head."""
    landmarks: int = LandmarkConfig.most
    """Most of them; 0: the head alone makes the pose."""
    seed: int = 0
    """Of training."""
    images: LookAlikeRoomsConfig = field(default_factory=LookAlikeRoomsConfig)
    """The rooms, and what is photographed in them."""
    ensemble: int = field(default=1, repr=False)
    """Heads, which share the minutes or the iterations."""

    @property
    def fingerprint(self) -> str:
        """Of all settings. Runs of one head have the same as before there were ensembles."""
        heads = f" x{self.ensemble}" if self.ensemble > 1 else ""
        return hashlib.sha256(f"{self}{heads}".encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Of its files."""
        variant = self.variant.replace(":", "")
        return f"{self.rooms:02d}_{variant}_k{self.clusters}_{self.fingerprint}"

    def builder_config(self) -> MapBuilderConfig:
        """As a user would set it."""
        variant = VARIANTS.get(self.variant, {"global_encoder": self.variant})
        return MapBuilderConfig(
            minutes=self.minutes,
            seed=self.seed,
            head=CoordinateHeadConfig(width=self.width, clusters=self.clusters),
            narrow_head=None,
            landmarks=LandmarkConfig(most=self.landmarks),
            trainer=MapTrainerConfig(iterations=self.iterations // self.ensemble),
            ensemble=self.ensemble,
            **variant,
        )


def main() -> int:
    """Does what is not done yet, then prints all of it."""
    args = arguments()
    runs = [
        Run(
            args.rooms, variant, args.rooms if clusters == "N" else int(clusters),
            0.0 if args.iterations else args.minutes, args.iterations,
            args.width, args.landmarks, args.seed,
            LookAlikeRoomsConfig(mapping=args.mapping, queries=args.queries), args.ensemble,
        )
        for variant in args.variants
        for clusters in args.clusters.split(",")
    ]  # fmt: skip
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a log file has room for the whole table
    try:
        results = [result_of(run, args.output, console, again=args.again) for run in runs]
    except GlaceError as error:
        print(f"benchmark.rooms: {error}", file=sys.stderr)
        return error.exit_code
    console.print(table(results))
    return 0


def variants(names: str) -> list[str]:
    """The names between commas, of VARIANTS or kmeans:K."""
    for name in names.split(","):
        if name not in VARIANTS and not _is_clustered_vlad(name):
            known = ", ".join([*VARIANTS, "kmeans:K"])
            raise argparse.ArgumentTypeError(f"the variant '{name}' is none of {known}")
    return names.split(",")


def _is_clustered_vlad(name: str) -> bool:
    with suppress(GlaceError):
        encoder = GlobalEncoderName.parse(name)
        return encoder.source == "vlad" and encoder.clusters > 0
    return False


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.rooms", description=__doc__)
    add = parser.add_argument
    add("--rooms", type=int, default=12)
    add(
        "--variants",
        type=variants,
        default="none,identity,kmeans:4,kmeans:32,kmeans:128,diffusion,neighbour",
    )
    add("--clusters", default="N", help="of the decoder; N = as many as rooms")
    add("--ensemble", type=int, default=1, help="heads, which share the minutes or iterations")
    add("--minutes", type=float, default=15.0, help="for the whole building of each map")
    add("--iterations", type=int, default=0, help="training steps, instead of minutes")
    add("--width", type=int, default=Run.width, help="of the coordinate head")
    add("--landmarks", type=int, default=Run.landmarks, help="of a map; 0 = none, no refinement")
    add("--mapping", type=int, default=LookAlikeRoomsConfig.mapping, help="images of a room")
    add("--queries", type=int, default=LookAlikeRoomsConfig.queries, help="images of a room")
    add("--seed", type=int, default=0)
    add("--again", action="store_true", help="judge the maps that are there with this code")
    add("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


def result_of(run: Run, output: Path, console: Console, *, again: bool) -> dict[str, Any]:
    """The run's metrics: read where they are there already, else made."""
    file = output / "results" / f"{run.name}.json"
    result = None
    if file.is_file():
        result = dict(json.loads(file.read_text(encoding="utf-8")))
        if not again:
            return result
    file.parent.mkdir(parents=True, exist_ok=True)
    images = photographs(run, output, console)
    result = result or {**asdict(run), **build(run, images, output, console)}
    result |= measure(run, images, SceneMap.load(output / f"{run.name}.glace"))
    # not before: a run that is killed while it is validated goes on from there
    checkpoint_of(run, output).remove()
    write_json(file, result)
    return result


def photographs(run: Run, output: Path, console: Console) -> list[RoomImages]:
    """Of all rooms, rendered where they are not yet."""
    console.print(f"{time.strftime('%H:%M:%S')} {run.name}: photographs")
    return [
        room_images(run.images, room, run.rooms, output / "images") for room in range(run.rooms)
    ]


def build(run: Run, images: list[RoomImages], output: Path, console: Console) -> dict[str, Any]:
    """Maps all rooms at once, leaves the map on disk."""
    builder = MapBuilder(run.builder_config(), torch.device("cpu"))
    mapping = (image for room in images for image in room.mapping)
    encoded = builder.encode(mapping, builder.no_views())
    prepared = builder.prepare(encoded)
    statistics = prepared.descriptors.statistics if prepared.descriptors else None
    console.print(f"{time.strftime('%H:%M:%S')} {run.name}: training, {statistics}")
    trained = builder.train(prepared, checkpoint=checkpoint_of(run, output))
    description = RecordingDescription(
        "map", "camera", "camera", "", "", run.images.camera, "rooms", ""
    )
    scene_map = builder.scene_map(prepared, trained, description)
    scene_map.save(output / f"{run.name}.glace")
    return {
        "code_statistics": asdict(statistics) if statistics else None,
        "map_bytes": scene_map.file_bytes,
        "steps": trained.steps,
        "samples_per_s": trained.samples_per_second,
        "seconds": seconds_of(encoded, 0.0, prepared, trained),
        "threads": torch.get_num_threads(),
    }


def checkpoint_of(run: Run, output: Path) -> TrainingCheckpoint:
    """Where training stands."""
    return TrainingCheckpoint(output / f"{run.name}.checkpoint", run.fingerprint, resume=True)


def measure(run: Run, images: list[RoomImages], scene_map: SceneMap) -> dict[str, Any]:
    """Localizes every query."""
    return {
        **validate_map(run, images, scene_map, LocalizerConfig()),
        "own_code": validate_map(run, images, scene_map, LocalizerConfig(places=None)),
        "head_alone": validate_map(
            run, images, scene_map, LocalizerConfig(places=None, refinement=None)
        ),
        "retrieval": retrieval(run, images, scene_map),
    }


def validate_map(
    run: Run, images: list[RoomImages], scene_map: SceneMap, config: LocalizerConfig
) -> dict[str, Any]:
    """Recall, and where the others were put. A rejected query counts as wrong, in no room."""
    localizer = Localizer(scene_map, config, "cpu")
    frames: list[LocalizedFrame] = []
    wrong_room = 0
    for room, shots in enumerate(images):
        for shot in shots.queries:
            found = localizer.localize(shot.image_rgb_hwc, shot.camera)
            pose = found.map_from_camera if isinstance(found, PoseEstimate) else None
            frames.append(
                LocalizedFrame(
                    shot.stamp_ns, shot.map_from_camera, pose, None,
                    found.inliers, found.points, found.seconds,
                )
            )  # fmt: skip
            wrong_room += pose is not None and nearest_room(run, pose) != room
    metrics = summarize_frames(frames)
    return {
        "query_count": len(frames),
        "recall": metrics["recall"],
        "median_m": metrics["median_translation_m"],
        "wrong_room": wrong_room / len(frames),
        "refused": sum(frame.estimate is None for frame in frames) / len(frames),
        "latency_ms": metrics["latency_ms"],
    }


def nearest_room(run: Run, pose: Pose) -> int:
    """The room whose middle is nearest."""
    origins_r3 = np.stack([room_origin_m(run.images, r, run.rooms) for r in range(run.rooms)])
    middles_r2 = origins_r3[:, :2] + run.images.side_m / 2
    return int(np.argmin(np.linalg.norm(pose.translation_3[:2] - middles_r2, axis=1)))


def retrieval(run: Run, images: list[RoomImages], scene_map: SceneMap) -> float | None:
    """Ratio of the queries whose nearest global descriptor of a mapping view is of their own room;
    None where the map has none of its views.
    """
    encoder, localizer = scene_map.global_encoder, Localizer(scene_map, device="cpu")
    if encoder is None or encoder.views_vG is None:
        return None
    right = []
    for room, shots in enumerate(images):
        for shot in shots.queries:
            seen = localizer.regress(shot.image_rgb_hwc, shot.camera).features
            nearest = int((encoder.views_vG @ encoder.encode(seen)).argmax())
            right.append(nearest // run.images.mapping == room)
    return float(np.mean(right))


def table(results: list[dict[str, Any]]) -> Table:
    """One row a run."""
    shown = Table(title="Look-alike rooms, one map for all")
    for heading in (
        "rooms", "global code", "heads", "decoder K", *RECALLS.values(), "wrong room", "refused",
        "10 cm by own code", "10 cm by head alone", "nearest code in room", "map", "steps",
        "minutes", "ms an image", "ms by head alone",
    ):  # fmt: skip
        shown.add_column(heading, justify="right")
    for result in results:
        retrieved = result["retrieval"]
        shown.add_row(
            str(result["rooms"]), result["variant"], str(result.get("ensemble", 1)),
            str(result["clusters"]),
            *(f"{100 * result['recall'][name]:.0f} %" for name in RECALLS),
            f"{100 * result['wrong_room']:.0f} %", f"{100 * result['refused']:.0f} %",
            *(
                f"{100 * result[kind]['recall']['10cm_5deg']:.0f} %"
                for kind in ("own_code", "head_alone")
            ),
            "" if retrieved is None else f"{100 * retrieved:.0f} %",
            f"{result['map_bytes'] / 1e6:.1f} MB", str(result["steps"]),
            f"{sum(result['seconds'].values()) / 60:.1f}",
            *(f"{kind['latency_ms']['p50']:.0f}" for kind in (result, result["head_alone"])),
        )  # fmt: skip
    return shown


if __name__ == "__main__":
    sys.exit(main())
