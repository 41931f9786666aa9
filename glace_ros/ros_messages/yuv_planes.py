"""Images whose brightness and colour lie in planes of their own, as video hardware makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Layout(NamedTuple):
    """Where U and V lie behind the rows of Y."""

    u_first: bool
    interleaved: bool
    """U and V of a pixel beside each other; else in a plane each."""
    halved: bool
    """There is one U and V for two by two pixels; else one for each, or for each two of a row."""
    of_two: bool = False
    """There is one for each two of a row."""


_NV12, _NV21 = _Layout(True, True, True), _Layout(False, True, True)
_I420, _YV12 = _Layout(True, False, True), _Layout(False, False, True)
_LAYOUTS = {
    "nv12": _NV12,
    "nv21": _NV21,
    "nv16": _Layout(True, True, False, of_two=True),
    "nv61": _Layout(False, True, False, of_two=True),
    "nv24": _Layout(True, True, False),
    "nv42": _Layout(False, True, False),
    "i420": _I420,
    "iyuv": _I420,
    "yu12": _I420,
    "yuv420": _I420,
    "yuv420p": _I420,
    "yv12": _YV12,
}
PLANAR_YUV = tuple(_LAYOUTS)
"""Encodings that `rgb_of_planes` takes; nv12, nv21 and nv24 are those of sensor_msgs, the others
what drivers write."""


def rgb_of_planes(
    encoding: str, height: int, width: int, step: int, bytes_n: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """RGB uint8 (height, width, 3), by BT.601 in video range.

    encoding: one of PLANAR_YUV.
    height, width: of the picture, px.
    step: bytes a row of brightness, padding included; rows of colour are padded in proportion.
    bytes_n: all planes.
    Raises ValueError with a sentence, for sizes that do not fit together.
    """
    layout = _LAYOUTS[encoding]
    if (layout.halved and (height % 2 or width % 2)) or (layout.of_two and width % 2):
        raise ValueError(f"an image of {width}x{height} cannot be {encoding}")
    if step < width:
        raise ValueError(
            f"the image's step of {step} bytes is less than {width} pixels of {encoding}"
        )
    step_of_colour, rows_of_colour = _colour_rows(layout, height, step)
    padding = step - width if layout.interleaved or not layout.halved else (step - width) // 2
    needed = height * step + rows_of_colour * step_of_colour - padding
    if len(bytes_n) < needed:
        raise ValueError(
            f"the image has {len(bytes_n)} bytes, but {width}x{height} {encoding} with a step of "
            f"{step} bytes takes {height * step + rows_of_colour * step_of_colour}"
        )
    y_hw = _plane(bytes_n, 0, height, width, step)
    u_hw, v_hw = _colours(layout, bytes_n, height, width, step)
    if layout.halved:
        i420 = np.concatenate([y_hw.ravel(), u_hw.ravel(), v_hw.ravel()])
        picture = cv2.cvtColor(i420.reshape(height * 3 // 2, width), cv2.COLOR_YUV2RGB_I420)
        return np.asarray(picture, dtype=np.uint8)
    if layout.of_two:
        u_hw, v_hw = u_hw.repeat(2, axis=1), v_hw.repeat(2, axis=1)
    return _rgb_of_444(y_hw, u_hw, v_hw)


def _colour_rows(layout: _Layout, height: int, step: int) -> tuple[int, int]:
    """Bytes of a row of colour, and how many rows there are in all planes together."""
    if layout.of_two:
        return step, height
    if not layout.halved:
        return 2 * step, height
    return (step, height // 2) if layout.interleaved else (step // 2, height)


def _colours(
    layout: _Layout, bytes_n: NDArray[np.uint8], height: int, width: int, step: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    start = height * step
    rows, columns = (height // 2, width // 2) if layout.halved else (height, width)
    if layout.interleaved:
        columns = width // 2 if layout.of_two else columns
        row_bytes = step if layout.halved or layout.of_two else 2 * step
        both_hb = _plane(bytes_n, start, rows, 2 * columns, row_bytes)
        first_hw, second_hw = both_hb[:, 0::2], both_hb[:, 1::2]
    else:
        row_bytes = step // 2
        first_hw = _plane(bytes_n, start, rows, columns, row_bytes)
        second_hw = _plane(bytes_n, start + rows * row_bytes, rows, columns, row_bytes)
    return (first_hw, second_hw) if layout.u_first else (second_hw, first_hw)


def _plane(
    bytes_n: NDArray[np.uint8], start: int, rows: int, row_bytes: int, step: int
) -> NDArray[np.uint8]:
    return np.lib.stride_tricks.as_strided(
        bytes_n[start:], (rows, row_bytes), (step, 1), writeable=False
    )


def _rgb_of_444(
    y_hw: NDArray[np.uint8], u_hw: NDArray[np.uint8], v_hw: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """OpenCV has no conversion of it in video range."""
    y_hw1 = 1.164383 * (y_hw.astype(np.float32)[..., None] - 16.0)
    blue_hw, red_hw = u_hw.astype(np.float32) - 128.0, v_hw.astype(np.float32) - 128.0
    green_hw = -0.391762 * blue_hw - 0.812968 * red_hw
    colour_hw3 = np.stack([1.596027 * red_hw, green_hw, 2.017232 * blue_hw], axis=-1)
    return np.asarray(np.rint(np.clip(y_hw1 + colour_hw3, 0.0, 255.0)), dtype=np.uint8)
