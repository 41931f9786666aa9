"""What a recording holds, what was chosen of it and why, for people and for `--dry-run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glace_ros.geometry.transform_tree import TransformError

if TYPE_CHECKING:
    from collections.abc import Callable

    from glace_ros.recording.bag_file import BagTopic
    from glace_ros.recording.frame_selection import FrameSelection
    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.recording.recording_info import RecordingInfo

_PATH_SAMPLE_NS = 250_000_000


@dataclass(frozen=True, eq=False)
class RecordingSummary:
    """What a recording holds, what was chosen of it, and what became of its frames."""

    info: RecordingInfo
    """What the recording is, and what of it is read."""
    path_length_m: float
    """How far the base drove."""
    frames_used: int | None
    """Of the latest iteration; None before the end of one."""
    left_out: dict[str, int]
    """Frames of the latest iteration by why they were not used, the most frequent first."""
    notes: tuple[str, ...]
    """Sentences on what is odd but usable."""


def survey(
    reader: PosedImageReader,
    selection: FrameSelection | None = None,
    on_image: Callable[[PosedImage], None] = lambda _: None,
) -> RecordingSummary:
    """The summary after going through all frames as `posed_images` does (`--dry-run`).

    on_image: is handed each keyframe.
    Raises RecordingError where not one frame can be used.
    """
    for image in reader.posed_images(selection):
        on_image(image)
    return summarize(reader)


def summarize(reader: PosedImageReader) -> RecordingSummary:
    """The summary as it stands; frame counts are of the latest iteration."""
    return RecordingSummary(
        info=reader.info,
        path_length_m=_path_length_m(reader),
        frames_used=reader.frames_used,
        left_out=dict(reader.left_out.most_common()),
        notes=tuple(reader.notes),
    )


def topic_rate_hz(topic: BagTopic, duration_s: float) -> float:
    """Messages a second over the bag's duration; 0 where that is no time at all."""
    return topic.count / duration_s if duration_s > 0 else 0.0


def describe(summary: RecordingSummary) -> str:
    """The summary as lines of text."""
    info, camera = summary.info, summary.info.camera
    width = max(map(len, info.topics), default=0)
    duration = f"{info.duration_s:.1f} s, " if info.topics else ""
    lines = [
        f"{info.path}: {duration}{summary.path_length_m:.1f} m",
        *(
            f"  {topic.name:<{width}}  {topic.msgtype:<36} {topic.count:>8}  "
            f"{topic_rate_hz(topic, info.duration_s):6.1f} Hz"
            for _, topic in sorted(info.topics.items())
        ),
        f"images:      {info.image_topic}, {info.image_count} of "
        f"{camera.width_px}x{camera.height_px} in {info.camera_frame}",
        f"calibration: {info.camera_info_topic}, fx {camera.fx_px:.1f} fy {camera.fy_px:.1f} "
        f"cx {camera.cx_px:.1f} cy {camera.cy_px:.1f}, distortion {camera.distortion_model}",
        *_of_camera(info),
        f"poses:       {info.pose_source}, of {info.base_frame} in {info.map_frame} "
        f"({info.pose_source_why})",
    ]
    if summary.frames_used is not None:
        lines.append(f"frames used: {summary.frames_used}")
        lines += [f"  left out: {n:>7}  {reason}" for reason, n in summary.left_out.items()]
    return "\n".join(lines + [f"note: {note}" for note in summary.notes])


def _of_camera(info: RecordingInfo) -> list[str]:
    """What is not as usual with its images and its place."""
    lines = []
    if info.value_range:
        lines.append(f"16 bits:     {info.value_range} become black to white")
    if info.camera_pose_given:
        x, y, z = info.base_from_camera.translation_3
        lines.append(f"camera:      at {x:.3f} {y:.3f} {z:.3f} m on {info.base_frame}, as given")
    return lines


def _path_length_m(reader: PosedImageReader) -> float:
    """The length of the path, of samples so far apart that the noise of 50 Hz does not add up."""
    length_m, last_ns, last_3 = 0.0, None, None
    for stamp_ns in reader.pose_stamps_n().tolist():
        if last_ns is not None and stamp_ns - last_ns < _PATH_SAMPLE_NS:
            continue
        try:
            here_3 = reader.map_from_base(stamp_ns).translation_3
        except TransformError:
            continue
        if last_3 is not None:
            length_m += float(sum((here_3 - last_3) ** 2) ** 0.5)
        last_ns, last_3 = stamp_ns, here_3
    return length_m
