"""`prepare`: a bag becomes a scene folder, as `build_map --scene` reads it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from glace_ros.datasets.bag import write_posed_images
from glace_ros.datasets.scene_writer import SceneWriter, scene_folder
from glace_ros.nodes.command_line import progress_bar, run
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.scene_folder import SPLITS


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 1 cannot be written, 2 data unusable, 130 interrupted."""
    args = _parser().parse_args(argv)
    return run("prepare", lambda: args.prepare(args, Console(stderr=True)))


def _prepare_bag(args: argparse.Namespace, console: Console) -> int:
    folder = args.destination / args.split
    with RecordingReader(
        args.source, args.image_topic, args.camera_info_topic, args.pose_source
    ) as reader:
        made_from = {"bag": reader.content_hash(), "poses": reader.pose_source}
        with scene_folder(folder, made_from) as writer:
            if writer:
                with progress_bar(console, args.split, reader.image_count) as advance:
                    write_posed_images(reader, writer, advance)
        _print_done(console, folder, writer)
    return 0


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
    _add_paths(bag, "rosbag2 folder or file, or ROS 1 .bag", _prepare_bag)
    bag.add_argument("--split", default="train", choices=SPLITS, help="which part it becomes")
    for option in ("--image-topic", "--camera-info-topic", "--pose-source"):
        bag.add_argument(option, metavar="NAME", help="as in build_map")
    return parser


def _add_paths(parser: argparse.ArgumentParser, source: str, prepare: object) -> None:
    parser.add_argument("source", type=Path, metavar="SRC", help=source)
    parser.add_argument("destination", type=Path, metavar="DST", help="where scene folders go")
    parser.set_defaults(prepare=prepare)


if __name__ == "__main__":
    sys.exit(main())
