"""Bytes of image messages -> RGB arrays, for the bag reader and the live node; no ROS here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# encoding -> bytes a pixel as stored, and OpenCV's conversion to RGB (None: it is RGB already)
_RAW_8_BIT: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "8UC3": (
        3,
        cv2.COLOR_BGR2RGB,
    ),  # cv_bridge's convention for a matrix without a name
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb8": (1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGRBG2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUY2),
}
# encoding -> channels of 16 bits, and the 8-bit encoding that its high bytes make
_RAW_16_BIT: dict[str, tuple[int, str]] = {
    "mono16": (1, "mono8"),
    "rgb16": (3, "rgb8"),
    "bgr16": (3, "bgr8"),
    "rgba16": (4, "rgba8"),
    "bgra16": (4, "bgra8"),
    "bayer_rggb16": (1, "bayer_rggb8"),
    "bayer_bggr16": (1, "bayer_bggr8"),
    "bayer_gbrg16": (1, "bayer_gbrg8"),
    "bayer_grbg16": (1, "bayer_grbg8"),
}
_MAX_PIXELS = 200_000_000
"""An image that claims more is rejected."""


def decode_raw(
    encoding: str,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool | int,
    data: bytes | bytearray | memoryview | NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """The pixels of a sensor_msgs/Image as RGB uint8 (height, width, 3), its own memory.

    16-bit images keep their high byte.

    encoding: one of those above.
    height: in px.
    width: in px.
    step: bytes a row, padding included.
    is_bigendian: of 16-bit images.
    data: the rows.
    Raises ValueError with a sentence, for another encoding or sizes that do not fit together.
    """
    if encoding in _RAW_16_BIT:
        channels, encoding_8 = _RAW_16_BIT[encoding]
        rows_hb = _rows(encoding, height, width, step, 2 * channels, data)
        high_hb = rows_hb[:, 0 if is_bigendian else 1 :: 2]
        return _to_rgb(np.ascontiguousarray(high_hb), encoding_8, height, width)
    if encoding not in _RAW_8_BIT:
        raise ValueError(
            f"the encoding '{encoding}' is not one of {', '.join([*_RAW_8_BIT, *_RAW_16_BIT])}"
        )
    rows_hb = _rows(encoding, height, width, step, _RAW_8_BIT[encoding][0], data)
    return _to_rgb(rows_hb, encoding, height, width)


def _rows(
    encoding: str, height: int, width: int, step: int, pixel_bytes: int, data: object
) -> NDArray[np.uint8]:
    """The rows (height, width * pixel_bytes) of bytes without their padding."""
    bytes_n = np.frombuffer(data, dtype=np.uint8)  # type: ignore[call-overload]
    if height <= 0 or width <= 0 or height * width > _MAX_PIXELS:
        raise ValueError(f"the image's size is {width}x{height}")
    if step < width * pixel_bytes:
        raise ValueError(
            f"the image's step of {step} bytes is less than {width} pixels of {encoding}"
        )
    used = (height - 1) * step + width * pixel_bytes  # some drivers leave out the last padding
    if len(bytes_n) < used:
        raise ValueError(
            f"the image has {len(bytes_n)} bytes, but {width}x{height} {encoding} with a step of "
            f"{step} bytes takes {height * step}"
        )
    return np.lib.stride_tricks.as_strided(
        bytes_n, (height, width * pixel_bytes), (step, 1), writeable=False
    )


def _to_rgb(
    rows_hb: NDArray[np.uint8], encoding: str, height: int, width: int
) -> NDArray[np.uint8]:
    pixel_bytes, conversion = _RAW_8_BIT[encoding]
    if (encoding.startswith("bayer") and min(height, width) < 4) or (
        encoding.startswith(("yuv", "uyvy", "yuyv")) and width % 2
    ):
        raise ValueError(f"an image of {width}x{height} cannot be {encoding}")
    shape = (height, width) if pixel_bytes == 1 else (height, width, pixel_bytes)
    pixels = np.ascontiguousarray(rows_hb).reshape(shape)
    if conversion is None:
        return pixels.copy()
    return np.asarray(cv2.cvtColor(pixels, conversion), dtype=np.uint8)


def decode_compressed(
    format_name: str, data: bytes | bytearray | memoryview | NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The picture of a sensor_msgs/CompressedImage (JPEG, PNG, ...) as RGB uint8 (h, w, 3).

    format_name: the message's `format`, such as "jpeg" or "rgb8; jpeg compressed bgr8". The
        bytes themselves say what they are; the name tells depth images apart.
    data: the file's bytes.
    Raises ValueError with a sentence, where that is no picture.
    """
    if "compressedDepth" in format_name:
        raise ValueError(f"the format '{format_name}' is a depth image, not a picture")
    bytes_n = np.frombuffer(data, dtype=np.uint8)
    # IMREAD_COLOR would turn the picture by its EXIF tag, away from its camera_info
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image_bgr_hwc = cv2.imdecode(bytes_n, flags) if len(bytes_n) else None
    except cv2.error as error:
        raise ValueError(f"the '{format_name}' image cannot be decoded ({error.err})") from None
    if image_bgr_hwc is None:
        raise ValueError(f"the {len(bytes_n)} bytes of the '{format_name}' image are no picture")
    return np.asarray(cv2.cvtColor(image_bgr_hwc, cv2.COLOR_BGR2RGB), dtype=np.uint8)
