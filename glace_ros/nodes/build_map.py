"""`build_map`: a rosbag with images and poses becomes a map file, judged on blocks that training
never saw.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from glace_ros.device import choose_device
from glace_ros.evaluation import (
    acceptance_threshold,
    covariance_scale,
    figures_table,
    summarize_frames,
)
from glace_ros.localization.localizer import Localizer
from glace_ros.mapping.map_builder import MapBuilder, MapBuilderConfig, RecordingDescription
from glace_ros.mapping.training_checkpoint import TrainingCheckpoint
from glace_ros.nodes.command_line import (
    add_bag_arguments,
    finite,
    not_negative,
    positive,
    progress_bar,
    require_writable,
    run,
    share,
    whole_number,
)
from glace_ros.nodes.evaluate import localize_frame
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.recording.held_out import HeldOutBlocks
from glace_ros.recording.recording_summary import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glace_ros.mapping.map_trainer import TrainingProgress
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.scene.scene_map import SceneMap

FAILED_HELD_OUT = 3
_HELD_OUT_FIGURES = (
    "frames",
    "localized",
    "median_translation_m",
    "median_rotation_deg",
    "recall",
)
USABLE_RECALL = 0.3
"""Share of held-out frames that must come within 50 cm / 5 deg for a map to count as usable.
Held-out blocks are gaps in the map's coverage: a robot on the recording's own way sees more.
"""


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 2 bag unusable, 3 failed its check, 6 cannot train, 130 interrupted."""
    args = _parser().parse_args(argv)
    return run("build_map", lambda: _build(args))


def default_folder() -> Path:
    """Where maps go and where the launch file looks: $ROS_HOME/glace, ~/.ros/glace."""
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "glace"


def _build(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    console = Console(stderr=True)
    config = _config(args)
    device = choose_device(args.device)
    selection = FrameSelection(
        keyframe_distance_m=args.keyframe_dist, keyframe_angle_deg=args.keyframe_angle
    )
    with RecordingReader(
        args.bag, args.image_topic, args.camera_info_topic, args.pose_source
    ) as reader:
        if args.dry_run:
            return _dry_run(reader, selection, config)
        output = (
            Path(args.output) if args.output else default_folder() / f"{_bag_name(args.bag)}.glace"
        )
        require_writable("--output", output)
        if args.json:
            require_writable("--json", Path(args.json))
        console.print(
            f"poses: {reader.pose_source} ({reader.pose_source_why}), of {reader.base_frame} "
            f"in {reader.map_frame}; images: {reader.image_topic}; on {device}",
            highlight=False,
        )
        for note in reader.notes:
            console.print(f"note: {note}", highlight=False)
        held_out = HeldOutBlocks(reader.pose_stamps_n(), args.holdout)
        builder = MapBuilder(config, device)
        kept: list[PosedImage] = []
        with progress_bar(console, "encode", reader.image_count) as advance:
            builder.encode(_mapping_images(reader, selection, held_out, kept), advance)
            advance(reader.image_count)
        _print_left_out(console, reader, len(builder.encoded.views), len(kept))
        bag_hash = reader.content_hash()
        checkpoint = TrainingCheckpoint(
            output.with_name(output.name + ".checkpoint"),
            _fingerprint(config, args, bag_hash),
            resume=args.resume,
        )
        _train(builder, checkpoint, console, len(kept))
        scene_map = builder.scene_map(
            RecordingDescription(
                reader.map_frame, reader.base_frame, reader.camera_frame, reader.image_topic,
                reader.camera_info_topic, reader.camera, _bag_name(args.bag), bag_hash,
            )
        )  # fmt: skip
        scene_map, figures, usable = _judge(scene_map, kept, reader, args.device)
    scene_map.save(output)
    checkpoint.remove()
    seconds = {**builder.seconds, "total": time.perf_counter() - started}
    figures |= {
        "map_bytes": scene_map.file_bytes,
        "seconds": seconds,
        "samples_per_second": builder.samples_per_second,
        "steps": builder.steps,
        "mapping_frames": len(builder.encoded.views),
        "left_out": dict(reader.left_out),
        "points_share": builder.points_share,
        "sigma": scene_map.metadata.sigma,
        "codes": vars(builder.codes) if builder.codes else None,
    }
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")
    _print_result(output, figures)
    if usable is False:
        print(
            f"build_map: the map failed its check: under {USABLE_RECALL:.0%} of the "
            "held-out frames came within 50 cm / 5 deg; record more views of the same places, "
            "or give it more --minutes",
            file=sys.stderr,
        )
        return FAILED_HELD_OUT
    if not args.output:
        _point_latest_at(output)
    return 0


def _mapping_images(
    reader: RecordingReader,
    selection: FrameSelection,
    held_out: HeldOutBlocks,
    kept: list[PosedImage],
) -> Iterator[PosedImage]:
    for image in reader.posed_images(selection):
        if image.stamp_ns in held_out:
            kept.append(image)
        else:
            yield image


def _train(
    builder: MapBuilder, checkpoint: TrainingCheckpoint, console: Console, held_out: int
) -> None:
    views = len(builder.encoded.views)
    with progress_bar(console, "triangulate", views) as advance:
        builder.prepare(advance)
    reserve_s = 2.0 + 1.5 * builder.seconds["encode"] / views * held_out
    try:
        with progress_bar(console, "train", 1.0) as advance:

            def show(progress: TrainingProgress) -> None:
                advance(
                    progress.done,
                    f"step {progress.step}, loss {progress.loss:.2f}, "
                    f"{progress.inlier_share:.0%} within 10 px",
                )

            builder.train(reserve_s, show, checkpoint)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; --resume goes on from {checkpoint.path}") from None


def _judge(
    scene_map: SceneMap, kept: list[PosedImage], reader: RecordingReader, device: str
) -> tuple[SceneMap, dict[str, Any], bool | None]:
    """The map with its held-out accuracy, acceptance threshold and covariance scale, the figures,
    and whether it is usable (None: nothing was held out).
    """
    lenient = Localizer(scene_map.with_metadata(min_inlier_ratio=0.0), device=device)
    frames = [localize_frame(lenient, image, reader.base_from_camera) for image in kept]
    if not frames:
        return scene_map, summarize_frames([]), None
    threshold = acceptance_threshold(frames)
    frames = [frame.accepted_from(threshold) for frame in frames]
    scale = covariance_scale(frames)
    figures = summarize_frames([frame.with_covariance_scaled(scale) for frame in frames])
    judged = scene_map.with_metadata(
        held_out={name: figures[name] for name in _HELD_OUT_FIGURES},
        covariance_scale=scale,
        min_inlier_ratio=threshold,
    )
    return judged, figures, figures["recall"]["50cm_5deg"] >= USABLE_RECALL


def _dry_run(reader: RecordingReader, selection: FrameSelection, config: MapBuilderConfig) -> int:
    summary = reader.survey(selection)
    print(describe(summary))
    print(f"time:        {config.minutes:g} minutes (--minutes)")
    return 0


def _print_left_out(console: Console, reader: RecordingReader, mapping: int, held_out: int) -> None:
    left_out = ", ".join(f"{count} {reason}" for reason, count in reader.left_out.items())
    console.print(
        f"frames: {reader.image_count} recorded, {mapping} to map from, {held_out} held out"
        + (f"; left out: {left_out}" if left_out else ""),
        highlight=False,
    )


def _print_result(output: Path, figures: dict[str, Any]) -> None:
    table = Table(title=f"{output.name}, held-out blocks", show_header=False)
    for row in figures_table(figures):
        table.add_row(*row)
    table.add_row("map", f"{output}, {figures['map_bytes'] / 1e6:.2f} MB")
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in figures["seconds"].items())
    table.add_row("time", seconds)
    Console().print(table)


