"""JPEGs as some cameras send them: whole without their end mark, or cut off and closed by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_START = bytes([0xFF, 0xD8, 0xFF])
_END_MARK = np.frombuffer(bytes([0xFF, 0xD9]), np.uint8)
_MARK, _SCAN = 0xFF, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MOST_PIXELS_A_BYTE = 400
"""A picture of one colour has 90 to 170; of one that claims more, OpenCV makes all of them."""
_CELL_PX = 8
_NOTHING = 128
"""Brightness that libjpeg gives to what it has no data of, in all three channels."""


def is_jpeg(bytes_n: NDArray[np.uint8]) -> bool:
    """By its first bytes."""
    return bytes_n[:3].tobytes() == _START


def decoded_jpeg(bytes_n: NDArray[np.uint8], flags: int) -> NDArray[np.uint8] | None:
    """The picture as OpenCV gives it; None where it is none.

    bytes_n: of a JPEG; its end mark may be missing.
    flags: of cv2.imdecode.
    Raises ValueError, with half a sentence, where its last rows are missing, and where it says that
    it is larger than its bytes can be; cv2.error where OpenCV does.
    """
    pixels = _declared_pixels(bytes_n.tobytes())
    if pixels > _MOST_PIXELS_A_BYTE * len(bytes_n):
        raise ValueError(
            f"says that it has {pixels} pixels, in {len(bytes_n)} bytes: it is damaged"
        )
    picture = _decoded(bytes_n, flags)
    if picture is None:
        picture = _decoded(np.concatenate([bytes_n, _END_MARK]), flags)
    if picture is None or not _ends_in_nothing(picture):
        return picture
    if _ends_in_nothing(_decoded(_continued(bytes_n), flags)):
        return picture  # it is as grey as that
    raise ValueError("is cut off: its last rows are missing")


def _declared_pixels(data: bytes) -> int:
    """Height times width by its frame header; 0 where it has none before its first scan."""
    at = 2
    while at + 9 < len(data) and data[at] == _MARK:
        kind = data[at + 1]
        if kind == _MARK:  # marks may be padded
            at += 1
        elif kind in _FRAMES:
            return _number(data, at + 5) * _number(data, at + 7)
        elif kind == _SCAN:
            return 0
        else:
            at += 2 + _number(data, at + 2)
    return 0


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _decoded(bytes_n: NDArray[np.uint8], flags: int) -> NDArray[np.uint8] | None:
    picture = cv2.imdecode(bytes_n, flags)
    return None if picture is None else np.asarray(picture, dtype=np.uint8)


def _ends_in_nothing(picture: NDArray[np.uint8] | None) -> bool:
    return picture is None or bool((picture[-_CELL_PX:, -_CELL_PX:] == _NOTHING).all())


def _continued(bytes_n: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The file with more data in the place of its end: what is complete does not change by it."""
    whole = bytes_n.tobytes()
    end = whole.rfind(_END_MARK.tobytes())
    body = np.frombuffer(whole[:end] if end > 0 else whole, np.uint8)
    # no byte is 255, which would begin a mark; enough for many rows at once
    more = np.random.default_rng(0).integers(0, 255, len(whole) + 65536, dtype=np.uint8)
    return np.concatenate([body, more, _END_MARK])
