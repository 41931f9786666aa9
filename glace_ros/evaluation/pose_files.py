"""Files of poses in the forms of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glace_ros.atomic_write import write_output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from glace_ros.evaluation.localized_frame import LocalizedFrame
    from glace_ros.geometry.pose import Pose


def write_tum(path: Path, frames: Sequence[LocalizedFrame]) -> None:
    """Accepted poses of the base in the map as TUM lines: seconds x y z qx qy qz qw, metres.

    Raises OSError where it cannot be written.
    """
    lines = []
    for frame in frames:
        if frame.estimate is not None:
            lines.append(tum_line(frame.stamp_ns, frame.estimate))
    write_output(path, "".join(line + "\n" for line in lines))


def tum_line(stamp_ns: int, map_from_base: Pose) -> str:
    """Seconds x y z qx qy qz qw, metres."""
    numbers = [*map_from_base.translation_3, *map_from_base.quaternion_xyzw]
    seconds = f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"
    return " ".join([seconds, *(f"{number:.9f}" for number in numbers)])


def write_submission(path: Path, names: Sequence[str], frames: Sequence[LocalizedFrame]) -> None:
    """Accepted poses as visuallocalization.net takes them: file name, then qw qx qy qz tx ty tz of
    camera_from_map, metres.

    names: of the frames' images; folders in them are left out.
    frames: with poses of the camera, not of a base.
    Raises OSError where it cannot be written.
    """
    lines = []
    for name, frame in zip(names, frames, strict=True):
        if frame.estimate is not None:
            camera_from_map = frame.estimate.inverse()
            x, y, z, w = camera_from_map.quaternion_xyzw
            numbers = [w, x, y, z, *camera_from_map.translation_3]
            lines.append(" ".join([name.split("/")[-1], *(f"{number:.9f}" for number in numbers)]))
    write_output(path, "".join(line + "\n" for line in lines))
