"""What can be asked of a recording, a bag or a scene folder: its images, each with its pose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from glace_ros.errors import RecordingError
from glace_ros.geometry.rolling_shutter import CameraMotion
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.frame_selection import FrameSelection, FrameSelector
from glace_ros.recording.posed_images import PosedImage
from glace_ros.recording.stray_stamps import ONE_DAY_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.recording.pose_jumps import PoseJump
    from glace_ros.recording.recording_info import RecordingInfo

_MANY_IN_GAPS = 0.1
"""Of all images; fewer are left out by a pause of the recording or two."""
_IN_GAPS = "lie between poses that are too far apart"

Reader = TypeVar("Reader", bound="PosedImageReader")


@dataclass(frozen=True)
class RecordedFrame:
    """An image of the right camera that has a time, not decoded yet."""

    stamp_ns: int
    """When it was exposed."""
    content: Any
    """The reader's own: a message, or the image's files."""


class PosedImageReader(ABC):
    """Posed images, in order. It is open when it is made, and a context manager that closes it.

    It streams, so that its memory does not grow with the recording. Whatever is asked of it, and
    its constructor, raise RecordingError with one sentence.
    """

    def __init__(self, info: RecordingInfo) -> None:
        self.info = info
        """What the recording is, and what of it is read."""
        self.left_out: Counter[str] = Counter()
        """Frames that the latest iteration left out, by reason."""
        self.frames_used: int | None = None
        """Frames that the latest iteration gave; None before its end."""
        self.position: dict[str, Any] = {}
        """JSON: where in the recording `posed_images` stands, for its `resume`."""
        self.non_keyframe_ns: int | None = None
        """Stamp of the frame midway among those between the two keyframes that `posed_images` gave
        last; None where there was none that has a pose and is no repetition.
        """
        self._since_keyframe_ns: list[int] = []
        self._why_no_pose = ""

    def __enter__(self: Reader) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def posed_images(
        self, selection: FrameSelection | None = None, resume: dict[str, Any] | None = None
    ) -> Iterator[PosedImage]:
        """The keyframes in order of recording, each with its pose.

        selection: what makes a keyframe; None: the defaults.
        resume: what `position` was when an earlier pass over the same recording stopped; the images
            up to there are skipped, undecoded.
        Raises RecordingError at the end where there was not one.
        """
        selector = FrameSelector(selection or FrameSelection())
        self._begin()
        used = skipped = 0
        self.position = resume or {}
        if resume:
            selector.restore(resume["selector"])
            used, skipped = resume["used"], resume["frames"]
        for number, frame in enumerate(self._frames(), 1):
            if resume and number <= skipped:
                if number == skipped:
                    self.left_out = Counter(resume["left_out"])
                continue
            image = self._keyframe(frame, selector)
            if image is None:
                continue
            used += 1
            between_ns, self._since_keyframe_ns = self._since_keyframe_ns, []
            self.non_keyframe_ns = between_ns[len(between_ns) // 2] if between_ns else None
            self.position = {
                "frames": number, "used": used, "selector": selector.state(),
                "left_out": dict(self.left_out),
            }  # fmt: skip
            yield image
        self._end(used)

    def images_at(self, stamps_ns: set[int]) -> Iterator[PosedImage]:
        """The images with these stamps, in order of recording; the others are not decoded.

        stamps_ns: one that the recording does not have is passed over.
        """
        wanted, left_out = set(stamps_ns), Counter(self.left_out)
        try:
            for frame in self._frames():
                if frame.stamp_ns not in wanted:
                    continue
                wanted.remove(frame.stamp_ns)
                image = self._decoded(frame, self._pose_or_none(frame.stamp_ns))
                if image is not None:
                    yield image
        finally:
            self.left_out = left_out  # says what `posed_images` left out

    def images(self) -> Iterator[PosedImage]:
        """Every image that can be decoded, in order of recording; pose None where there is none.

        Raises RecordingError at the end where there was not one.
        """
        self._begin()
        used = 0
        for frame in self._frames():
            image = self._decoded(frame, self._pose_or_none(frame.stamp_ns))
            if image is not None:
                used += 1
                yield image
        self._advise_on_gaps()
        for reason in [reason for reason in self.left_out if reason.startswith("no pose")]:
            del self.left_out[reason]  # these were yielded
        self._end(used)

    @abstractmethod
    def close(self) -> None:
        """Closes the files that it holds open."""

    @property
    @abstractmethod
    def notes(self) -> list[str]:
        """Sentences on what is odd but usable."""

    @abstractmethod
    def content_hash(self) -> str:
        """sha256 (hex) over all that the recording holds; a pass over all its bytes."""

    @abstractmethod
    def map_from_base(self, at_ns: int) -> Pose:
        """The base in the map frame; raises TransformError where there is no pose at that time."""

    @abstractmethod
    def map_from_camera(self, at_ns: int) -> Pose:
        """The camera in the map frame; raises TransformError where there is no pose then."""

    @abstractmethod
    def pose_stamps_n(self) -> NDArray[np.int64]:
        """Stamps (n,) in ns, ascending, of the base's poses; empty where it never moves."""

    def pose_jumps(self) -> list[PoseJump]:
        """Where the base's poses jump as no robot moves, in order; none where images have no times
        of their own.
        """
        return []

    def zero_ns(self) -> int:
        """What players call 0:00, ns: the recording's start, or that of its poses where stamps are
        of another time.
        """
        stamps_n, start_ns = self.pose_stamps_n(), self.info.start_ns
        if len(stamps_n) and abs(int(stamps_n[0]) - start_ns) > ONE_DAY_NS:
            return int(stamps_n[0])
        return start_ns

    @abstractmethod
    def _frames(self) -> Iterator[RecordedFrame]:
        """All frames, in order; counts in left_out those that have no time."""

    @abstractmethod
    def _bytes_of(self, frame: RecordedFrame) -> NDArray[np.uint8]:
        """The image as stored, to tell repeated ones."""

    @abstractmethod
    def _image_of(self, frame: RecordedFrame) -> tuple[NDArray[np.uint8], Camera]:
        """The image as RGB, undistorted, and its pinhole. ValueError with a sentence that names it
        where it is damaged.
        """

    @abstractmethod
    def _note(self, sentence: str) -> None: ...

    @abstractmethod
    def _images_in_words(self) -> str: ...

    def _begin(self) -> None:
        self.left_out.clear()
        self._since_keyframe_ns = []
        self.frames_used = None
        self._why_no_pose = ""

    def _keyframe(self, frame: RecordedFrame, selector: FrameSelector) -> PosedImage | None:
        """The frame with its pose if it is a keyframe; None (counted) where it is not."""
        repeated = selector.repeated(self._bytes_of(frame))
        pose = self._pose_or_none(frame.stamp_ns)
        if pose is None:
            return None
        if repeated:
            self.left_out[repeated] += 1
            return None
        if why_not := selector.too_close(pose):
            self._leave_out(frame, why_not)
            return None
        image = self._decoded(frame, pose)
        if image is None:
            return None
        if why_not := selector.blurred(image.image_rgb_hwc):
            self._leave_out(frame, why_not)
            return None
        selector.keep(pose)
        return image

    def _leave_out(self, frame: RecordedFrame, why_not: str) -> None:
        self.left_out[why_not] += 1
        self._since_keyframe_ns.append(frame.stamp_ns)

    def _pose_or_none(self, at_ns: int) -> Pose | None:
        try:
            return self.map_from_camera(at_ns)
        except TransformError as error:
            self.left_out[f"no pose: {error.reason}"] += 1
            self._why_no_pose = self._why_no_pose or str(error)
            return None

    def _decoded(self, frame: RecordedFrame, pose: Pose | None) -> PosedImage | None:
        """The image, undistorted; None (counted) where it is damaged."""
        try:
            image_rgb_hwc, camera = self._image_of(frame)
        except ValueError as error:
            self.left_out[getattr(error, "reason", "cannot be decoded")] += 1
            self._note(str(error))
            return None
        return PosedImage(
            frame.stamp_ns, image_rgb_hwc, camera, pose, motion=self.motion(frame.stamp_ns)
        )

    def motion(self, at_ns: int) -> CameraMotion | None:
        """Of the camera, as the recorded poses have it; None where they do not tell."""
        return CameraMotion.at(at_ns, self.camera_at)

    def camera_at(self, at_ns: int) -> Pose | None:
        """map_from_camera; None where the recording has no pose then."""
        try:
            return self.map_from_camera(at_ns)
        except TransformError:
            return None

    def _advise_on_gaps(self) -> None:
        in_gaps = self.left_out.get("no pose: gap between transforms", 0)
        if in_gaps > _MANY_IN_GAPS * self.info.image_count:
            self._note(
                f"{in_gaps} of {self.info.image_count} images {_IN_GAPS}; record poses more often "
                "(AMCL publishes its own after motion alone: record /tf too and take tf:map), or "
                "bridge longer gaps with --max-pose-gap SECONDS"
            )

    def _end(self, used: int) -> None:
        self.frames_used = used
        self._advise_on_gaps()
        if used:
            return
        reasons = ", ".join(f"{reason} ({n})" for reason, n in self.left_out.most_common())
        notes = [note for note in self.notes if note.startswith(self.info.image_topic)]
        notes += [note for note in self.notes if _IN_GAPS in note]
        details = [self._why_no_pose, *notes]
        sentence = f"None of the {self.info.image_count} {self._images_in_words()} can be used"
        raise RecordingError("; ".join([f"{sentence}: {reasons}", *filter(None, details)]))
