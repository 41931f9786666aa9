"""The base's last pose in the map as JSON: where to expect the robot after a restart."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.errors import GlaceError
from glace_ros.geometry.pose import Pose
from glace_ros.node.input.initial_pose import can_be_expected
from glace_ros.node.localizing.loaded_map import hash_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "glace_ros saved pose 1"
# the file may be 5 s old when the process dies, the robot rolls on, somebody may push it
SINCE_SAVED_66 = np.diag(np.repeat([1.0, math.radians(30.0)], 3) ** 2)


class SavedPoseError(GlaceError):
    """What is in the file is not to be used; the text is half a sentence."""


@dataclass(frozen=True, eq=False)
class SavedPose:
    """Where the base was in a map.

    map_id: of the map, see LoadedMap.
    origin_m: where the map's coordinates begin.
    base_frame: the base's name.
    stamp_ns: exposure time of the image that it came of.
    map_from_base: the pose.
    covariance_66: as in a Fix.
    """

    map_id: str
    origin_m: tuple[float, ...]
    base_frame: str
    stamp_ns: int
    map_from_base: Pose
    covariance_66: NDArray[np.float64]

    @property
    def expected_66(self) -> NDArray[np.float64]:
        """The covariance after a restart: by SINCE_SAVED_66 larger."""
        return np.asarray(self.covariance_66 + SINCE_SAVED_66)

    def to_json(self) -> str:
        """The file's content."""
        content = {
            "format": FORMAT,
            "map": self.map_id,
            "origin_m": list(self.origin_m),
            "base_frame_id": self.base_frame,
            "stamp_ns": self.stamp_ns,
            "position_m": self.map_from_base.translation_3.tolist(),
            "quaternion_xyzw": self.map_from_base.quaternion_xyzw.tolist(),
            "covariance": self.covariance_66.ravel().tolist(),
        }
        return json.dumps(content, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> SavedPose:
        """Raises SavedPoseError for anything that `to_json` does not write."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise SavedPoseError("it is not JSON") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise SavedPoseError("it is not a file that this node writes")
        map_id, base_frame = content.get("map"), content.get("base_frame_id")
        stamp_ns = content.get("stamp_ns")
        if (
            not isinstance(map_id, str)
            or not isinstance(base_frame, str)
            or type(stamp_ns) is not int
        ):
            raise SavedPoseError("it has no map, base_frame_id or stamp_ns")
        covariance_66 = _numbers(content, "covariance", 36).reshape(6, 6)
        if not can_be_expected(covariance_66):
            raise SavedPoseError("its covariance is none")
        try:
            map_from_base = Pose.from_quaternion(
                _numbers(content, "position_m", 3), _numbers(content, "quaternion_xyzw", 4)
            )
        except ValueError as error:
            raise SavedPoseError(str(error)) from None
        origin_m = tuple(_numbers(content, "origin_m", 3).tolist())
        return SavedPose(map_id, origin_m, base_frame, stamp_ns, map_from_base, covariance_66)

    def check_is_of(self, map_id: str, origin_m: tuple[float, ...], base_frame: str) -> None:
        """Raises SavedPoseError where it is of another map or another frame. A map may have been
        renamed.
        """
        if (hash_in(self.map_id), self.origin_m) != (hash_in(map_id), tuple(origin_m)):
            raise SavedPoseError(f"it is of the map {self.map_id[:100]!r}, not of {map_id!r}")
        if self.base_frame != base_frame:
            raise SavedPoseError(f"it is of {self.base_frame[:100]!r}, not of {base_frame!r}")


def _numbers(content: dict[str, Any], key: str, count: int) -> NDArray[np.float64]:
    values = content.get(key)
    if isinstance(values, list) and len(values) == count:
        with suppress(OverflowError):
            if all(type(v) in (int, float) and math.isfinite(v) for v in values):
                return np.array(values, dtype=np.float64)
    raise SavedPoseError(f"its {key} are not {count} numbers")
