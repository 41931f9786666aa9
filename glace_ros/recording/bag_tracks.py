"""The small messages of a bag, read in one pass: transforms, poses, camera calibrations."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

from glace_ros.errors import RecordingError
from glace_ros.geometry.transform_tree import TransformError, TransformTree
from glace_ros.recording.counted import are, counted
from glace_ros.recording.recording_time import clock
from glace_ros.ros_messages.camera_info import camera_of_image_topic
from glace_ros.ros_messages.reading import (
    frame_of,
    pose_from_transform,
    pose_of,
    stamp_to_ns,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.recording.bag_file import BagFile, BagMessage

# More samples than this (about 300 MB) are not stored without knowing that they are needed.
_MAX_SAMPLES = 3_000_000

_MAX_REFUSED = 100_000
"""Transforms that contradict others and are kept until all are there."""

_SPANS_SAID = 4

_SAME_MOUNT_M, _SAME_MOUNT_RAD = 1e-4, 1e-4
"""Static transforms of two topics that differ by less are one."""


class TransformTrack:
    """All of /tf and /tf_static; unusable transforms are counted and left out."""

    def __init__(self, max_gap_s: float, only: set[str] | None = None) -> None:
        """max_gap_s: no transform is interpolated over a longer gap.
        only: store no other child frames than these; None: all, as long as they are few enough.
        """
        self.tree = TransformTree(max_gap_s=max_gap_s)
        """What was stored."""
        self.parents: dict[str, str] = {}
        """The first parent of every child, stored or not."""
        self.unusable: Counter[str] = Counter()
        """Transforms that are no rigid ones, by `parent->child`."""
        self.unstamped: Counter[str] = Counter()
        """Transforms of /tf without a time, by `parent->child`."""
        self.received_ns = array("q")
        """When each message was recorded, those of poses and calibrations too."""
        self.camera_ahead_ns, self.poses_ahead_ns = array("q"), array("q")
        """Stamp minus time of recording, of calibrations and of poses and transforms."""
        self.conflicts: Counter[str] = Counter()
        """Transforms that contradict others, by the tree's sentence."""
        self._refused: list[tuple[str, str, int, Pose]] = []
        self._of_strays: list[str] = []
        self.overflowed = False
        """Whether there were too many transforms to store all."""
        self._only = only
        self._samples = 0
        self._statics: dict[str, tuple[str, Pose]] = {}

    def take(self, topic: str, message: Any) -> None:
        """Adds the transforms of one TFMessage."""
        static = topic.endswith("tf_static")
        for transform in message.transforms:
            parent, child = frame_of(transform.header.frame_id), frame_of(transform.child_frame_id)
            self.parents.setdefault(child, parent)
            if self._only is not None and child not in self._only:
                continue
            if self._only is None and self._samples >= _MAX_SAMPLES:
                self.overflowed = True
                continue
            self._samples += 1
            stamp = None if static else stamp_to_ns(transform.header.stamp)
            if stamp == 0:
                self.unstamped[f"{parent}->{child}"] += 1
                continue
            self._add(topic, parent, child, stamp, transform)

    def _remember_static(self, topic: str, edge: str, pose: Pose) -> None:
        """Raises RecordingError where another topic says otherwise: neither can be believed."""
        of_topic, first = self._statics.setdefault(edge, (topic, pose))
        if of_topic != topic and (
            first.distance_m(pose) > _SAME_MOUNT_M or first.angle_rad(pose) > _SAME_MOUNT_RAD
        ):
            raise RecordingError(
                f"{edge} is one transform on {of_topic} and another on {topic}; choose with "
                "--tf-static-topic"
            )

    def _add(self, topic: str, parent: str, child: str, stamp: int | None, transform: Any) -> None:
        try:
            pose = pose_from_transform(transform.transform)
            if stamp is None:
                self._remember_static(topic, f"{parent}->{child}", pose)
                self.tree.add_static(parent, child, pose)
            else:
                self.tree.add(parent, child, stamp, pose)
        except ValueError:
            self.unusable[f"{parent}->{child}"] += 1
        except TransformError as error:
            if stamp is not None and len(self._refused) < _MAX_REFUSED:
                self._refused.append((parent, child, stamp, pose))
            else:
                self.conflicts[str(error)] += 1

    def settle(self) -> None:
        """Once all are there: a parent that a frame has for an instant alone is a stray one, and
        its samples had kept out those of the usual parent.
        """
        for parent, child, count, usual in self.tree.drop_stray_parents():
            self._of_strays.append(
                f"/tf: {counted(count, 'transform')} {parent}->{child} left out: "
                f"{child} hangs from {usual} in all others"
            )
        refused, self._refused = self._refused, []
        for parent, child, stamp, pose in refused:
            try:
                self.tree.add(parent, child, stamp, pose)
            except TransformError as error:
                self.conflicts[str(error)] += 1

    def parent_sentences(self, start_ns: int) -> list[str]:
        """Which frames hung from one parent first and from another one later.

        start_ns: 0:00 of the recording.
        """
        sentences = []
        for child, spans in self.tree.parents_over_time().items():
            when = [
                f"{parent} from {clock((first - start_ns) / 1e9)} to "
                f"{clock((last - start_ns) / 1e9)}"
                for parent, first, last in spans
            ]
            more = f" and {len(when) - _SPANS_SAID} more" if len(when) > _SPANS_SAID else ""
            sentences.append(
                f"/tf: {child} hangs from {', '.join(when[:_SPANS_SAID])}{more}; an image has a "
                "pose where the transforms of its time lead to the poses' frame"
            )
        return sentences

    def note_clock(self, message: BagMessage, camera_topic: str) -> None:
        """Takes down how far ahead of its recording the message is stamped, if it is stamped."""
        content = message.content
        if hasattr(content, "transforms"):
            if message.topic.endswith("tf_static") or not content.transforms:
                return
            content = content.transforms[0]
        stamp_ns = stamp_to_ns(content.header.stamp)
        if stamp_ns:
            of_camera = message.topic == camera_topic
            ahead = self.camera_ahead_ns if of_camera else self.poses_ahead_ns
            ahead.append(stamp_ns - message.received_ns)

    def ancestors(self, frames: list[str]) -> set[str]:
        """These frames and all that they hang from."""
        found: set[str] = set()
        for frame in frames:
            while frame not in found:
                found.add(frame)
                frame = self.parents.get(frame, frame)
        return found

    def unstamped_sentences(self) -> list[str]:
        """Of transforms that belong to no time, a sentence for each edge."""
        return [
            f"/tf: {counted(n, 'transform')} {edge} without a time stamp; left out"
            for edge, n in self.unstamped.items()
        ]

    def notes(self) -> list[str]:
        """What was wrong, as sentences."""
        return [
            *(f"/tf: {counted(n, 'transform')} {edge} {are(n)} not finite or no rotation; left out"
              for edge, n in self.unusable.items()),
            *self.unstamped_sentences(),
            *(f"/tf: {sentence} ({counted(n, 'transform')} left out)"
              for sentence, n in self.conflicts.items()),
            *self._of_strays,
        ]  # fmt: skip


