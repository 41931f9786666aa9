"""What headers of a recording alone tell against it: another clock, a frame not optical."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.geometry.pose import Pose

_CLOCK_S = 1.0
"""Transport delays a stamp by less."""
_DAY_S = 86_400.0
_TAI_S, _GPS_S = 37.0, 18.0
"""Ahead of UTC since 2017."""
_UP = 0.9
"""Cosine of the angle to the vertical."""


def clocks_sentence(
    topic: str, camera_ahead_ns: Sequence[int], poses_ahead_ns: Sequence[int]
) -> str:
    """Whether the camera's stamps are of another clock than those of the poses; empty where not,
    and where they are days apart, which is said of them elsewhere.

    camera_ahead_ns, poses_ahead_ns: stamp minus time of recording, of each message.
    """
    if not len(camera_ahead_ns) or not len(poses_ahead_ns):
        return ""
    apart_s = float(np.median(camera_ahead_ns) - np.median(poses_ahead_ns)) / 1e9
    if not _CLOCK_S < abs(apart_s) < _DAY_S:
        return ""
    known = {_TAI_S: " (TAI is 37 s ahead of UTC)", _GPS_S: " (GPS time is 18 s ahead of UTC)"}
    which = next((said for off_s, said in known.items() if abs(apart_s - off_s) < _CLOCK_S), "")
    return (
        f"{topic}: its stamps are {abs(apart_s):.1f} s {'ahead of' if apart_s > 0 else 'behind'} "
        "those of the poses, by the time at which both were recorded: the camera has another "
        f"clock{which}; set it to the robot's, for poses do not fit such images"
    )


def frame_sentence(image_topic: str, base_from_camera: Pose, camera_frame: str) -> str:
    """Whether the images' frame looks like a body's (x forward, z up), not like a camera's (z
    forward); empty where it does not.
    """
    x_axis_3, z_axis_3 = base_from_camera.rotation_33[:, 0], base_from_camera.rotation_33[:, 2]
    if z_axis_3[2] < _UP or abs(x_axis_3[2]) > 1 - _UP:
        return ""
    return (
        f"{image_topic}: by its frame {camera_frame} the camera looks straight up; where it does "
        "not, that is the camera's link (x forward, z up): set frame_id to its optical frame (z "
        "forward, y down)"
    )
