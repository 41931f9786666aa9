"""The text files of a scene folder: poses and calibrations, read and written.

A pixel coordinate in a calibration has its origin at the image's corner, as the format's default
for the principal point has, W/2 and H/2; everywhere else here it is the centre of the first pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.errors import RecordingError
from glace_ros.geometry.camera import PINHOLE, Camera
from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

_MOST_BYTES = 100_000
"""No matrix is longer: a longer file is of something else."""
_OFF_CENTRE = 0.15
"""Ratio of the image's size by which a camera's principal point may be off its centre: a
calibration of an image a third larger is off by more.
"""


def read_pose(path: Path) -> Pose:
    """map_from_camera (optical axes, metres) of a 4x4 matrix in a text file.

    Raises ValueError, in a few words to count by, where that is no rigid transform;
    RecordingError where the file cannot be read.
    """
    return pose_of_text(read_text(path))


def pose_of_text(text: str) -> Pose:
    """As `read_pose`, of the file's text. Raises ValueError where it is no rigid transform."""
    numbers_n = _numbers(text)
    if numbers_n is None or len(numbers_n) != 16:
        raise ValueError("not 4x4 numbers")
    matrix_44 = numbers_n.reshape(4, 4)
    if not np.isfinite(matrix_44).all():
        raise ValueError("not finite")
    if not matrix_44[:3].any():
        raise ValueError("all zeros")
    if not np.allclose(matrix_44[3], [0.0, 0.0, 0.0, 1.0], atol=1e-6):
        raise ValueError("the last row is not 0 0 0 1")
    try:
        return Pose.from_matrix(matrix_44)
    except ValueError:
        raise ValueError("no rotation in the 3x3 part") from None


def text_of_pose(pose: Pose) -> str:
    """What `read_pose` reads."""
    return _lines(pose.matrix_44)


def read_calibration(path: Path, width_px: int, height_px: int) -> Camera:
    """The pinhole of an image of that size: one focal length, or a 3x3 matrix.

    Raises RecordingError with a sentence that names the file.
    """
    numbers_n = _numbers(read_text(path))
    if numbers_n is None or len(numbers_n) not in (1, 9):
        raise RecordingError(f"{path} holds neither a focal length nor a 3x3 matrix")
    cx_px, cy_px = width_px / 2, height_px / 2
    if len(numbers_n) == 1:
        fx_px = fy_px = float(numbers_n[0])
    else:
        fx_px, fy_px, cx_px, cy_px = _of_matrix(path, numbers_n.reshape(3, 3))
        off = max(abs(cx_px / width_px - 0.5), abs(cy_px / height_px - 0.5))
        if off > _OFF_CENTRE:
            raise RecordingError(
                f"{path} is of another image size: its principal point is ({cx_px:g}, {cy_px:g}), "
                f"the image is {width_px}x{height_px}; write the matrix of the image as it is"
            )
    try:
        return Camera(width_px, height_px, fx_px, fy_px, cx_px - 0.5, cy_px - 0.5)
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from error


def text_of_calibration(camera: Camera) -> str:
    """What `read_calibration` reads. Raises ValueError where the camera is no pinhole."""
    if camera.distortion_model != PINHOLE:
        raise ValueError("a calibration file has no distortion")
    k_33 = camera.matrix_33
    k_33[:2, 2] += 0.5
    return _lines(k_33)


def read_text(path: Path) -> str:
    """A small text file. Raises RecordingError where it cannot be read or is no such thing."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise RecordingError(f"{path} is too long for a few numbers")
    return content.decode("utf-8", "replace")


def _of_matrix(path: Path, k_33: NDArray[np.float64]) -> tuple[float, float, float, float]:
    zeros_5 = [k_33[0, 1], k_33[1, 0], k_33[2, 0], k_33[2, 1], k_33[2, 2] - 1.0]
    if not np.allclose(zeros_5, 0.0, atol=1e-6):  # NaN is not near
        raise RecordingError(f"{path} is no camera matrix (fx 0 cx, 0 fy cy, 0 0 1)")
    return float(k_33[0, 0]), float(k_33[1, 1]), float(k_33[0, 2]), float(k_33[1, 2])


def _numbers(text: str) -> NDArray[np.float64] | None:
    """All numbers of a text; None where something else is in it."""
    try:
        return np.array([_number(word) for word in text.replace(",", " ").split()])
    except ValueError:
        return None


def _number(word: str) -> float:
    """Visual C++ writes -1.#IND and 1.#INF, as in poses of 12-Scenes."""
    return math.nan if "#" in word else float(word)


def _lines(matrix_nm: ArrayLike) -> str:
    """Every digit that a float64 has."""
    rows = np.asarray(matrix_nm, dtype=np.float64).tolist()
    return "".join(" ".join(repr(number) for number in row) + "\n" for row in rows)