class PoseTrack:
    """The poses of one topic over time; unusable ones are counted and left out."""

    def __init__(self, topic: str, max_gap_s: float) -> None:
        """max_gap_s: no pose is interpolated over a longer gap."""
        self.topic = topic
        self.frame = ""
        """What the poses are in: the first message's frame."""
        self.child = ""
        """What they are of; empty where the first message does not say."""
        self.tree = TransformTree(max_gap_s=max_gap_s)
        """The poses, of `child_name` in `parent_name`."""
        self.count = 0
        """Usable poses."""
        self.unusable: Counter[str] = Counter()
        """Others, by why."""

    def take(self, message: Any) -> None:
        """Adds one message, or counts why not."""
        frame, child = frame_of(message.header.frame_id), frame_of(_child_of(message))
        stamp = stamp_to_ns(message.header.stamp)
        try:
            pose = pose_of(message)
        except ValueError as error:
            self.unusable[str(error)] += 1
            return
        if not self.count:
            self.frame, self.child = frame, child
        if (frame, child) != (self.frame, self.child):
            self.unusable[f"the pose is of {child or 'something'} in {frame}"] += 1
        elif stamp == 0:
            self.unusable["the pose has no time stamp"] += 1
        else:
            self.tree.add(self.parent_name, self.child_name, stamp, pose)
            self.count += 1

    @property
    def parent_name(self) -> str:
        """The parent frame in `tree`: never equal to the child's name."""
        return self.frame or f"(frame of {self.topic})"

    @property
    def child_name(self) -> str:
        """The child frame in `tree`, made up from the topic where the messages name none."""
        return self.child if self.child and self.child != self.frame else f"(pose of {self.topic})"

    def require_poses(self) -> None:
        """RecordingError where not one pose is usable."""
        if self.count:
            return
        reasons = ", ".join(f"{reason} ({n})" for reason, n in self.unusable.items())
        raise RecordingError(
            f"None of the poses on {self.topic} can be used: {reasons or 'it has no messages'}"
        )

    def notes(self) -> list[str]:
        """What was left out, as sentences."""
        return [
            f"{self.topic}: {why}; {counted(n, 'pose')} left out"
            for why, n in self.unusable.items()
        ]


