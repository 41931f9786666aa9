"""Which frames of a recording are worth learning from: keyframes, sharp and not repeated."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHARPNESS_WIDTH_PX = 480
"""One width for all cameras: edges of a larger image are softer."""
_SHARPNESS_HISTORY = 50
"""Frames of the running median: how sharp images are depends on where the robot is."""
_SHARPNESS_MIN_HISTORY = 5
"""Of fewer frames the median says nothing."""


@dataclass(frozen=True)
class FrameSelection:
    """When a frame becomes a keyframe. Distance or angle 0: every sharp one does."""

    keyframe_distance_m: float = 0.1
    """It is so far from the last keyframe, or turned by the angle."""
    keyframe_angle_deg: float = 5.0
    """It is turned so far from the last keyframe, or away by the distance."""
    min_sharpness: float = 0.2
    """Below this ratio of its variance of the Laplacian to the running median of the recording a
    frame counts as blurred; 0 takes them all.
    """
    skip_repeated: bool = True
    """Leave out images with the bytes of the one before: a camera driver that froze."""


class FrameSelector:
    """Decides frame after frame, in order of time.

    Each question returns why the frame is left out, in a few words to count by, or None.
    """

    def __init__(self, selection: FrameSelection) -> None:
        self._selection = selection
        self._last_bytes: tuple[int, int] | None = None
        self._last_keyframe: Pose | None = None
        self._sharpness: deque[float] = deque(maxlen=_SHARPNESS_HISTORY)

    def repeated(self, data: NDArray[np.uint8]) -> str | None:
        """Whether the message's bytes are those of the message before. Ask for every message."""
        previous, self._last_bytes = self._last_bytes, (len(data), zlib.crc32(data.data))
        if self._selection.skip_repeated and previous == self._last_bytes:
            return "repeated image"
        return None

    def too_close(self, map_from_camera: Pose) -> str | None:
        """Whether the camera has hardly moved since the last keyframe."""
        last = self._last_keyframe
        if last is None:
            return None
        if last.distance_m(map_from_camera) >= self._selection.keyframe_distance_m:
            return None
        if np.rad2deg(last.angle_rad(map_from_camera)) >= self._selection.keyframe_angle_deg:
            return None
        return "too close to the last keyframe"

    def blurred(self, image_rgb_hwc: NDArray[np.uint8]) -> str | None:
        """Whether the image is much less sharp than those before it."""
        sharpness = sharpness_of(image_rgb_hwc)
        median = float(np.median(self._sharpness)) if self._sharpness else 0.0
        enough = len(self._sharpness) >= _SHARPNESS_MIN_HISTORY
        self._sharpness.append(sharpness)
        if enough and sharpness < self._selection.min_sharpness * median:
            return "blurred"
        return None

    def keep(self, map_from_camera: Pose) -> None:
        """The frame became a keyframe: the next ones are measured from here."""
        self._last_keyframe = map_from_camera

    def state(self) -> dict[str, Any]:
        """All that its answers depend on, as JSON."""
        last = self._last_keyframe
        return {
            "last_bytes": self._last_bytes,
            "last_keyframe": None if last is None else last.matrix_44.tolist(),
            "sharpness": list(self._sharpness),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on as the selector did whose state this is."""
        last_bytes, last = state["last_bytes"], state["last_keyframe"]
        self._last_bytes = None if last_bytes is None else (last_bytes[0], last_bytes[1])
        if last is not None:
            matrix_44 = np.array(last)
            self._last_keyframe = Pose(matrix_44[:3, :3], matrix_44[:3, 3])
        self._sharpness.extend(state["sharpness"])


def sharpness_of(image_rgb_hwc: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the grey image, at one width for all cameras."""
    grey_hw = cv2.cvtColor(image_rgb_hwc, cv2.COLOR_RGB2GRAY)
    height, width = grey_hw.shape
    if width > _SHARPNESS_WIDTH_PX:
        size = (_SHARPNESS_WIDTH_PX, max(1, round(height * _SHARPNESS_WIDTH_PX / width)))
        grey_hw = cv2.resize(grey_hw, size, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey_hw, cv2.CV_32F).var())
