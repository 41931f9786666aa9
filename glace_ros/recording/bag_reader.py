"""A bag as posed images: topics chosen, poses interpolated to the exposure, images undistorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.errors import RecordingError
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.bag_file import BagFile
from glace_ros.recording.bag_tracks import CameraTrack, PoseTrack, read_tracks
from glace_ros.recording.posed_image_reader import PosedImageReader, RecordedFrame
from glace_ros.recording.topic_choice import (
    choose_camera_info_topic,
    choose_image_topic,
    choose_pose_source,
    choose_pose_topic,
)
from glace_ros.ros_messages.reading import frame_of, image_of, stamp_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose

# Frames that poses are reported of by convention (REP-105), the one on the ground first.
_BASE_FRAMES = ("base_footprint", "base_link")
_ONE_DAY_NS = 86_400 * 1_000_000_000


class RecordingReader(PosedImageReader):
    """Posed images of a bag.

    path: rosbag2 folder, bare .mcap or .db3, or ROS 1 .bag. image_topic, camera_info_topic,
    pose_source ("tf:FRAME" or a topic): found by themselves where None, see topic_choice.
    base_frame: what a pose topic without a child frame reports the pose of (None: the root of
    the camera's static tree). max_pose_gap_s: no pose is interpolated over a longer gap.

    After entering: image_topic, camera_info_topic, pose_source as resolved; base_from_camera at the
    first image where it moves; camera of the first image, with its distortion.
    """

    def __init__(
        self,
        path: Path | str,
        image_topic: str | None = None,
        camera_info_topic: str | None = None,
        pose_source: str | None = None,
        *,
        base_frame: str | None = None,
        max_pose_gap_s: float = 0.5,
    ) -> None:
        super().__init__()
        self._bag = BagFile(path)
        self.kind, self.path = "bag", self._bag.path
        self._requested = (image_topic, camera_info_topic, pose_source, base_frame)
        self._max_gap_s = max_pose_gap_s

    def __enter__(self) -> RecordingReader:
        self._bag.__enter__()
        try:
            self._resolve()
        except BaseException:
            self._bag.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bag.__exit__(kind, error, traceback)

    def content_hash(self) -> str:
        """sha256 (hex) over the bag's data files; a pass over all their bytes."""
        return self._bag.content_hash()

    @property
    def notes(self) -> list[str]:
        """Sentences on what is odd but usable."""
        return list(self._bag.notes)

    def map_from_base(self, at_ns: int) -> Pose:
        """The base in the map frame; raises TransformError where there is no pose at that time."""
        if self._track is None:
            return self._tree.lookup(self.map_frame, self.base_frame, at_ns)
        return self._track.tree.lookup(self._track.parent_name, self._track.child_name, at_ns)

    def map_from_camera(self, at_ns: int) -> Pose:
        """The camera in the map frame; raises TransformError where there is no pose then."""
        if self._track is None:
            return self._tree.lookup(self.map_frame, self.camera_frame, at_ns)
        base_from_camera = self._tree.lookup(self.base_frame, self.camera_frame, at_ns)
        return self.map_from_base(at_ns) @ base_from_camera

    def pose_stamps_n(self) -> NDArray[np.int64]:
        """Stamps (n,) in ns, ascending, of the base's poses; empty where it never moves."""
        if self._track is not None:
            return self._track.tree.stamps_n(self._track.child_name)
        frames = self._tree.path(self.map_frame, self.base_frame)
        moving = [s for s in (self._tree.stamps_n(frame) for frame in frames) if len(s)]
        return max(moving, key=len, default=np.empty(0, np.int64))

    def _resolve(self) -> None:
        """Chooses topics and frames and reads the small messages."""
        bag = self._bag
        self.start_ns, self.duration_s, self.topics = bag.start_ns, bag.duration_s, bag.topics
        image_topic, info_topic, pose_source, base_frame = self._requested
        self.image_topic = choose_image_topic(bag, image_topic)
        self.image_count = bag.topics[self.image_topic].count
        self.camera_info_topic = choose_camera_info_topic(bag, self.image_topic, info_topic)
        pose_topic = choose_pose_topic(bag, pose_source)
        track = PoseTrack(pose_topic, self._max_gap_s) if pose_topic else None
        self._cameras = CameraTrack(self.camera_info_topic, self.image_topic)
        first = self._first_image()
        self.camera_frame = frame_of(first.header.frame_id)
        transforms = read_tracks(bag, self._cameras, track, self.camera_frame, self._max_gap_s)
        self._cameras.require_camera()
        self._tree = transforms.tree
        self._resolve_camera_frame()
        for note in transforms.notes() + self._cameras.notes():
            bag.note(note)
        self.pose_source, self.pose_source_why = choose_pose_source(
            bag, self._tree, self.camera_frame, pose_source
        )
        self._track = None if self.pose_source.startswith("tf:") else track
        if self._track is None:
            self._resolve_tf_frames(base_frame)
        else:
            self._resolve_topic_frames(self._track, base_frame)
        self.base_from_camera = self._base_from_camera(stamp_ns(first.header))
        self.camera = self._cameras.at(stamp_ns(first.header))

    def _first_image(self) -> Any:
        for message in self._bag.messages([self.image_topic]):
            stamp = stamp_ns(message.content.header)
            if stamp and abs(stamp - message.received_ns) > _ONE_DAY_NS:
                days = abs(message.received_ns - stamp) / _ONE_DAY_NS
                self._bag.note(
                    f"{self.image_topic}: its stamps are {days:.1f} days off the time of recording"
                )
            return message.content
        raise RecordingError(f"None of the messages on {self.image_topic} can be read")

    def _resolve_camera_frame(self) -> None:
        if self.camera_frame:
            return
        self.camera_frame = self._cameras.frame
        if not self.camera_frame:
            raise RecordingError(
                f"Neither {self.image_topic} nor {self.camera_info_topic} has a frame_id, so it "
                "is unknown how the camera sits on the robot; set the driver's frame_id"
            )
        self._bag.note(
            f"{self.image_topic} has no frame_id; {self.camera_info_topic} says {self.camera_frame}"
        )

    def _resolve_tf_frames(self, base_frame: str | None) -> None:
        self.map_frame = self.pose_source[3:]
        frames = self._tree.path(self.map_frame, self.camera_frame)
        by_name = [frame for frame in _BASE_FRAMES if frame in frames]
        root = self._tree.static_root(self.camera_frame)
        self.base_frame = base_frame or (by_name[0] if by_name else root)

    def _resolve_topic_frames(self, track: PoseTrack, base_frame: str | None) -> None:
        track.require_poses()
        for note in track.notes():
            self._bag.note(note)
        if not track.frame:
            raise RecordingError(f"{track.topic} has no frame_id, so its poses have no known frame")
        self.map_frame = track.frame
        self.base_frame = base_frame or track.child
        if not self.base_frame:
            self._take_static_root(track)
        if self.base_frame == self.map_frame:
            raise RecordingError(
                f"{track.topic} gives the pose of {self.base_frame} in itself; its child_frame_id "
                "must be the frame that moves"
            )

    def _take_static_root(self, track: PoseTrack) -> None:
        self.base_frame = self._tree.static_root(self.camera_frame)
        if self.base_frame == self.camera_frame:
            raise RecordingError(
                f"{track.topic} does not say what it is the pose of, and no static transform "
                f"leads to {self.camera_frame}; record /tf_static"
            )
        self._bag.note(
            f"{track.topic} does not say what it is the pose of; taken for {self.base_frame}, the "
            "root of the camera's static transforms"
        )

    def _base_from_camera(self, at_ns: int) -> Pose:
        base, camera = self.base_frame, self.camera_frame
        try:
            latest_ns = self._tree.latest_stamp_ns(base, camera)
            if self._track is not None and self.map_frame in self._tree.path(base, camera):
                raise RecordingError(
                    f"The way from {base} to {camera} leads over {self.map_frame}, in which "
                    f"{self.pose_source} gives its poses; the motion would count twice"
                )
            try:
                return self._tree.lookup(base, camera, at_ns)
            except TransformError:
                return self._tree.lookup(base, camera, latest_ns or at_ns)
        except TransformError as error:
            raise RecordingError(
                f"It is unknown how the camera ({camera}, by {self.image_topic}) sits on {base}, "
                f"of which {self.pose_source} gives the poses: {error}; record /tf_static"
            ) from error

    def _frames(self) -> Iterator[RecordedFrame]:
        """The image messages of our camera that have a time."""
        unreadable = self._bag.unreadable[self.image_topic]
        for message in self._bag.messages([self.image_topic]):
            header = message.content.header
            if stamp_ns(header) == 0:
                self.left_out["no time stamp"] += 1
            elif header.frame_id and frame_of(header.frame_id) != self.camera_frame:
                self.left_out["of another camera frame"] += 1
            else:
                yield RecordedFrame(stamp_ns(header), message.content)
        unreadable = self._bag.unreadable[self.image_topic] - unreadable
        if unreadable:
            self.left_out["damaged message"] += unreadable

    def _bytes_of(self, frame: RecordedFrame) -> NDArray[np.uint8]:
        data: NDArray[np.uint8] = frame.content.data
        return data

    def _image_of(self, frame: RecordedFrame) -> tuple[NDArray[np.uint8], Camera]:
        camera = self._cameras.at(frame.stamp_ns)
        try:
            return camera.undistort(image_of(frame.content)), camera.undistorted
        except ValueError as error:
            raise ValueError(f"{self.image_topic}: {error}") from error

    def _note(self, sentence: str) -> None:
        self._bag.note(sentence)

    def _images_in_words(self) -> str:
        return f"images on {self.image_topic}"
