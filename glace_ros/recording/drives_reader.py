"""Several recordings of one robot, read one after the other for one map: each is a drive."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from glace_ros.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glace_ros.recording.frame_selection import FrameSelection
    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.recording.recording_info import RecordingInfo


class DrivesReader:
    """Posed images of all drives, those of the first one first. A context manager that closes them.

    Each drive has times and poses of its own, which is why there are no poses to be asked for here:
    stamps of two drives may be the same, and their odometry starts anew. Ask each of `drives`.
    """

    def __init__(self, drives: Sequence[PosedImageReader]) -> None:
        """drives: open readers, one at least.

        Raises RecordingError where they are not of one robot with one camera.
        """
        for drive in drives:
            _require_one_robot(drives[0].info, drive.info)
        self.drives = tuple(drives)
        """A reader of each."""
        infos = [drive.info for drive in drives]
        self.info: RecordingInfo = replace(
            infos[0],
            image_count=sum(info.image_count for info in infos),
            duration_s=sum(info.duration_s for info in infos),
        )
        """That of the first drive, but images and duration are of all."""
        self.left_out: Counter[str] = Counter()
        """Frames that the latest pass left out, by reason, once it is over."""
        self.position: dict[str, Any] = {}
        """JSON: where `posed_images` stands, for its `resume`."""
        self.non_keyframe_ns: int | None = None
        """As of `PosedImageReader`, of the drive that `posed_images` is reading."""

    def __enter__(self) -> DrivesReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes all of them."""
        with ExitStack() as closing:
            for drive in self.drives:
                closing.callback(drive.close)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each drive is called: its file or folder, with its path where two have one name."""
        paths = [drive.info.path for drive in self.drives]
        names = Counter(path.name for path in paths)
        return tuple(path.name if names[path.name] == 1 else str(path) for path in paths)

    @property
    def notes(self) -> list[str]:
        """Sentences on what is odd but usable; of several drives each says whose it is."""
        if len(self.drives) == 1:
            return self.drives[0].notes
        named = zip(self.names, self.drives, strict=True)
        return [f"{name}: {note}" for name, drive in named for note in drive.notes]

    @cached_property
    def content_hashes(self) -> tuple[str, ...]:
        """sha256 (hex) of each drive; a pass over all their bytes.

        Raises RecordingError where one was given twice, or cannot be read.
        """
        paths: dict[str, object] = {}
        for drive in self.drives:
            content_hash = drive.content_hash()
            if content_hash in paths:
                raise RecordingError(
                    f"{drive.info.path} is the same recording as {paths[content_hash]}: give it "
                    "once"
                )
            paths[content_hash] = drive.info.path
        return tuple(paths)

    def content_hash(self) -> str:
        """sha256 (hex) over all drives in their order; of a single one it is its own."""
        hashes = self.content_hashes
        return (
            hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        )

    def posed_images(
        self, selection: FrameSelection | None = None, resume: dict[str, Any] | None = None
    ) -> Iterator[PosedImage]:
        """The keyframes of each drive in turn, as `PosedImageReader.posed_images` gives them.

        resume: what `position` was when an earlier pass stopped.
        Raises RecordingError where a drive had not one.
        """
        first, within = (resume["drive"], resume["within"]) if resume else (0, None)
        left_out = Counter(resume["left_out"] if resume else {})
        self.position = resume or {}
        for number, drive in enumerate(self.drives):
            if number < first:
                continue
            images = drive.posed_images(selection, within if number == first else None)
            for image in self._of_drive(number, images):
                self.non_keyframe_ns = drive.non_keyframe_ns
                self.position = {
                    "drive": number, "within": drive.position, "left_out": dict(left_out),
                }  # fmt: skip
                yield image
            left_out += drive.left_out
        self.left_out = left_out

    def images_at(self, places: set[tuple[int, int]]) -> Iterator[PosedImage]:
        """The images with these (drive, stamp in ns), in order; the others are not decoded."""
        for number, drive in enumerate(self.drives):
            stamps_ns = {stamp_ns for of_drive, stamp_ns in places if of_drive == number}
            if stamps_ns:
                yield from self._of_drive(number, drive.images_at(stamps_ns))

    def _of_drive(self, number: int, images: Iterator[PosedImage]) -> Iterator[PosedImage]:
        """The images, which say that they are of that drive, as errors do."""
        try:
            for image in images:
                yield replace(image, drive=number)
        except RecordingError as error:
            path = str(self.drives[number].info.path)
            if len(self.drives) == 1 or path in str(error):
                raise
            raise RecordingError(f"{path}: {error}") from error


def _require_one_robot(first: RecordingInfo, other: RecordingInfo) -> None:
    for what, of_first, of_other in (
        ("base frame", first.base_frame, other.base_frame),
        ("camera frame", first.camera_frame, other.camera_frame),
    ):
        if of_first != of_other:
            raise RecordingError(
                f"{other.path}: its {what} is '{of_other}', that of {first.path} is '{of_first}'; "
                "the drives of one map have to be of one robot and one camera"
            )
