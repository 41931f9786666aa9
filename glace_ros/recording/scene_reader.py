"""A scene folder, or a list of rooms, as posed images."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.errors import RecordingError
from glace_ros.geometry.pose import Pose
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.posed_image_reader import PosedImageReader, RecordedFrame
from glace_ros.recording.recording_info import RecordingInfo
from glace_ros.recording.room_list import Room, read_room_list
from glace_ros.recording.scene_files import read_calibration, read_pose
from glace_ros.recording.scene_folder import SceneImage, scene_images, split_folder
from glace_ros.ros_messages.image_decoding import decode_compressed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera

PERIOD_NS = 250_000_000
"""A scene folder has no times. Its images count as taken so long apart, in their order, which makes
a held-out block four images in a row.
"""


class _Frame(NamedTuple):
    """An image of a scene."""

    name: str
    """The file's; room/file in a list of rooms."""
    files: SceneImage
    map_from_camera: Pose | str
    """Its pose, or why there is none, in a few words to count by."""


class SceneReader(PosedImageReader):
    """Posed images of a scene folder, or of a list of rooms.

    Poses are of the camera itself, so base and camera are one. A folder without poses has images
    alone.
    """

    def __init__(self, path: Path | str, split: str) -> None:
        """Reads all poses, and the first image for its camera.

        path: a folder `{train,test}/{rgb,poses,calibration}`, one with rgb in it, whatever its
            name, or a list of rooms (`read_room_list`), which are read one after the other.
        split: which part of a scene folder is read, `train` or `test`.
        """
        path = Path(path)
        self._notes: list[str] = []
        self._scene = [frame for room in _rooms(path) for frame in _frames_of(room, split)]
        self._note(
            "rgb has no times: its images count as four a second, so 1:00 is image "
            f"{60_000_000_000 // PERIOD_NS}"
        )
        self._note_poses(path)
        images = len(self._scene)
        super().__init__(
            RecordingInfo(
                kind="list of rooms" if path.is_file() else "scene folder",
                path=path,
                start_ns=0,
                duration_s=images * PERIOD_NS * 1e-9,
                topics={},
                image_topic="rgb",
                camera_info_topic="calibration",
                image_count=images,
                pose_source="poses",
                pose_source_why="of the scene folder",
                map_frame="map",
                base_frame="camera",
                camera_frame="camera",
                base_from_camera=Pose.identity(),  # one frame, by two names
                camera=self._first_camera(path),
            )
        )

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def notes(self) -> list[str]:
        """Sentences on what is odd but usable."""
        return list(self._notes)

    def name_of(self, stamp_ns: int) -> str:
        """The file name of the image with that stamp; room/name in a list of rooms."""
        return self._scene[stamp_ns // PERIOD_NS].name

    def content_hash(self) -> str:
        """sha256 (hex) over the files and their places; a pass over all their bytes."""
        digest = hashlib.sha256()
        for frame in self._scene:
            if isinstance(frame.map_from_camera, Pose):
                digest.update(frame.map_from_camera.matrix_44.tobytes())
            for path in (frame.files.rgb, frame.files.calibration):
                digest.update(f"{frame.name} ".encode())
                digest.update(_bytes(path))
        return digest.hexdigest()

    def map_from_base(self, at_ns: int) -> Pose:
        """The camera's pose, which is the base."""
        return self.map_from_camera(at_ns)

    def map_from_camera(self, at_ns: int) -> Pose:
        """The pose of the image that counts as taken next to that time, not interpolated.

        Raises TransformError where it has none.
        """
        index = round(at_ns / PERIOD_NS)
        frame = self._scene[min(max(index, 0), len(self._scene) - 1)]
        if isinstance(frame.map_from_camera, Pose):
            return frame.map_from_camera
        where = frame.files.pose or f"{frame.files.rgb.parents[1]} has no folder poses"
        raise TransformError(f"{where}: {frame.map_from_camera}", frame.map_from_camera)

    def pose_stamps_n(self) -> NDArray[np.int64]:
        """Stamps (n,) in ns of the images that have a pose."""
        posed = [isinstance(frame.map_from_camera, Pose) for frame in self._scene]
        return np.flatnonzero(posed).astype(np.int64) * PERIOD_NS

    def _note_poses(self, path: Path) -> None:
        """The first file of each kind of bad pose."""
        first: dict[str, Path] = {}
        for frame in self._scene:
            if isinstance(frame.map_from_camera, str):
                first.setdefault(frame.map_from_camera, frame.files.pose or path)
        for why, file in first.items():
            self._note(f"poses: {file} has no pose ({why})")

    def _first_camera(self, path: Path) -> Camera:
        """Of the first image that can be decoded."""
        for frame in self._frames():
            try:
                return self._image_of(frame)[1]
            except ValueError as error:
                self._note(str(error))
        raise RecordingError(f"None of the {len(self._scene)} images of {path} is one")

    def _frames(self) -> Iterator[RecordedFrame]:
        for index, frame in enumerate(self._scene):
            yield RecordedFrame(index * PERIOD_NS, frame.files)

    def _bytes_of(self, frame: RecordedFrame) -> NDArray[np.uint8]:
        return np.frombuffer(_bytes(frame.content.rgb), np.uint8)

    def _image_of(self, frame: RecordedFrame) -> tuple[NDArray[np.uint8], Camera]:
        files: SceneImage = frame.content
        try:
            image_rgb_hwc = decode_compressed(files.rgb.suffix, self._bytes_of(frame))
        except ValueError as error:
            raise ValueError(f"rgb: {files.rgb} is left out: {error}") from error
        height_px, width_px = image_rgb_hwc.shape[:2]
        return image_rgb_hwc, read_calibration(files.calibration, width_px, height_px)

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)

    def _images_in_words(self) -> str:
        return f"images of {self.info.path}"


def _rooms(path: Path) -> list[Room]:
    """The rooms of a list; a scene folder is one room that has no name."""
    return read_room_list(path) if path.is_file() else [Room("", path, np.zeros(3))]


def _frames_of(room: Room, split: str) -> Iterator[_Frame]:
    for files in scene_images(split_folder(room.path, split)):
        pose: Pose | str
        try:
            pose = read_pose(files.pose) if files.pose else "not recorded"
        except ValueError as error:
            pose = str(error)
        if isinstance(pose, Pose):
            pose = Pose(pose.rotation_33, pose.translation_3 + room.shift_3)
        name = f"{room.name}/{files.rgb.name}" if room.name else files.rgb.name
        yield _Frame(name, files, pose)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