class CameraTrack:
    """The calibration over time, stored where it changes."""

    def __init__(
        self,
        topic: str,
        image_topic: str,
        image_size: tuple[int, int] | None = None,
        given: Camera | None = None,
    ) -> None:
        """topic: of the calibration; the name of its file, where it is given.
        image_topic: whose calibration it is; its name tells whether images are rectified.
        image_size: (width, height) in px, for messages that have none; None: unknown.
        given: from a file: it holds at all times, and no message is needed.
        """
        self.topic = topic
        self.frame = ""
        """The camera's frame by the first message that names one."""
        self.unusable: Counter[str] = Counter()
        """Messages that are no calibration, by why."""
        self.stamps_ns = array("q")
        """Of all calibrations, which stand for those of the images: int64 ns."""
        self._image_topic, self._image_size = image_topic, image_size
        self._without_size = 0
        self._stamps_ns: list[int] = [] if given is None else [0]
        self._cameras: list[Camera] = [] if given is None else [given]

    def take(self, message: Any) -> None:
        """Adds one CameraInfo, or counts why not."""
        try:
            camera = camera_of_image_topic(message, self._image_topic, self._image_size)
        except ValueError as error:
            self.unusable[str(error)] += 1
            return
        self._without_size += not (message.width and message.height)
        self.frame = self.frame or frame_of(message.header.frame_id)
        self.stamps_ns.append(stamp_to_ns(message.header.stamp))
        if not self._cameras or camera != self._cameras[-1]:
            self._stamps_ns.append(stamp_to_ns(message.header.stamp))
            self._cameras.append(camera)

    def at(self, image_stamp_ns: int) -> Camera:
        """The calibration in force: the latest one up to the image's time, else the first."""
        return self._cameras[max(0, bisect_right(self._stamps_ns, image_stamp_ns) - 1)]

    def require_camera(self) -> None:
        """RecordingError where not one calibration is usable."""
        if not self._cameras:
            why = next(iter(self.unusable), "it has no messages")
            raise RecordingError(
                f"{self.topic} gives no usable calibration: {why}; give one with --camera-info FILE"
            )

    def notes(self) -> list[str]:
        """What is odd, as sentences."""
        notes = [f"{self.topic}: {why}; {n} left out" for why, n in self.unusable.items()]
        if self._without_size:
            notes.append(
                f"{self.topic} does not say how large the images are; they are "
                f"{self._cameras[0].width_px}x{self._cameras[0].height_px}"
            )
        if changes := len(self._cameras[1:]):
            notes.append(
                f"{self.topic}: the calibration changes {counted(changes, 'time')}; each image "
                "is read with the one in force"
            )
        return notes


def read_tracks(
    bag: BagFile,
    camera_track: CameraTrack,
    pose_track: PoseTrack | None,
    camera_frame: str,
    tf_topics: Collection[str],
    max_gap_s: float,
    only: set[str] | None = None,
    odometry: PoseTrack | None = None,
) -> TransformTrack:
    """Fills the tracks and returns those topics' transforms; a second pass only for huge /tf.

    camera_frame: by the images; empty where they do not say, and the calibration does.
    tf_topics: of which transforms are read.
    max_gap_s: as in `TransformTrack`.
    only: the second pass: transforms alone, and none but of these child frames.
    odometry: poses of one more topic.
    Raises RecordingError where the bag cannot be read on.
    """
    transforms = TransformTrack(max_gap_s, only)
    wanted = set(tf_topics)
    if only is None:
        wanted |= {camera_track.topic}
        wanted |= {track.topic for track in (pose_track, odometry) if track}
    for message in bag.messages(wanted):
        if len(transforms.received_ns) < _MAX_SAMPLES:
            transforms.received_ns.append(message.received_ns)
            transforms.note_clock(message, camera_track.topic)
        if message.topic in tf_topics:
            transforms.take(message.topic, message.content)
        elif message.topic == camera_track.topic:
            camera_track.take(message.content)
        elif odometry is not None and message.topic == odometry.topic:
            odometry.take(message.content)
        elif pose_track is not None:
            pose_track.take(message.content)
    transforms.settle()
    if transforms.overflowed:
        frames = [camera_frame or camera_track.frame]
        frames += [track.child for track in (pose_track, odometry) if track]
        needed = transforms.ancestors(frames)
        return read_tracks(
            bag, camera_track, pose_track, camera_frame, tf_topics, max_gap_s, needed
        )
    return transforms


def _child_of(message: Any) -> str:
    return str(getattr(message, "child_frame_id", ""))
