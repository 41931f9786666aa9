"""`build_map`: a rosbag or a scene folder with images and poses becomes a map file, judged on
blocks that training never saw.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from glace_ros.command_line.output_files import write_json
from glace_ros.command_line.program import run
from glace_ros.command_line.progress import progress_bar
from glace_ros.command_line.recording_options import open_recording, recording_name
from glace_ros.command_line.shortages import shortages_in_a_sentence
from glace_ros.commands.build_map_config import (
    fingerprint,
    map_builder_config,
    weights_of,
    writable_output,
)
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.device import choose_device
from glace_ros.errors import interruption_says
from glace_ros.evaluation.map_validation import MapValidation, validate_map
from glace_ros.evaluation.metrics_table import map_size, metrics_table
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.resume.saved_work import SavedWork
from glace_ros.maps.default_location import _point_latest_at
from glace_ros.maps.map_metadata import RecordingDescription
from glace_ros.ranks import Ranks
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.recording.held_out import HeldOutBlocks, HeldOutImages, mapping_count, mapping_images
from glace_ros.recording.recording_summary import describe
from glace_ros.report.build_record import BuildRecord
from glace_ros.report.map_report import map_report
from glace_ros.report.map_report_files import REPORT_S, report_paths, write_map_report
from glace_ros.report.words import place, why_weak

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import torch

    from glace_ros.evaluation.map_validation import MapValidation
    from glace_ros.mapping.map_builder_config import MapBuilderConfig
    from glace_ros.mapping.training.schedule import TrainingProgress
    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.report.map_report import MapReport


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 2 bag or scene unusable, 3 failed its check, 6 cannot train, 130
    interrupted.
    """
    args = build_map_parser(__doc__).parse_args(argv)
    return run("build_map", lambda: _build_or_say_why_not(args))


def _build_or_say_why_not(args: argparse.Namespace) -> int:
    with shortages_in_a_sentence():
        return _build(args)


