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
from glace_ros.recording.room_list import Room, read_room_list
from glace_ros.recording.scene_files import read_calibration, read_pose
from glace_ros.recording.scene_folder import SceneImage, scene_images, split_folder
from glace_ros.ros_messages.image_decoding import decode_compressed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera

PERIOD_NS = 250_000_000
"""A scene folder has no times. Its images count as taken so long apart, in their order, which makes
a held-out block four images in a row.
"""


class _Frame(NamedTuple):
    """A scene's image with its name, and its pose or why there is none."""

    name: str
    files: SceneImage
    map_from_camera: Pose | str


class SceneReader(PosedImageReader):
    """Posed images of a scene folder.

    path: a folder `{train,test}/{rgb,poses,calibration}`, of which `split` is read; one with rgb
    in it, whatever its name; or a list of rooms (`read_room_list`), one after the other. Poses are
    of the camera itself, so base and camera are one. A folder without poses has images alone.
    """

    def __init__(self, path: Path | str, split: str) -> None:
        super().__init__()
        self.path = Path(path)
        self.kind = "list of rooms" if self.path.is_file() else "scene folder"
        self._split = split
        self._notes: list[str] = []

    def __enter__(self) -> SceneReader:
        self.image_topic, self.camera_info_topic = "rgb", "calibration"
        self.pose_source, self.pose_source_why = "poses", "of the scene folder"
        self.map_frame, self.base_frame, self.camera_frame = "map", "camera", "camera"
        self.base_from_camera = Pose.identity()  # one frame, by two names
        self.topics = {}
        self._scene = [frame for room in self._rooms() for frame in self._frames_of(room)]
        self.image_count = len(self._scene)
        self.start_ns, self.duration_s = 0, self.image_count * PERIOD_NS * 1e-9
        self._note(
            "rgb has no times: its images count as four a second, so 1:00 is image "
            f"{60_000_000_000 // PERIOD_NS}"
        )
        self._note_poses()
        self.camera = self._first_camera()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

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

    def _rooms(self) -> list[Room]:
        if self.path.is_file():
            return read_room_list(self.path)
        return [Room("", self.path, np.zeros(3))]

    def _frames_of(self, room: Room) -> Iterator[_Frame]:
        for files in scene_images(split_folder(room.path, self._split)):
            pose: Pose | str
            try:
                pose = read_pose(files.pose) if files.pose else "not recorded"
            except ValueError as error:
                pose = str(error)
            if isinstance(pose, Pose):
                pose = Pose(pose.rotation_33, pose.translation_3 + room.shift_3)
            name = f"{room.name}/{files.rgb.name}" if room.name else files.rgb.name
            yield _Frame(name, files, pose)

    def _note_poses(self) -> None:
        """The first file of each kind of bad pose."""
        first: dict[str, Path] = {}
        for frame in self._scene:
            if isinstance(frame.map_from_camera, str):
                first.setdefault(frame.map_from_camera, frame.files.pose or self.path)
        for why, path in first.items():
            self._note(f"poses: {path} has no pose ({why})")

    def _first_camera(self) -> Camera:
        for frame in self._frames():
            try:
                return self._image_of(frame)[1]
            except ValueError as error:
                self._note(str(error))
        raise RecordingError(f"None of the {self.image_count} {self._images_in_words()} is one")

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
        return f"images of {self.path}"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
