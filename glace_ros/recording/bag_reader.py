"""A bag as posed images: poses interpolated to the exposure, images undistorted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.bag_file import BagFile
from glace_ros.recording.pose_jumps import JUMP, find_pose_jumps, jump_sentences
from glace_ros.recording.posed_image_reader import PosedImageReader, RecordedFrame
from glace_ros.recording.resolved_bag import MAX_POSE_GAP_S, BagRequest, resolve_bag
from glace_ros.ros_messages.reading import image_frame, image_of, image_stamp_ns, push_packet
from glace_ros.ros_messages.value_range import FULL_RANGE
from glace_ros.ros_messages.video import NoPicture, VideoStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.geometry.transform_link import TransformLink
    from glace_ros.recording.pose_jumps import PoseJump
    from glace_ros.ros_messages.value_range import ValueRange


class VideoPacket(NamedTuple):
    """A frame of a video, which is decoded when it is asked for."""

    data: NDArray[np.uint8]
    stream: VideoStream
    number: int
    """In the stream."""


class RecordingReader(PosedImageReader):
    """Posed images of a bag, which is open from construction until `close`."""

    def __init__(
        self,
        path: Path | str,
        image_topic: str | None = None,
        camera_info_topic: str | None = None,
        pose_source: str | None = None,
        *,
        base_frame: str | None = None,
        tf_topic: str | None = None,
        tf_static_topic: str | None = None,
        max_pose_gap_s: float = MAX_POSE_GAP_S,
        camera_info_file: str | None = None,
        base_from_camera: Pose | None = None,
        value_range: ValueRange | None = None,
    ) -> None:
        """Opens the bag, chooses topics and frames, and reads all but the images.

        path: rosbag2 folder, bare .mcap or .db3, or ROS 1 .bag.
        image_topic, camera_info_topic: found by themselves where None (see `topic_choice`).
        pose_source: `tf:FRAME` or a topic; found by itself where None.
        base_frame: what a pose topic without a child frame gives the pose of; None: the root of
            the camera's static transforms.
        tf_topic, tf_static_topic: where the bag has several (see `tf_topics`).
        max_pose_gap_s: no pose is interpolated over a longer gap.
        camera_info_file, base_from_camera, value_range: as in `BagRequest`.
        """
        request = BagRequest(
            image_topic, camera_info_topic, pose_source, base_frame, tf_topic, tf_static_topic,
            max_pose_gap_s, camera_info_file, base_from_camera, value_range,
        )  # fmt: skip
        self._bag, self._request = BagFile(path), request
        try:
            content = resolve_bag(self._bag, request)
        except BaseException:
            self._bag.close()
            raise
        super().__init__(content.info)
        self._tree, self._cameras, self._track = content.tree, content.cameras, content.track
        self._carried = content.carried
        self._codec = content.video_codec
        self._jumps = find_pose_jumps(self._links())
        for sentence in jump_sentences(self._jumps, self.zero_ns()):
            self._bag.note(sentence)

    def close(self) -> None:
        """Closes the bag: no image can be read any more."""
        self._bag.close()

    def content_hash(self) -> str:
        """sha256 (hex) over the bag's data files; a pass over all their bytes."""
        return self._bag.content_hash()

    @property
    def notes(self) -> list[str]:
        """Sentences on what is odd but usable."""
        return list(self._bag.notes)

    def map_from_base(self, at_ns: int) -> Pose:
        """The base in the map frame; raises TransformError where there is no pose at that time."""
        self._refuse_within_jump(at_ns)
        if self._track is None:
            return self._tree.lookup(self.info.map_frame, self.info.base_frame, at_ns)
        if self._carried is not None:
            return self._carried.at(at_ns)
        return self._track.tree.lookup(self._track.parent_name, self._track.child_name, at_ns)

    def with_poses_of(self, pose_source: str) -> RecordingReader:
        """Another reader of this bag, opened by itself: all as here, but the poses.

        pose_source: `tf:FRAME` or a topic.
        Raises RecordingError where the bag does not have it.
        """
        request = replace(
            self._request, image_topic=self.info.image_topic, pose_source=pose_source,
            base_frame=self.info.base_frame, value_range=self.info.value_range,
        )  # fmt: skip
        return RecordingReader(self.info.path, **vars(request))

    def map_from_camera(self, at_ns: int) -> Pose:
        """The camera in the map frame; raises TransformError where there is no pose then."""
        self._refuse_within_jump(at_ns)
        if self.info.camera_pose_given:
            return self.map_from_base(at_ns) @ self.info.base_from_camera
        if self._track is None:
            return self._tree.lookup(self.info.map_frame, self.info.camera_frame, at_ns)
        base_from_camera = self._tree.lookup(self.info.base_frame, self.info.camera_frame, at_ns)
        return self.map_from_base(at_ns) @ base_from_camera

    def pose_stamps_n(self) -> NDArray[np.int64]:
        """Stamps (n,) in ns, ascending, of the base's poses; empty where it never moves."""
        links = [link for link in self._links() if not link.is_static]
        moving = [link.stamps_n for link in links]
        if self._track is None:  # what hung from another parent for a while, too
            moving = [self._tree.stamps_n(link.name.split("->")[1]) for link in links]
        elif self._carried is not None:
            moving = [self._carried.stamps_n()]
        return max(moving, key=len, default=np.empty(0, np.int64))

    def pose_jumps(self) -> list[PoseJump]:
        """Where the base's poses jump as no robot moves, in order."""
        return list(self._jumps)

    def _refuse_within_jump(self, at_ns: int) -> None:
        """Between the poses before and after a jump the robot was nowhere in between."""
        for jump in self._jumps:
            if jump.kind == JUMP and jump.before_ns < at_ns < jump.stamp_ns:
                raise TransformError(f"{jump.link}: the pose jumps at {at_ns} ns", "the pose jumps")

    def _links(self) -> list[TransformLink]:
        """What leads from the base up to the map frame."""
        if self._track is None:
            return self._tree.links(self.info.map_frame, self.info.base_frame)
        track = self._track
        (link,) = track.tree.links(track.parent_name, track.child_name)
        return [replace(link, name=track.topic)]

    def _frames(self) -> Iterator[RecordedFrame]:
        """The image messages of our camera that have a time."""
        unreadable = self._bag.unreadable[self.info.image_topic]
        stream = VideoStream(self._codec) if self._codec else None
        for message in self._bag.messages([self.info.image_topic]):
            content = message.content
            if stream:
                content = VideoPacket(content.data, stream, push_packet(stream, content))
            stamp_ns, frame = image_stamp_ns(message.content), image_frame(message.content)
            if stamp_ns == 0:
                self.left_out["no time stamp"] += 1
            elif frame and frame != self.info.camera_frame:
                self.left_out["of another camera frame"] += 1
            else:
                yield RecordedFrame(stamp_ns, content)
        if stream and stream.gaps:
            self._bag.note(
                f"{self.info.image_topic}: packets of the video are missing at {stream.gaps} "
                "places; from there to the next key frame it has no pictures"
            )
        unreadable = self._bag.unreadable[self.info.image_topic] - unreadable
        if unreadable:
            self.left_out["damaged message"] += unreadable

    def _bytes_of(self, frame: RecordedFrame) -> NDArray[np.uint8]:
        data: NDArray[np.uint8] = frame.content.data
        return data

    def _image_of(self, frame: RecordedFrame) -> tuple[NDArray[np.uint8], Camera]:
        camera = self._cameras.at(frame.stamp_ns)
        try:
            if isinstance(frame.content, VideoPacket):
                image_rgb_hwc = frame.content.stream.picture(frame.content.number)
            else:
                image_rgb_hwc = image_of(frame.content, self.info.value_range or FULL_RANGE)
            return camera.undistort(image_rgb_hwc), camera.undistorted
        except NoPicture as error:
            raise NoPicture(f"{self.info.image_topic}: {error}", error.reason) from error
        except ValueError as error:
            raise ValueError(f"{self.info.image_topic}: {error}") from error

    def _note(self, sentence: str) -> None:
        self._bag.note(sentence)

    def _images_in_words(self) -> str:
        return f"images on {self.info.image_topic}"
