"""What a recording holds, what was chosen of it and why, for people and for `--dry-run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glace_ros.geometry.transform_tree import TransformError

if TYPE_CHECKING:
    from glace_ros.geometry.camera import Camera
    from glace_ros.recording.posed_image_reader import PosedImageReader

_PATH_SAMPLE_NS = 250_000_000


@dataclass(frozen=True)
class TopicSummary:
    """A topic; rate_hz over the bag's duration, 0 where that is no time at all."""

    name: str
    msgtype: str
    count: int
    rate_hz: float


@dataclass(frozen=True)
class RecordingSummary:
    """What a recording holds and what was chosen.

    frames_used, left_out (reason -> frames): of the latest iteration; None and empty before one.
    """

    path: str
    duration_s: float
    topics: tuple[TopicSummary, ...]
    image_topic: str
    camera_info_topic: str
    pose_source: str
    pose_source_why: str
    map_frame: str
    base_frame: str
    camera_frame: str
    camera: Camera
    image_count: int
    path_length_m: float
    frames_used: int | None
    left_out: dict[str, int]
    notes: tuple[str, ...]


def summarize(reader: PosedImageReader) -> RecordingSummary:
    """The summary of an entered reader."""
    duration_s = reader.duration_s
    topics = tuple(
        TopicSummary(t.name, t.msgtype, t.count, t.count / duration_s if duration_s > 0 else 0.0)
        for t in sorted(reader.topics.values(), key=lambda t: t.name)
    )
    return RecordingSummary(
        path=str(reader.path),
        duration_s=duration_s,
        topics=topics,
        image_topic=reader.image_topic,
        camera_info_topic=reader.camera_info_topic,
        pose_source=reader.pose_source,
        pose_source_why=reader.pose_source_why,
        map_frame=reader.map_frame,
        base_frame=reader.base_frame,
        camera_frame=reader.camera_frame,
        camera=reader.camera,
        image_count=reader.image_count,
        path_length_m=_path_length_m(reader),
        frames_used=reader.frames_used,
        left_out=dict(reader.left_out.most_common()),
        notes=tuple(reader.notes),
    )


def describe(summary: RecordingSummary) -> str:
    """The summary as lines of text."""
    width = max((len(topic.name) for topic in summary.topics), default=0)
    camera = summary.camera
    duration = f"{summary.duration_s:.1f} s, " if summary.topics else ""
    lines = [
        f"{summary.path}: {duration}{summary.path_length_m:.1f} m",
        *(
            f"  {t.name:<{width}}  {t.msgtype:<36} {t.count:>8}  {t.rate_hz:6.1f} Hz"
            for t in summary.topics
        ),
        f"images:      {summary.image_topic}, {summary.image_count} of "
        f"{camera.width_px}x{camera.height_px} in {summary.camera_frame}",
        f"calibration: {summary.camera_info_topic}, fx {camera.fx_px:.1f} fy {camera.fy_px:.1f} "
        f"cx {camera.cx_px:.1f} cy {camera.cy_px:.1f}, distortion {camera.distortion_model}",
        f"poses:       {summary.pose_source}, of {summary.base_frame} in {summary.map_frame} "
        f"({summary.pose_source_why})",
    ]
    if summary.frames_used is not None:
        lines.append(f"frames used: {summary.frames_used}")
        lines += [f"  left out: {n:>7}  {reason}" for reason, n in summary.left_out.items()]
    return "\n".join(lines + [f"note: {note}" for note in summary.notes])


def _path_length_m(reader: PosedImageReader) -> float:
    """The base's way, from samples far enough apart that the noise of 50 Hz does not add up."""
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
