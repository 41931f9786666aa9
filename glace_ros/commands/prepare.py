"""`prepare`: a bag or a published data set becomes scene folders, as `--scene` reads them.

Images are linked where they lie unpacked on the same disk, else copied. What was interrupted goes
on with the same command.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from glace_ros.atomic_write import write_output
from glace_ros.command_line.output_files import require_writable
from glace_ros.command_line.program import run
from glace_ros.command_line.progress import progress_bar
from glace_ros.command_line.recording_options import add_camera_arguments
from glace_ros.datasets.bag import write_posed_images
from glace_ros.datasets.data_sets import (
    PublishedScene,
    aachen_of,
    cambridge_of,
    scene_source,
    seven_scenes_of,
    twelve_scenes_of,
)
from glace_ros.datasets.published import write_scene
from glace_ros.datasets.rooms import room_list
from glace_ros.datasets.scene_writer import SceneWriter, scene_folder
from glace_ros.errors import GlaceError, RecordingError
from glace_ros.geometry.pose import pose_of_text
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.scene_folder import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable

_TERMS = {
    "7scenes": "https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/",
    "12scenes": "http://graphics.stanford.edu/projects/reloc/",
    "cambridge": "https://www.repository.cam.ac.uk/items/53788265-cb98-42ee-b85b-7a0cbc8eddb3",
    "aachen": "https://data.ciirc.cvut.cz/public/projects/2020VisualLocalization/"
    "Aachen-Day-Night/README_Aachen-Day-Night.md",
}


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 1 cannot be written, 2 data unusable, 130 interrupted."""
    args = _parser().parse_args(argv)
    return run("prepare", lambda: _prepare(args))


def _prepare(args: argparse.Namespace) -> int:
    try:
        args.prepare(args, Console(stderr=True))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        mend = "the same command goes on from here"
        if isinstance(error, (FileExistsError, NotADirectoryError, PermissionError)):
            mend = "name another folder for DST"
        raise GlaceError(f"{where}{error.strerror}; {mend}") from error
    return 0


def _prepare_bag(args: argparse.Namespace, console: Console) -> None:
    folder = args.destination / args.split
    pose = None if args.camera_pose is None else pose_of_text(args.camera_pose)
    if args.camera_info is not None and args.camera_info_topic is not None:
        raise RecordingError("--camera-info and --camera-info-topic are both given: leave one out")
    with RecordingReader(
        args.source, args.image_topic, args.camera_info_topic, args.pose_source,
        camera_info_file=args.camera_info, base_from_camera=pose,
    ) as reader:  # fmt: skip
        made_from = {"bag": reader.content_hash(), "poses": reader.info.pose_source}
        if args.camera_info is not None:
            made_from["camera"] = repr(reader.info.camera)
        if args.camera_pose is not None:
            made_from["camera pose"] = args.camera_pose
        with scene_folder(folder, made_from) as writer:
            if writer:
                with progress_bar(console, args.split, reader.info.image_count) as advance:
                    write_posed_images(reader, writer, advance)
    _print_done(console, folder, writer)


def _prepare_published(args: argparse.Namespace, console: Console) -> None:
    console.print(f"terms of use: {_TERMS[args.data_set]}", highlight=False, soft_wrap=True)
    scenes: list[PublishedScene] = args.scenes_of(args)
    if not args.source.exists():
        raise RecordingError(f"{args.source} cannot be read: there is no such folder or file")
    args.destination.mkdir(parents=True, exist_ok=True)
    missing = [scene for scene in scenes if not _prepare_scene(args, scene, console)]
    names = ", ".join("/".join(scene.path) for scene in missing)
    if len(missing) == len(scenes):
        raise RecordingError(f"{args.source} has none of {names}, neither as folder nor as .zip")
    if missing:
        console.print(f"not in {args.source}: {names}", highlight=False, soft_wrap=True)


def _prepare_scene(args: argparse.Namespace, scene: PublishedScene, console: Console) -> bool:
    """Writes one scene; whether the source has it."""
    folder = args.destination / scene.folder
    with scene_source(args.source, scene, args.destination) as source:
        if source is None:
            return False
        with progress_bar(console, scene.folder, 1.0) as advance:
            images = scene.images(source, args.destination)
            writer = write_scene(folder, scene.made_from, images, advance)
    _print_done(console, folder, writer)
    return True


def _prepare_rooms(args: argparse.Namespace, console: Console) -> None:
    require_writable("LIST.txt", args.list)
    write_output(args.list, room_list(args.list, args.scene))
    console.print(f"{args.list}: {len(args.scene)} rooms", highlight=False, soft_wrap=True)


def _print_done(console: Console, folder: Path, writer: SceneWriter | None) -> None:
    if writer is None:
        console.print(f"{folder}: there already", highlight=False, soft_wrap=True)
        return
    left_out = ", ".join(f"{count} {reason}" for reason, count in writer.left_out.items())
    words = f"{folder}: {writer.images} images" + (f"; left out: {left_out}" if left_out else "")
    console.print(words, highlight=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prepare", description=__doc__)
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    bag = kinds.add_parser("bag", help="a bag, whose images are undistorted and written as PNG")
    _add_paths(bag, "rosbag2 folder or file, or ROS 1 .bag")
    bag.set_defaults(prepare=_prepare_bag)
    bag.add_argument("--split", default="train", choices=SPLITS, help="which part it becomes")
    for option in ("--image-topic", "--camera-info-topic", "--pose-source"):
        bag.add_argument(option, metavar="NAME", help="as in build_map")
    add_camera_arguments(bag)
    for indoor in (
        _add_published(kinds, "7scenes", lambda args: seven_scenes_of(args.sfm)),
        _add_published(kinds, "12scenes", lambda args: twelve_scenes_of(args.sfm)),
    ):
        indoor.add_argument(
            "--sfm",
            type=Path,
            metavar="DIR",
            help="take the poses and focal lengths of structure from motion, of a checkout of "
            "github.com/tsattler/visloc_pseudo_gt_limitations, instead of the recorded ones",
        )
    _add_published(kinds, "cambridge", lambda _: cambridge_of())
    aachen = _add_published(kinds, "aachen", lambda args: aachen_of(night=args.night))
    aachen.add_argument("--night", action="store_true", help="the queries by night too")
    rooms = kinds.add_parser("rooms", help="a list of prepared scenes, for one map of them all")
    rooms.add_argument("list", type=Path, metavar="LIST.txt", help="is written")
    rooms.add_argument("scene", type=Path, nargs="+", metavar="DIR", help="scene folder")
    rooms.set_defaults(prepare=_prepare_rooms)
    return parser


def _add_published(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    scenes_of: Callable[[argparse.Namespace], list[PublishedScene]],
) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help="as its owners publish it, zips or unpacked")
    _add_paths(parser, "the folder with its archives or folders, or one of them")
    parser.set_defaults(prepare=_prepare_published, data_set=name, scenes_of=scenes_of)
    return parser


def _add_paths(parser: argparse.ArgumentParser, source: str) -> None:
    parser.add_argument("source", type=Path, metavar="SRC", help=source)
    parser.add_argument("destination", type=Path, metavar="DST", help="where scene folders go")
