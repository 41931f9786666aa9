"""What a recording is, and what was chosen of it to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.recording.bag_file import BagTopic
    from glace_ros.ros_messages.value_range import ValueRange


@dataclass(frozen=True, eq=False)
class RecordingInfo:
    """All that is known of a recording once it is open, before an image of it is read."""

    kind: str
    """In words: bag, scene folder or list of rooms."""
    path: Path
    """The bag, the folder or the list, as it was given."""
    start_ns: int
    """0:00 of the recording, ns: when its first message was recorded; 0 of a scene folder."""
    duration_s: float
    """From the first message to the last; of a scene folder by its images' made-up times."""
    topics: Mapping[str, BagTopic]
    """All topics of a bag by name, read or not; a scene folder has none."""
    image_topic: str
    """Where its images come from: a topic, or the folder `rgb`."""
    camera_info_topic: str
    """Where its calibration comes from: a topic, or the folder `calibration`."""
    image_count: int
    """Images recorded, usable or not."""
    pose_source: str
    """`tf:FRAME`, a topic, or the folder `poses`."""
    pose_source_why: str
    """Why the poses are taken from there, in words."""
    map_frame: str
    """The frame in which poses are given."""
    base_frame: str
    """The robot's frame."""
    camera_frame: str
    """The camera's optical frame (z forward)."""
    base_from_camera: Pose
    """The camera on the robot; at the first image where it moves."""
    camera: Camera
    """The calibration of the first image, with its distortion."""
    value_range: ValueRange | None = None
    """Of images of 16 bits, what becomes black and white; None of those that have 8."""
    camera_pose_given: bool = False
    """Whether `base_from_camera` is not the recording's, but was given with --camera-pose."""