def _point_latest_at(output: Path) -> None:
    link = output.with_name("latest.glace")
    partial = link.with_name("latest.glace.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(output.name)
    partial.replace(link)


def _bag_name(bag: str) -> str:
    return Path(bag).resolve().stem


def _fingerprint(config: MapBuilderConfig, args: argparse.Namespace, bag_hash: str) -> str:
    """Names everything that a checkpoint depends on; the minutes may change when resuming."""
    choices = {
        k: v
        for k, v in vars(args).items()
        if k not in ("minutes", "resume", "json", "output", "device")
    }
    text = repr((replace(config, minutes=0.0), sorted(choices.items()), bag_hash))
    return hashlib.sha256(text.encode()).hexdigest()


def _config(args: argparse.Namespace) -> MapBuilderConfig:
    config = MapBuilderConfig()
    return replace(
        config,
        minutes=0.0 if args.iterations else args.minutes,
        local_encoder=args.local_encoder,
        global_encoder=args.global_encoder,
        sigma=args.sigma,
        seed=args.seed,
        head=replace(config.head, clusters=args.clusters),
        trainer=replace(config.trainer, iterations=args.iterations or config.trainer.iterations),
    )


def _parser() -> argparse.ArgumentParser:
    defaults, frames = MapBuilderConfig(), FrameSelection()
    parser = argparse.ArgumentParser(
        prog="build_map",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_bag_arguments(parser)
    parser.add_argument(
        "--output",
        metavar="MAP.glace",
        help="left out: BAGNAME.glace in ~/.ros/glace, with latest.glace pointing at it",
    )
    parser.add_argument(
        "--minutes", type=positive, default=defaults.minutes, help="wall time, everything included"
    )
    parser.add_argument(
        "--iterations", type=whole_number(1), help="train for so many steps, however long they take"
    )
    parser.add_argument(
        "--keyframe-dist", type=not_negative, default=frames.keyframe_distance_m, metavar="M"
    )
    parser.add_argument(
        "--keyframe-angle", type=not_negative, default=frames.keyframe_angle_deg, metavar="DEG"
    )
    parser.add_argument(
        "--holdout",
        type=share,
        default=0.1,
        help="share of the drive, in contiguous blocks, that judges the map",
    )
    parser.add_argument("--local-encoder", default=defaults.local_encoder, choices=["xfeat"])
    parser.add_argument(
        "--global-encoder", default=defaults.global_encoder, choices=["vlad", "none"]
    )
    parser.add_argument(
        "--sigma",
        type=finite,
        default=defaults.sigma,
        help="of the feature diffusion, negative: measured",
    )
    parser.add_argument(
        "--clusters",
        type=whole_number(1),
        default=defaults.head.clusters,
        help="K of the position decoder",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--seed", type=whole_number(0), default=defaults.seed)
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint of an interrupted run"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what the bag holds and what would be used, then stop",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
