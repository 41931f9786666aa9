"""`evaluate`: localize every image of a bag or scene folder, with the localizer of the live node,
and compare with the truth.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from glace_ros.command_line.arguments import positive, whole_number
from glace_ros.command_line.notes import print_notes
from glace_ros.command_line.output_files import require_distinct, require_writable, write_json
from glace_ros.command_line.program import run
from glace_ros.command_line.progress import progress_bar
from glace_ros.command_line.recording_options import (
    add_recording_arguments,
    open_recording,
    recording_name,
)
from glace_ros.errors import GlaceError, RecordingError
from glace_ros.evaluation.alignment import KINDS, AlignmentImpossible, align
from glace_ros.evaluation.frame_offset import frame_offset
from glace_ros.evaluation.localized_frame import LocalizedFrame, localize_frame
from glace_ros.evaluation.metrics import rejection_counts, summarize_frames
from glace_ros.evaluation.metrics_table import aligned_table, map_size, metrics_table
from glace_ros.evaluation.pose_files import write_submission, write_tum
from glace_ros.evaluation.window_frames import WindowFrames, open_odometry
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.localization.acceptance import AcceptanceConfig
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.maps.scene_map import SceneMap
from glace_ros.maps.validation import NOT_VALIDATED
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.scene_reader import SceneReader
from glace_ros.ros_messages.value_range import FULL_RANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.geometry.mount_correction import MountCorrection
    from glace_ros.maps.map_metadata import MapMetadata
    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.recording.posed_images import PosedImage


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 2 recording unusable, 4 map unusable, 130 interrupted."""
    args = _parser().parse_args(argv)
    return run("evaluate", lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> int:
    console = Console(stderr=True)
    files = (("--json", args.json), ("--tum", args.tum), ("--submission", args.submission))
    if args.submission and not args.scene:
        raise GlaceError("--submission needs --scene: the images of a bag have no names")
    if args.window and args.scene:
        raise GlaceError("--window needs --bag: a scene has no odometry between its images")
    if args.odometry and args.scene:
        raise GlaceError("--odometry needs --bag: a scene has none")
    if args.align and args.foreign:
        raise GlaceError(
            "--align and --foreign contradict each other: no motion takes poses to the truth that "
            "is of another place"
        )
    require_distinct({"--map": args.map, "--bag": args.bag, "--scene": args.scene, **dict(files)})
    for option, file in files:
        if file:
            require_writable(option, Path(file))
    scene_map = SceneMap.load(args.map)
    config = LocalizerConfig(
        ransac_px=args.ransac_px,
        seed=args.seed,
        acceptance=AcceptanceConfig(min_inliers=args.min_inliers),
    )
    localizer = Localizer(scene_map, config, args.device)
    windows = WindowFrames(localizer, args.window) if args.window else None
    frames, names = _localized_frames(args, localizer, scene_map, console, windows)
    if args.foreign:
        frames = [replace(frame, truth=None) for frame in frames]
    metrics = _metrics(scene_map, frames, names, foreign=args.foreign)
    rows = _out_of_map_rows(frames) if args.foreign else metrics_table(metrics)
    if windows:
        metrics["window"] = windows.metrics(foreign=args.foreign)
        rows += windows.rows(foreign=args.foreign)
    if args.align:
        metrics["aligned"], aligned_rows = _aligned(frames, args.align, console)
        rows += aligned_rows
    table = Table(title=f"{Path(args.map).name} on {recording_name(args)}", show_header=False)
    for row in [*rows, ("map", map_size(metrics))]:
        table.add_row(*row)
    Console().print(table)
    if offset := frame_offset(frames):
        console.print(f"note: {offset}", highlight=False)
    if args.json:
        write_json(Path(args.json), metrics)
    if args.tum:
        write_tum(Path(args.tum), frames)
    if args.submission:
        write_submission(Path(args.submission), names, frames)
    return 0


def _metrics(
    scene_map: SceneMap, frames: list[LocalizedFrame], names: list[str], *, foreign: bool
) -> dict[str, Any]:
    """What `--json` writes.

    names: of the frames' images; empty for a bag.
    foreign: the images are out-of-map.
    """
    metrics = {
        **summarize_frames(frames),
        "map_bytes": scene_map.file_bytes,
        "heads": len(scene_map.heads),
    }
    if foreign:
        metrics["foreign_accepts"] = sum(frame.estimate is not None for frame in frames)
    if rooms := _by_room(names, frames):
        metrics["rooms"] = rooms
    return metrics


def _aligned(
    frames: list[LocalizedFrame], kind: str, console: Console
) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
    """The metrics of aligned poses, and as rows; nothing, and a note, where there is no alignment.

    kind: as `--align` has it.
    """
    try:
        alignment = align(frames, kind)
    except AlignmentImpossible as error:
        console.print(f"note: nothing is aligned: {error}", highlight=False)
        return None, []
    metrics = alignment.metrics(frames)
    return metrics, aligned_table(alignment, metrics)


def _localized_frames(
    args: argparse.Namespace,
    localizer: Localizer,
    scene_map: SceneMap,
    console: Console,
    windows: WindowFrames | None,
) -> tuple[list[LocalizedFrame], list[str]]:
    """The frames, and what their images are called in a scene folder (nothing in a bag).

    windows: gets what each image gives together with those before it; None: that is not asked for.
    """
    frames: list[LocalizedFrame] = []
    names: list[str] = []
    values = scene_map.metadata.value_range or FULL_RANGE
    with ExitStack() as closing:
        reader = closing.enter_context(open_recording(args, "test", values))
        odometry = None
        if isinstance(reader, RecordingReader) and (
            windows or args.odometry or scene_map.metadata.readout_s
        ):
            try:
                what = "--window" if windows else "the map's rolling shutter"
                odometry = closing.enter_context(open_odometry(reader, args.odometry, what))
            except RecordingError as error:
                if windows or args.odometry:
                    raise
                console.print(f"note: {error}", highlight=False)
            else:
                console.print(f"odometry: {odometry.info.pose_source}", highlight=False)
        _print_truth(console, reader, scene_map.metadata)
        said = list(reader.notes)
        correction = scene_map.metadata.calibration_of(reader.info.camera_frame)
        base_from_camera = reader.info.base_from_camera
        if correction:
            base_from_camera = base_from_camera @ correction.pose
        with progress_bar(console, "localize", reader.info.image_count) as advance:
            for image in reader.images():
                at_ns = correction.exposure_ns(image.stamp_ns) if correction else image.stamp_ns
                seen = calibrated(image, reader, correction) if correction else image
                # the truth's own motion is not for a robot to know
                seen = replace(seen, motion=odometry.motion(at_ns) if odometry else None)
                if windows and odometry:
                    frames.append(windows.look(seen, base_from_camera, odometry, at_ns))
                else:
                    frames.append(localize_frame(localizer, seen, base_from_camera))
                advance()
        print_notes(console, reader.notes, said)
        if isinstance(reader, SceneReader):
            names = [reader.name_of(frame.stamp_ns) for frame in frames]
    return frames, names


def calibrated(
    image: PosedImage, reader: PosedImageReader, correction: MountCorrection
) -> PosedImage:
    """The image with the pose of its true exposure and mount; none where the recording ends. The
    offset is to the clock of odometry: a truth that was measured otherwise has one of its own.
    """
    described = image.map_from_camera
    truth = reader.info.topics.get(reader.info.pose_source)
    if truth is None or truth.msgtype.endswith("/Odometry"):
        try:
            described = reader.map_from_camera(correction.exposure_ns(image.stamp_ns))
        except TransformError:
            described = None
    return replace(image, map_from_camera=described @ correction.pose if described else None)


def _print_truth(console: Console, reader: PosedImageReader, metadata: MapMetadata) -> None:
    """What the map is compared with, and what is odd about either."""
    info = reader.info
    print_notes(console, reader.notes)
    console.print(
        f"truth: {info.pose_source} ({info.pose_source_why}), of {info.base_frame} "
        f"in {info.map_frame}",
        highlight=False,
    )
    if metadata.calibration_of(info.camera_frame):
        console.print(
            "note: the map was made with --calibrate: its mount and time offset of the camera are "
            "applied",
            highlight=False,
        )
    if metadata.intrinsics:
        pinhole = info.camera.undistorted
        own = metadata.true_pinhole(pinhole) != pinhole
        applied = "applied" if own else "not applied, since these images have another one"
        console.print(
            f"note: the map corrects the camera_info that it was recorded with: {applied}",
            highlight=False,
        )
    if metadata.held_out is None:
        console.print(f"note: the map: {NOT_VALIDATED}", highlight=False)
    if not metadata.map_frame:
        console.print(
            "note: the map does not name its frame; that of the truth is taken for the same",
            highlight=False,
        )
    elif info.map_frame != metadata.map_frame:
        console.print(
            f"note: the truth is in the frame '{info.map_frame}', the map was recorded in "
            f"'{metadata.map_frame}'; they are taken for the same",
            highlight=False,
        )


def _by_room(names: Sequence[str], frames: Sequence[LocalizedFrame]) -> dict[str, dict[str, Any]]:
    """The metrics of each room of a list.

    names: of the frames' images; empty for a bag.
    """
    rooms: dict[str, list[LocalizedFrame]] = {}
    for name, frame in zip(names, frames, strict=False):  # frames of a bag have no names
        if room := name.rpartition("/")[0]:
            rooms.setdefault(room, []).append(frame)
    return {room: summarize_frames(of_room) for room, of_room in rooms.items()}


def _out_of_map_rows(frames: Sequence[LocalizedFrame]) -> list[tuple[str, str]]:
    accepted = sum(frame.estimate is not None for frame in frames)
    rejections = [
        (f"refused: {code.words}", str(count)) for code, count in rejection_counts(frames).items()
    ]
    return [("images of another place", str(len(frames))), ("accepted", str(accepted)), *rejections]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__)
    parser.add_argument("--map", required=True, metavar="MAP.glace")
    add_recording_arguments(parser, "test")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument(
        "--foreign",
        action="store_true",
        help="it is of another place, which the map does not show: every pose is a false one",
    )
    parser.add_argument(
        "--align",
        choices=KINDS,
        help="metrics also of the poses once one rigid motion, or one with a scale, has taken them "
        "to the truth: for a map in the frame of a robot's odometry",
    )
    parser.add_argument(
        "--tum", metavar="FILE", help="write the accepted poses of the base, TUM format"
    )
    parser.add_argument(
        "--submission",
        metavar="FILE",
        help="write the accepted poses of a scene's cameras as visuallocalization.net takes them",
    )
    parser.add_argument(
        "--window",
        type=whole_number(2),
        default=0,
        metavar="N",
        help="metrics also of the last N images together, by the bag's odometry between them",
    )
    parser.add_argument(
        "--odometry",
        metavar="SOURCE",
        help="of --window and of a rolling shutter: an odometry topic or tf:FRAME; found by "
        "itself: the bag's only odometry topic, else tf:odom",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    parser.add_argument(
        "--min-inliers",
        type=whole_number(4),
        default=AcceptanceConfig.min_inliers,
        help="default %(default)s",
    )
    parser.add_argument(
        "--ransac-px", type=positive, default=LocalizerConfig.ransac_px, help="default %(default)g"
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0),
        default=LocalizerConfig.seed,
        help="of RANSAC, default %(default)s",
    )
    return parser
