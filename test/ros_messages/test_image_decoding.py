"""Every encoding gives back the colours that went in; garbage is a sentence, never a crash."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glace_ros.ros_messages.image_decoding import decode_compressed, decode_raw

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
ALPHA = np.full((6, 8, 1), 7, np.uint8)


def padded(rows_hb: np.ndarray, padding: int) -> tuple[int, bytes]:
    """step and data of rows (height, bytes) with junk behind each."""
    junk = np.full((len(rows_hb), padding), 0xAB, np.uint8)
    return rows_hb.shape[1] + padding, np.hstack([rows_hb, junk]).tobytes()


def stored(encoding: str) -> np.ndarray:
    """RGB as the encoding stores it, (height, bytes a row)."""
    pixels = {
        "rgb8": RGB,
        "bgr8": RGB[..., ::-1],
        "rgba8": np.concatenate([RGB, ALPHA], axis=2),
        "bgra8": np.concatenate([RGB[..., ::-1], ALPHA], axis=2),
    }[encoding]
    return np.ascontiguousarray(pixels).reshape(len(pixels), -1)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colour(encoding, padding):
    step, data = padded(stored(encoding), padding)
    np.testing.assert_array_equal(decode_raw(encoding, 6, 8, step, False, data), RGB)
    last_row_short = np.frombuffer(data, np.uint8)[: len(data) - padding]
    np.testing.assert_array_equal(decode_raw(encoding, 6, 8, step, 0, last_row_short), RGB)


@pytest.mark.parametrize("padding", [0, 3])
def test_grey(padding):
    grey = RGB[..., 0]
    step, data = padded(grey, padding)
    rgb = decode_raw("mono8", 6, 8, step, False, data)
    np.testing.assert_array_equal(rgb, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("big", [False, True])
def test_16_bits_keep_the_high_byte(big):
    grey = RNG.integers(0, 65536, (6, 8)).astype(">u2" if big else "<u2")
    step, data = padded(grey.view(np.uint8), 6)
    rgb = decode_raw("mono16", 6, 8, step, big, data)
    np.testing.assert_array_equal(rgb[..., 1], (grey.astype(int) // 256).astype(np.uint8))
    colour = (RGB.astype(np.uint16) * 256 + 13).astype(">u2" if big else "<u2")
    data = colour[..., ::-1].tobytes()
    np.testing.assert_array_equal(decode_raw("bgr16", 6, 8, 48, big, data), RGB)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_start_at_the_upper_left(pattern, bits):
    """A scene of one colour, seen through the pattern, has that colour again."""
    colour = {"r": 200, "g": 120, "b": 40}
    mosaic = np.empty((8, 10), np.uint8)
    for i, letter in enumerate(pattern):
        mosaic[i // 2 :: 2, i % 2 :: 2] = colour[letter]
    if bits == 16:
        mosaic = (mosaic.astype("<u2") * 256).view(np.uint8)
    step, data = padded(mosaic, 4)
    rgb = decode_raw(f"bayer_{pattern}{bits}", 8, 10, step, False, data)
    np.testing.assert_array_equal(rgb, np.broadcast_to([200, 120, 40], (8, 10, 3)))


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_yuv422(encoding, order):
    """Red, by BT.601 in video range: Y 81, U 90, V 240."""
    value = {"y": 81, "u": 90, "v": 240}
    row = np.array([value[c] for c in order] * 4, np.uint8)
    step, data = padded(np.tile(row, (6, 1)), 4)
    rgb = decode_raw(encoding, 6, 8, step, False, data)
    np.testing.assert_allclose(rgb, np.broadcast_to([255, 0, 0], (6, 8, 3)), atol=3)


@pytest.mark.parametrize("name", ["png", "jpg"])
def test_compressed(name):
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    ok, data = cv2.imencode(f".{name}", smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert ok
    for form in (data.tobytes(), data.ravel()):
        rgb = decode_compressed(f"bgr8; {name} compressed bgr8", form)
        np.testing.assert_allclose(rgb.astype(int), smooth, atol=0 if name == "png" else 40)
        assert abs(rgb.astype(int) - smooth).mean() < 4  # red is not blue


def test_compressed_16_bit_grey_png():
    grey = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
    _, data = cv2.imencode(".png", grey)
    rgb = decode_compressed("mono16; png compressed", data.ravel())
    np.testing.assert_array_equal(rgb[..., 2], (grey // 256).astype(np.uint8))


def test_a_rotation_tag_does_not_turn_the_picture():
    """The camera_info describes the sensor's rows, whatever a viewer would do."""
    _, data = cv2.imencode(".jpg", np.zeros((16, 32, 3), np.uint8))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    turned = data.tobytes()[:2] + segment + data.tobytes()[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (32, 16, 3)
    assert decode_compressed("jpeg", turned).shape == (16, 32, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rgb8", 6, 8, 24, False, bytes(6 * 24 - 1)), "143 bytes"),
        (("rgb8", 6, 8, 23, False, bytes(6 * 24)), "step of 23"),
        (("rgb8", 0, 8, 24, False, b""), "size is 8x0"),
        (("rgb8", 2**31, 2**31, 3 * 2**31, False, b""), "size is"),
        (("32FC1", 6, 8, 32, False, bytes(192)), "'32FC1' is not one of rgb8"),
        (("yuv422", 2, 3, 6, False, bytes(12)), "3x2 cannot be yuv422"),
        (("bayer_rggb8", 2, 2, 2, False, bytes(4)), "2x2 cannot be bayer_rggb8"),
    ],
)
def test_bad_raw_images_say_why(arguments, words):
    with pytest.raises(ValueError, match=words):
        decode_raw(*arguments)


@pytest.mark.parametrize(
    ("name", "data"),
    [("jpeg", b""), ("jpeg", b"hello"), ("16UC1; compressedDepth png", bytes(100))],
)
def test_bad_compressed_images_say_why(name, data):
    with pytest.raises(ValueError, match=name):
        decode_compressed(name, data)


ENCODINGS = ["rgb8", "bgra8", "mono8", "mono16", "bayer_gbrg8", "bayer_rggb16", "yuv422",
             "yuv422_yuy2", "8UC3", "16UC1", ""]  # fmt: skip


@settings(max_examples=300)
@given(
    st.sampled_from(ENCODINGS),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(0, 80),
    st.booleans(),
    st.binary(max_size=700),
)
def test_any_raw_message_is_an_image_of_its_size_or_a_sentence(
    encoding, height, width, step, big, data
):
    try:
        rgb = decode_raw(encoding, height, width, step, big, data)
    except ValueError:
        return
    assert rgb.shape == (height, width, 3)
    assert rgb.dtype == np.uint8
    assert height * width <= len(data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=50), st.integers(0, 2000))
def test_damaged_pictures_are_a_picture_or_a_sentence(at, garbage, length):
    _, data = cv2.imencode(".jpg", cv2.resize(RGB, (64, 48)))
    damaged = bytearray(data.tobytes())
    damaged[at : at + len(garbage)] = garbage
    try:
        rgb = decode_compressed("jpeg", bytes(damaged[: max(1, length)]))
    except ValueError:
        return
    assert rgb.ndim == 3
