"""--bag or --scene: what the offline programs read, and what of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glace_ros.errors import RecordingError
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.scene_folder import SPLITS
from glace_ros.recording.scene_reader import SceneReader

if TYPE_CHECKING:
    import argparse

    from glace_ros.recording.posed_image_reader import PosedImageReader


@dataclass(frozen=True)
class RecordingChoice:
    """What the arguments of `add_recording_arguments` say, each by its own name."""

    bag: str = ""
    """Empty: a scene is read."""
    scene: str = ""
    """Empty: a bag is read."""
    image_topic: str | None = None
    """None: found by itself, as all that follow."""
    camera_info_topic: str | None = None
    """None: found by itself."""
    pose_source: str | None = None
    """None: found by itself."""

    @staticmethod
    def of(args: argparse.Namespace) -> RecordingChoice:
        """Of a parsed command line."""
        return RecordingChoice(
            args.bag or "", args.scene or "", args.image_topic, args.camera_info_topic,
            args.pose_source,
        )  # fmt: skip


def add_recording_arguments(
    parser: argparse.ArgumentParser, split: str, *, required: bool = True
) -> None:
    """Adds --bag and what in it to use, or --scene.

    parser: gets the options.
    split: the part of a scene folder that is read.
    required: whether one of the two has to be given.
    """
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument(
        "--bag",
        metavar="PATH",
        help="rosbag2 folder or file (sqlite3, mcap, zstd) or ROS 1 .bag",
    )
    source.add_argument(
        "--scene",
        metavar="PATH",
        help=f"scene folder, of which {split}/{{rgb,poses,calibration}} is read (or PATH itself, "
        "if it has rgb), or a text file with a room in each line: folder cx cy cz",
    )
    parser.add_argument(
        "--image-topic",
        metavar="TOPIC",
        help="raw or compressed; found by itself where there is one",
    )
    parser.add_argument(
        "--camera-info-topic", metavar="TOPIC", help="found by itself beside the image topic"
    )
    parser.add_argument(
        "--pose-source", metavar="SOURCE",
        help="tf:FRAME, or a topic of Odometry, PoseStamped or PoseWithCovarianceStamped; left "
        "out: tf:map if the bag has it, else the odometry topic",
    )  # fmt: skip


def open_recording(args: argparse.Namespace | RecordingChoice, split: str) -> PosedImageReader:
    """The reader, to be entered. RecordingError where the arguments contradict each other."""
    if args.bag:
        return RecordingReader(args.bag, args.image_topic, args.camera_info_topic, args.pose_source)
    require_no_topics(args, "a scene folder has no topics")
    return SceneReader(args.scene, split)


def require_no_topics(args: argparse.Namespace | RecordingChoice, why: str) -> None:
    """RecordingError where an option is given that is about a bag."""
    for option in ("image_topic", "camera_info_topic", "pose_source"):
        if getattr(args, option) is not None:
            words = option.replace("_", "-")
            raise RecordingError(f"--{words} is about a bag: {why}")


def recording_name(args: argparse.Namespace | RecordingChoice) -> str:
    """What a map is called where nobody says."""
    path = Path(args.bag or args.scene).resolve()
    if args.scene and path.is_dir():
        return path.parent.name if path.name in SPLITS else path.name
    return path.stem
