"""What the recorded poses of the mapping views are: of odometry or not, in which stretches of way,
and how the camera moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.pose import Pose
from glace_ros.geometry.rolling_shutter import CameraMotion
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.mapping.pose_refinement.refinement_view import RecordedMotion

if TYPE_CHECKING:
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.posed_image_reader import PosedImageReader

_VELOCITY_NS = 50_000_000
"""Before and after an exposure: the camera's velocity is that between these times."""
_SAME_PLACE_NS = 500_000_000
"""From the pose before a jump to the one after it, at most, where the robot counts as not moved."""


def have_frames_of_their_own(reader: DrivesReader) -> bool:
    """Whether poses drift, or those of one drive are in another frame than those of the next."""
    frames = {drive.info.map_frame for drive in reader.drives}
    return len(frames) > 1 or any(map(_is_odometry, reader.drives))


def _is_odometry(drive: PosedImageReader) -> bool:
    """Whether the poses are a robot's own count of its way, which drifts."""
    source = drive.info.pose_source
    topic = drive.info.topics.get(source)
    if topic is not None:
        return topic.msgtype.endswith("/Odometry")
    return source.startswith("tf:") and "odom" in source.removeprefix("tf:")


class Stretches(NamedTuple):
    """How the views are cut: a part lies between two jumps of its drive's poses; parts that begin
    where the robot was when the one before them ended are one stretch of way.
    """

    part_v: list[int]
    """Of each view."""
    begins_ns: list[int]
    """Of each part: the stamp of its first pose; 0 of a drive's first one."""
    stretch_of_part: list[int]
    names: list[str]
    """Of the stretches, for people."""
    continued: list[Pose]
    """stretch_from_part of each part: its poses in the frame that the stretch began with."""


def stretches_of(reader: DrivesReader, places: list[tuple[int, int]]) -> Stretches:
    """Of all views. Over a jump of milliseconds the robot has not moved, whatever its odometry
    says; over a longer one nobody knows.
    """
    jumps = [drive.pose_jumps() for drive in reader.drives]
    starts = [np.array([jump.stamp_ns for jump in of_drive], np.int64) for of_drive in jumps]
    keys = [
        (drive, int(np.searchsorted(starts[drive], stamp_ns, side="right")))
        for drive, stamp_ns in places
    ]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    found = Stretches([numbers[key] for key in keys], [], [], [], [])
    for number, part in numbers:
        drive, name, continued = reader.drives[number], reader.names[number], None
        if part and (number, part - 1) in numbers:
            jump = jumps[number][part - 1]
            name += f" after the jump at {(jump.stamp_ns - drive.zero_ns()) * 1e-9:.1f} s"
            if jump.stamp_ns - jump.before_ns < _SAME_PLACE_NS:
                before, behind = map(drive.map_from_base, (jump.before_ns, jump.stamp_ns))
                continued = found.continued[-1] @ before @ behind.inverse()
        if continued is None:
            found.names.append(name)
        found.begins_ns.append(jumps[number][part - 1].stamp_ns if part else 0)
        found.stretch_of_part.append(len(found.names) - 1)
        found.continued.append(continued or Pose.identity())
    return found


def motion_of(
    drive: PosedImageReader, stamp_ns: int, recorded: Pose, stretch: int
) -> RecordedMotion:
    """What odometry says of the camera at an exposure.

    recorded: its pose in the stretch's frame.
    """
    velocity_6 = None
    try:
        before, after = (
            drive.map_from_camera(stamp_ns + shift_ns) for shift_ns in (-_VELOCITY_NS, _VELOCITY_NS)
        )
        velocity_6 = np.concatenate(CameraMotion.between(before, after, 2e-9 * _VELOCITY_NS))
    except TransformError:
        pass
    return RecordedMotion(recorded, drive.info.base_from_camera, stretch, velocity_6)


def pose_at(drive: PosedImageReader, stamp_ns: int, offset_s: float) -> Pose | None:
    """map_from_camera so many seconds after a stamp; None where the recording has no pose then."""
    return drive.camera_at(stamp_ns + round(offset_s * 1e9))
