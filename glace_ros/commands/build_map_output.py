"""What `build_map` says: on the recording, and of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from glace_ros.command_line.notes import print_notes
from glace_ros.commands.dry_run_poses import PoseSample
from glace_ros.evaluation.metrics_table import map_size, metrics_table
from glace_ros.maps.validation import NOT_VALIDATED
from glace_ros.recording.recording_summary import describe, survey
from glace_ros.report.map_report_files import report_paths
from glace_ros.report.words import place, why_weak

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from glace_ros.evaluation.map_validation import MapValidation
    from glace_ros.mapping.build_steps import Prepared, Trained
    from glace_ros.mapping.map_builder_config import MapBuilderConfig
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.frame_selection import FrameSelection
    from glace_ros.recording.held_out import HeldOutImages
    from glace_ros.report.map_report import MapReport


def print_survey(
    reader: DrivesReader, selection: FrameSelection, config: MapBuilderConfig, device: torch.device
) -> None:
    """What a dry run finds, on stdout: each drive by itself.

    Raises RecordingError where not one frame of a drive can be used.
    """
    for number, drive in enumerate(reader.drives):
        if len(reader.drives) > 1:
            print(f"drive {number + 1} of {len(reader.drives)}, {reader.names[number]}")
        sample = PoseSample(drive, config, device)
        print(describe(survey(drive, selection, sample.add)))
        if said := sample.sentence():
            print(said)
    steps = f"that of {config.trainer.iterations} training steps"
    print(
        "time:       ",
        f"at most {config.minutes:g} minutes (--minutes)" if config.minutes else steps,
    )


def print_source(console: Console, reader: DrivesReader, device: torch.device) -> None:
    """Which poses and images of each drive are used, and what is odd about them so far."""
    for name, drive in zip(reader.names, reader.drives, strict=True):
        info = drive.info
        console.print(
            (f"{name}: " if len(reader.drives) > 1 else "")
            + f"poses: {info.pose_source} ({info.pose_source_why}), of {info.base_frame} "
            f"in {info.map_frame}; images: {info.image_topic}; on {device}",
            highlight=False,
        )
    print_notes(console, reader.notes)


def print_left_out(
    console: Console,
    reader: DrivesReader,
    mapping: int,
    held_out: HeldOutImages,
    said: Sequence[str],
) -> None:
    """How the images are divided, and what was found to be odd since the beginning.

    mapping: how many the map is made of.
    held_out: the images that validate it.
    said: the notes that were printed.
    """
    print_notes(console, reader.notes, said)
    left_out = ", ".join(f"{count} {reason}" for reason, count in reader.left_out.items())
    few, between = len(held_out) < len(held_out.noted), len(held_out.some_non_keyframes)
    console.print(
        f"frames: {reader.info.image_count} recorded, {mapping} to map from, "
        f"{len(held_out.noted)} held out"
        + (f" ({len(held_out)} of them to judge it)" if few else "")
        + (f", {between} between keyframes for what poses by landmarks err by" if between else "")
        + (f"; left out: {left_out}" if left_out else ""),
        highlight=False,
    )
    if not held_out.noted:
        print_notes(console, [f"no image is held out. The map: {NOT_VALIDATED}"])


def map_metrics(validation: MapValidation, prepared: Prepared, trained: Trained) -> dict[str, Any]:
    """Metrics of the validation, and those of the map that was saved."""
    scene_map = validation.scene_map
    statistics = prepared.descriptors.statistics if prepared.descriptors else None
    return {
        **validation.metrics,
        "map_bytes": scene_map.file_bytes,
        "heads": len(scene_map.heads),
        "samples_per_second": trained.samples_per_second,
        "steps": trained.steps,
        "landmarks": len(scene_map.landmarks) if scene_map.landmarks else 0,
        "mapping_frames": len(prepared.buffer.views),
        "points_share": prepared.triangulated_ratio,
        "sigma": scene_map.metadata.sigma,
        "codes": vars(statistics) if statistics else None,
    }


_REGIONS_PRINTED = 5


def print_result(output: Path, metrics: dict[str, Any], report: MapReport | None) -> None:
    """The held-out metrics on stdout, and where to record more."""
    table = Table(title=f"{output.name}, held-out blocks", show_header=False)
    for row in metrics_table(metrics):
        table.add_row(*row)
    table.add_row("map", f"{output}, {map_size(metrics)}")
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in metrics["seconds"].items())
    table.add_row("time", seconds)
    if report:
        table.add_row("report", str(report_paths(output).html))
        if report.drives:
            table.add_row("times", dict(report.description)["times"])
        for region in report.regions[:_REGIONS_PRINTED]:
            table.add_row("record more at", f"{place(region)}: {why_weak(region)}")
    Console().print(table)