def _build(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    config = map_builder_config(args)
    device = choose_device(args.device)
    ranks = Ranks.join(device)
    console = Console(stderr=True, quiet=ranks.rank > 0)
    selection = FrameSelection(
        keyframe_distance_m=args.keyframe_dist, keyframe_angle_deg=args.keyframe_angle
    )
    with open_recording(args, "train") as reader:
        if args.dry_run:
            return _dry_run(reader, selection, config)
        output = writable_output(args)
        weights_of(config)  # are they here: said before the images are counted
        _print_source(console, reader, device)
        blocks = HeldOutBlocks(reader.pose_stamps_n(), args.holdout)
        held_out = HeldOutImages(reader)
        image_count = reader.image_count
        if config.buffer.samples:
            with progress_bar(console, "count", image_count) as advance:
                image_count = mapping_count(reader, selection, blocks, advance)
                advance(reader.image_count)
        builder, record = MapBuilder(config, device, image_count, ranks), BuildRecord()
        bag_hash = ranks.from_first("" if ranks.rank else reader.content_hash())
        saved = SavedWork(
            output, fingerprint(config, args, bag_hash), reader, builder, held_out, ranks,
            resume=args.resume, every_s=args.checkpoint_every,
        )  # fmt: skip
        with saved.resumable():
            images = mapping_images(reader, selection, blocks, held_out, saved.position)
            _encode(builder, record.watch(images), reader.image_count, saved, console)
            left_out = dict(reader.left_out)  # of this pass: the next one counts anew
            _print_left_out(console, reader, len(builder.encoded.views), held_out)
            _train(builder, saved, console, record, len(held_out), args.report)
            if ranks.rank == 0:
                described = _described(reader, recording_name(args), bag_hash)
                validation = _validate(builder, described, reader, held_out, record, args)
                validation.scene_map.save(output)
            ranks.leave()
        saved.remove()
        if ranks.rank > 0:
            return 0
        seconds = {**builder.seconds, "total": time.perf_counter() - started}
        metrics = map_metrics(validation, builder) | {"left_out": left_out, "seconds": seconds}
        if validation.usable is not False and not args.output:
            _point_latest_at(output)
        report = None
        if args.report:
            poses = builder.encoded.views.map_from_camera
            with interruption_says(lambda: f"; the map {output} is done, its report is not"):
                report = map_report(reader, validation, record, poses, metrics)
                write_map_report(output, report)
            before_s = seconds.pop("total")
            total_s = time.perf_counter() - started
            seconds.update(report=total_s - before_s, total=total_s)
            write_json(report_paths(output).json, report.as_json())
    if args.json:
        write_json(Path(args.json), metrics)
    print_result(output, metrics, report)
    return validation.exit_code()


def _encode(
    builder: MapBuilder,
    images: Iterator[PosedImage],
    image_count: int,
    saved: SavedWork,
    console: Console,
) -> None:
    with progress_bar(console, "encode", image_count) as advance:

        def encoded() -> None:
            advance()
            saved.journal.save_if_due()

        advance(len(builder.encoded.views))
        builder.encode(images, encoded)
        advance(image_count)


def _train(
    builder: MapBuilder,
    saved: SavedWork,
    console: Console,
    record: BuildRecord,
    held_out: int,
    report: bool,
) -> None:
    views = len(builder.encoded.views)
    with progress_bar(console, "triangulate", views) as advance:

        def triangulated() -> None:
            advance(builder.encoded.triangulated)
            saved.journal.save_if_due()

        builder.prepare(triangulated, saved.journal.cached)
        advance(views)
    saved.before_training(builder.seconds["encode"] + builder.seconds["prepare"])
    localized = held_out + (len(record.mapping_images) if report else 0)
    of_all_heads = localized * builder.config.ensemble
    reserve_s = 2.0 + 1.5 * builder.seconds["encode"] / views * of_all_heads
    reserve_s += REPORT_S if report else 0.0
    with progress_bar(console, "train", 1.0) as advance:

        def show(progress: TrainingProgress) -> None:
            record.training.append(progress)
            advance(
                progress.done,
                f"step {progress.step}, loss {progress.loss:.2f}, "
                f"{progress.inlier_ratio:.0%} within 10 px",
            )

        builder.train(reserve_s, show, saved.checkpoint)


def _validate(
    builder: MapBuilder,
    described: RecordingDescription,
    reader: PosedImageReader,
    held_out: HeldOutImages,
    record: BuildRecord,
    args: argparse.Namespace,
) -> MapValidation:
    start = time.perf_counter()
    validation = validate_map(
        builder.scene_map(described),
        held_out,
        reader.base_from_camera,
        args.device,
        record.add_held_out,
    )
    if args.report:
        record.look_at_mapping_images(validation.localizer)
    builder.seconds["judge"] = time.perf_counter() - start
    return validation


def _described(reader: PosedImageReader, name: str, content_hash: str) -> RecordingDescription:
    return RecordingDescription(
        reader.map_frame, reader.base_frame, reader.camera_frame, reader.image_topic,
        reader.camera_info_topic, reader.camera, name, content_hash,
    )  # fmt: skip


def _dry_run(reader: PosedImageReader, selection: FrameSelection, config: MapBuilderConfig) -> int:
    summary = reader.survey(selection)
    print(describe(summary))
    steps = f"that of {config.trainer.iterations} training steps"
    print("time:       ", f"{config.minutes:g} minutes (--minutes)" if config.minutes else steps)
    return 0


def _print_source(console: Console, reader: PosedImageReader, device: torch.device) -> None:
    console.print(
        f"poses: {reader.pose_source} ({reader.pose_source_why}), of {reader.base_frame} "
        f"in {reader.map_frame}; images: {reader.image_topic}; on {device}",
        highlight=False,
    )
    for note in reader.notes:
        console.print(f"note: {note}", highlight=False)


def _print_left_out(
    console: Console, reader: PosedImageReader, mapping: int, held_out: HeldOutImages
) -> None:
    left_out = ", ".join(f"{count} {reason}" for reason, count in reader.left_out.items())
    few = len(held_out) < len(held_out.stamps_ns)
    console.print(
        f"frames: {reader.image_count} recorded, {mapping} to map from, "
        f"{len(held_out.stamps_ns)} held out"
        + (f" ({len(held_out)} of them to judge it)" if few else "")
        + (f"; left out: {left_out}" if left_out else ""),
        highlight=False,
    )


def map_metrics(validation: MapValidation, builder: MapBuilder) -> dict[str, Any]:
    """The figures of `judge`, and those of the map that was saved."""
    scene_map = validation.scene_map
    return {
        **validation.metrics,
        "map_bytes": scene_map.file_bytes,
        "heads": len(scene_map.heads),
        "samples_per_second": builder.samples_per_second,
        "steps": builder.steps,
        "landmarks": len(scene_map.landmarks) if scene_map.landmarks else 0,
        "mapping_frames": len(builder.encoded.views),
        "points_share": builder.triangulated_ratio,
        "sigma": scene_map.metadata.sigma,
        "codes": vars(builder.codes) if builder.codes else None,
    }


_REGIONS_PRINTED = 5


def print_result(output: Path, metrics: dict[str, Any], report: MapReport | None) -> None:
    """The held-out figures on stdout, and where to record more."""
    table = Table(title=f"{output.name}, held-out blocks", show_header=False)
    for row in metrics_table(metrics):
        table.add_row(*row)
    table.add_row("map", f"{output}, {map_size(metrics)}")
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in metrics["seconds"].items())
    table.add_row("time", seconds)
    if report:
        table.add_row("report", str(report_paths(output).html))
        for region in report.regions[:_REGIONS_PRINTED]:
            table.add_row("record more at", f"{place(region)}: {why_weak(region)}")
    Console().print(table)
