"""Bytes of image messages -> RGB arrays, for the bag reader and the live node; no ROS here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from glace_ros.ros_messages.jpeg_end import decoded_jpeg, is_jpeg
from glace_ros.ros_messages.value_range import FULL_RANGE, ValueRange
from glace_ros.ros_messages.yuv_planes import PLANAR_YUV, rgb_of_planes

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
# encoding -> channels of 16 bits, and the 8-bit encoding that they are scaled to
_RAW_16_BIT: dict[str, tuple[int, str]] = {
    "mono16": (1, "mono8"),
    "16UC1": (1, "mono8"),
    "rgb16": (3, "rgb8"),
    "bgr16": (3, "bgr8"),
    "rgba16": (4, "rgba8"),
    "bgra16": (4, "bgra8"),
    "bayer_rggb16": (1, "bayer_rggb8"),
    "bayer_bggr16": (1, "bayer_bggr8"),
    "bayer_gbrg16": (1, "bayer_gbrg8"),
    "bayer_grbg16": (1, "bayer_grbg8"),
}
_ENCODINGS = (*_RAW_8_BIT, *_RAW_16_BIT, *PLANAR_YUV)
_MOSAICS = ("rggb", "bggr", "gbrg", "grbg")
_BY_LOWER_CASE = {
    **{encoding.lower(): encoding for encoding in _ENCODINGS},
    **dict.fromkeys(("y8", "gray", "grey", "gray8", "grey8"), "mono8"),
    **dict.fromkeys(("y10", "y12", "y14", "y16", "gray16", "grey16"), "mono16"),
    **{f"mono{bits}": "mono16" for bits in (10, 12, 14)},
    **{f"bayer_{tiles}{bits}": f"bayer_{tiles}16" for tiles in _MOSAICS for bits in (10, 12, 14)},
    **{name: f"{name}8" for name in ("rgb", "bgr", "rgba", "bgra")},
}
"""And what drivers call them that name them otherwise than sensor_msgs."""
_MOSAIC = re.compile(r"bayer_(rggb|bggr|gbrg|grbg)(8|16)(?=;)")
_MAX_PIXELS = 200_000_000
"""An image that claims more is rejected."""


def decode_raw(
    encoding: str,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool | int,
    data: bytes | bytearray | memoryview | NDArray[np.uint8],
    values: ValueRange = FULL_RANGE,
) -> NDArray[np.uint8]:
    """The pixels of a sensor_msgs/Image as RGB uint8 (height, width, 3), its own memory.

    encoding: one of those above, in upper or lower case.
    height: in px.
    width: in px.
    step: bytes a row, padding included.
    is_bigendian: of 16-bit images.
    data: the rows.
    values: of 16-bit images, those that become black and white; FULL_RANGE keeps the high byte.
    Raises ValueError with a sentence, for another encoding or sizes that do not fit together.
    """
    encoding = _BY_LOWER_CASE.get(encoding.lower(), encoding)
    if encoding in PLANAR_YUV:
        _check_size(height, width)
        bytes_n = np.frombuffer(data, dtype=np.uint8)
        return rgb_of_planes(encoding, height, width, step, bytes_n)
    if encoding in _RAW_16_BIT:
        values_hb = _values(encoding, height, width, step, is_bigendian, data)
        return _to_rgb(values.to_8_bits(values_hb), _RAW_16_BIT[encoding][1], height, width)
    if encoding not in _RAW_8_BIT:
        raise ValueError(f"the encoding '{encoding}' is not one of {', '.join(_ENCODINGS)}")
    rows_hb = _rows(encoding, height, width, step, _RAW_8_BIT[encoding][0], data)
    return _to_rgb(rows_hb, encoding, height, width)


def raw_16_bit_values(
    encoding: str,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool | int,
    data: bytes | bytearray | memoryview | NDArray[np.uint8],
) -> NDArray[np.uint16] | None:
    """The values (height, width * channels) of an image of 16 bits; None of one that has 8.

    Arguments and errors are those of `decode_raw`.
    """
    encoding = _BY_LOWER_CASE.get(encoding.lower(), encoding)
    if encoding not in _RAW_16_BIT:
        return None
    return _values(encoding, height, width, step, is_bigendian, data)


def _values(
    encoding: str, height: int, width: int, step: int, is_bigendian: bool | int, data: object
) -> NDArray[np.uint16]:
    rows_hb = _rows(encoding, height, width, step, 2 * _RAW_16_BIT[encoding][0], data)
    order = ">u2" if is_bigendian else "<u2"
    return np.ascontiguousarray(rows_hb).view(order).astype(np.uint16)


def _check_size(height: int, width: int) -> None:
    if height <= 0 or width <= 0 or height * width > _MAX_PIXELS:
        raise ValueError(f"the image's size is {width}x{height}")


def _rows(
    encoding: str, height: int, width: int, step: int, pixel_bytes: int, data: object
) -> NDArray[np.uint8]:
    """The rows (height, width * pixel_bytes) of bytes without their padding."""
    bytes_n = np.frombuffer(data, dtype=np.uint8)  # type: ignore[call-overload]
    _check_size(height, width)
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
    format_name: str,
    data: bytes | bytearray | memoryview | NDArray[np.uint8],
    values: ValueRange = FULL_RANGE,
) -> NDArray[np.uint8]:
    """The picture of a sensor_msgs/CompressedImage (JPEG, PNG, ...) as RGB uint8 (h, w, 3).

    format_name: the message's `format`, such as "jpeg" or "rgb8; jpeg compressed bgr8". The
        bytes themselves say what they are; the name tells depth images apart, and mosaics of a
        colour sensor, which image_transport compresses as they are.
    data: the file's bytes.
    values: of 16-bit pictures, as in `decode_raw`.
    Raises ValueError with a sentence, where that is no picture, or a part of one.
    """
    stored = _picture(format_name, data)
    of_16_bits = stored.dtype == np.uint16
    picture = values.to_8_bits(stored) if of_16_bits else np.asarray(stored, dtype=np.uint8)
    if picture.ndim == 2:
        mosaic = _MOSAIC.match(format_name)
        encoding = f"bayer_{mosaic[1]}8" if mosaic else "mono8"
        return _to_rgb(picture, encoding, *picture.shape[:2])
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def compressed_16_bit_values(
    format_name: str, data: bytes | bytearray | memoryview | NDArray[np.uint8]
) -> NDArray[np.uint16] | None:
    """The values (h, w) or (h, w, 3) of a picture of 16 bits; None of one that has 8.

    Arguments and errors are those of `decode_compressed`.
    """
    picture = _picture(format_name, data)
    return picture if picture.dtype == np.uint16 else None


def _picture(format_name: str, data: object) -> NDArray[Any]:
    """As it was compressed: grey (h, w), or BGR (h, w, 3), of 8 or 16 bits."""
    if "compressedDepth" in format_name:
        raise ValueError(f"the format '{format_name}' is a depth image, not a picture")
    bytes_n = np.frombuffer(data, dtype=np.uint8)  # type: ignore[call-overload]
    # without IGNORE_ORIENTATION the picture would be turned by its EXIF tag, away from its
    # camera_info; without ANYDEPTH 12 bits of a PNG's 16 would come out black
    picture: Any
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        if is_jpeg(bytes_n):
            picture = decoded_jpeg(bytes_n, flags)
        else:
            picture = cv2.imdecode(bytes_n, flags) if len(bytes_n) else None
    except cv2.error as error:
        raise ValueError(f"the '{format_name}' image cannot be decoded ({error.err})") from None
    except ValueError as error:
        raise ValueError(f"the '{format_name}' image {error}") from None
    if picture is None:
        raise ValueError(f"the bytes of the '{format_name}' image are no picture")
    if picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"the '{format_name}' image has values of {picture.dtype}, not a picture's"
        )
    return np.asarray(picture)
