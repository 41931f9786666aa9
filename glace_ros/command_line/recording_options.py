"""--bag or --scene: what the offline programs read, and what of it."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glace_ros.command_line.arguments import pose_text, positive
from glace_ros.errors import RecordingError
from glace_ros.geometry.pose import pose_of_text
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.drives_reader import DrivesReader
from glace_ros.recording.resolved_bag import MAX_POSE_GAP_S
from glace_ros.recording.scene_folder import SPLITS
from glace_ros.recording.scene_reader import SceneReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.ros_messages.value_range import ValueRange


@dataclass(frozen=True)
class RecordingChoice:
    """What the arguments of `add_recording_arguments` say, each by its own name."""

    bags: tuple[str, ...] = ()
    """Of one drive each; empty: scenes are read."""
    scenes: tuple[str, ...] = ()
    """Of one drive each; empty: bags are read."""
    image_topic: str | None = None
    """None: found by itself, as all that follow."""
    camera_info_topic: str | None = None
    """None: found by itself."""
    pose_source: str | None = None
    """None: found by itself."""
    tf_topic: str | None = None
    """None: found by itself."""
    tf_static_topic: str | None = None
    """None: found by itself."""
    max_pose_gap: float | None = None
    """In seconds; None: the reader's default."""
    camera_info: str | None = None
    """A file with the calibration; None: it is recorded."""
    camera_pose: str | None = None
    """The camera on the robot, as `pose_of_text` takes it; None: it is recorded."""

    @staticmethod
    def of(args: argparse.Namespace) -> RecordingChoice:
        """Of a parsed command line."""
        return RecordingChoice(
            _paths(args.bag), _paths(args.scene), args.image_topic, args.camera_info_topic,
            args.pose_source, args.tf_topic, args.tf_static_topic, args.max_pose_gap,
            args.camera_info, args.camera_pose,
        )  # fmt: skip

    @property
    def files(self) -> dict[str, str]:
        """What is read, by the option that names it, for `require_distinct`."""
        paths = [("--bag", path) for path in self.bags] + [
            ("--scene", path) for path in self.scenes
        ]
        if self.camera_info is not None:
            paths.append(("--camera-info", self.camera_info))
        return {
            f"{option} {path}" if at else option: path for at, (option, path) in enumerate(paths)
        }


def _paths(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


class _Once(argparse.Action):
    """An option of which the last one would win without a word."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice: {parser.prog} reads one recording")
        setattr(namespace, self.dest, values)


def add_camera_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what holds instead of a bag's calibration and mount."""
    parser.add_argument(
        "--camera-info",
        metavar="FILE",
        help="calibration of the camera where the bag has none, or a wrong one: YAML as ROS's "
        "camera_calibration writes it, or Kalibr's camchain",
    )
    parser.add_argument(
        "--camera-pose",
        type=pose_text,
        metavar="POSE",
        help='the camera on the robot where the bag has no /tf_static, or a wrong one: "x y z qx '
        'qy qz qw", of its optical frame (z forward) in the frame that odometry is of, else '
        'base_footprint or base_link; or "FILE BASE CAMERA", these two frames in a URDF or in '
        "transforms as ros2 topic echo prints them",
    )


def add_recording_arguments(
    parser: argparse.ArgumentParser, split: str, *, required: bool = True, several: bool = False
) -> None:
    """Adds --bag and what in it to use, or --scene.

    parser: gets the options.
    split: the part of a scene folder that is read.
    required: whether one of the two has to be given.
    several: whether it can be given more than once, for a drive each.
    """
    action = "append" if several else _Once
    more = "; may be given again, for another drive" if several else ""
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument(
        "--bag",
        action=action,
        metavar="PATH",
        help=f"rosbag2 folder or file (sqlite3, mcap, zstd) or ROS 1 .bag{more}",
    )
    source.add_argument(
        "--scene",
        action=action,
        metavar="PATH",
        help=f"scene folder, of which {split}/{{rgb,poses,calibration}} is read (or PATH itself, "
        f"if it has rgb), or a text file with a room in each line: folder cx cy cz{more}",
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
    parser.add_argument(
        "--tf-topic", metavar="TOPIC",
        help="transforms over time; left out: of several topics, that of the images' namespace",
    )  # fmt: skip
    parser.add_argument(
        "--tf-static-topic", metavar="TOPIC", help="static transforms; left out: likewise"
    )
    parser.add_argument(
        "--max-pose-gap", metavar="SECONDS", type=positive,
        help="poses further apart are not interpolated, and images between them have none; left "
        f"out: {MAX_POSE_GAP_S:g}",
    )  # fmt: skip
    add_camera_arguments(parser)


def open_recording(
    args: argparse.Namespace, split: str, value_range: ValueRange | None = None
) -> PosedImageReader:
    """The reader, to be entered. RecordingError where the arguments contradict each other.

    value_range: of 16-bit images, as the map has it; None: as the recording uses it.
    """
    (reader,) = _readers(RecordingChoice.of(args), split, value_range)
    return reader


def open_drives(choice: RecordingChoice, split: str) -> DrivesReader:
    """A reader of all that was chosen, to be entered.

    Raises RecordingError where the arguments contradict each other, or one drive is given twice.
    """
    seen: set[str] = set()
    for path in (*choice.bags, *choice.scenes):
        if os.path.realpath(path) in seen:
            raise RecordingError(f"{path} is given twice: each drive counts once")
        seen.add(os.path.realpath(path))
    with ExitStack() as opened:
        readers = [opened.enter_context(reader) for reader in _readers(choice, split)]
        drives = DrivesReader(readers)
        opened.pop_all()
    return drives


def _readers(
    choice: RecordingChoice, split: str, value_range: ValueRange | None = None
) -> Iterator[PosedImageReader]:
    """Opens one after the other. 16-bit images of all are as bright as the first drive's.

    Raises RecordingError where the arguments contradict each other.
    """
    if choice.camera_info is not None and choice.camera_info_topic is not None:
        raise RecordingError("--camera-info and --camera-info-topic are both given: leave one out")
    pose = None if choice.camera_pose is None else pose_of_text(choice.camera_pose)
    topics = (choice.image_topic, choice.camera_info_topic, choice.pose_source)
    for path in choice.bags:
        reader = RecordingReader(
            path, *topics, tf_topic=choice.tf_topic, tf_static_topic=choice.tf_static_topic,
            max_pose_gap_s=choice.max_pose_gap or MAX_POSE_GAP_S,
            camera_info_file=choice.camera_info, base_from_camera=pose, value_range=value_range,
        )  # fmt: skip
        value_range = value_range or reader.info.value_range
        yield reader
    for path in choice.scenes:
        require_no_topics(choice, "a scene folder has no topics")
        yield SceneReader(path, split)


def require_no_topics(args: argparse.Namespace | RecordingChoice, why: str) -> None:
    """RecordingError where an option is given that is about a bag."""
    for option in (
        "image_topic", "camera_info_topic", "pose_source", "tf_topic", "tf_static_topic",
        "max_pose_gap", "camera_info", "camera_pose",
    ):  # fmt: skip
        if getattr(args, option) is not None:
            words = option.replace("_", "-")
            raise RecordingError(f"--{words} is about a bag: {why}")


def recording_name(args: argparse.Namespace | RecordingChoice) -> str:
    """What a map is called where nobody says: as its first drive."""
    choice = args if isinstance(args, RecordingChoice) else RecordingChoice.of(args)
    path = Path((choice.bags or choice.scenes)[0]).resolve()
    if choice.scenes and path.is_dir():
        return path.parent.name if path.name in SPLITS else path.name
    return path.stem
