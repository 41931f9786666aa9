"""Every encoding gives back the colours that went in; garbage is a sentence, never a crash."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glace_ros.ros_messages.image_decoding import (
    compressed_16_bit_values,
    decode_compressed,
    decode_raw,
    raw_16_bit_values,
)
from glace_ros.ros_messages.value_range import ValueRange

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


def test_encodings_are_known_in_upper_case():
    np.testing.assert_array_equal(
        decode_raw("RGB8", 6, 8, 24, False, RGB.tobytes()),
        decode_raw("rgb8", 6, 8, 24, False, RGB.tobytes()),
    )


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_a_range_of_16_bits_becomes_8(encoding):
    """12 bits in the low end, black and white at its ends; what lies beyond does not wrap."""
    grey = np.array([[0, 16, 4080, 4095], [8, 2048, 5000, 65535]], "<u2")
    rgb = decode_raw(encoding, 2, 4, 8, False, grey.tobytes(), ValueRange(0, 4095))
    np.testing.assert_array_equal(rgb[..., 0], [[0, 1, 255, 255], [0, 128, 255, 255]])
    thermal = np.array([[28000, 29000, 29500, 30023]], ">u2")
    rgb = decode_raw(encoding, 1, 4, 8, True, thermal.tobytes(), ValueRange(29000, 30023))
    np.testing.assert_array_equal(rgb[..., 0], [[0, 0, 125, 255]])
    np.testing.assert_array_equal(
        raw_16_bit_values(encoding, 1, 4, 8, 1, thermal.tobytes()), thermal
    )
    assert raw_16_bit_values("mono8", 1, 4, 4, 0, bytes(4)) is None


def test_12_bits_of_a_bayer_mosaic():
    mosaic = np.full((8, 8), 800, "<u2")
    rgb = decode_raw("bayer_rggb16", 8, 8, 16, 0, mosaic.tobytes(), ValueRange(0, 4095))
    np.testing.assert_array_equal(rgb, 50)


def planes_of(rgb_hw3: np.ndarray, encoding: str, padding: int) -> tuple[int, bytes]:
    """Step and data of an image whose 2x2 blocks have one colour each; BT.601, video range."""
    red, green, blue = np.moveaxis(rgb_hw3.astype(float), 2, 0)
    y = 16 + 0.256788 * red + 0.504129 * green + 0.097906 * blue
    u = 128 - 0.148223 * red - 0.290993 * green + 0.439216 * blue
    v = 128 + 0.439216 * red - 0.367788 * green - 0.071427 * blue
    y, u, v = (np.rint(plane).astype(np.uint8) for plane in (y, u, v))
    if encoding in ("nv16", "nv61"):
        u, v = u[:, ::2], v[:, ::2]
    elif not encoding.endswith(("24", "42")):
        u, v = u[::2, ::2], v[::2, ::2]
    if encoding.startswith("nv"):
        first, second = (u, v) if encoding in ("nv12", "nv16", "nv24") else (v, u)
        colours = [np.stack([first, second], axis=-1).reshape(len(u), -1)]
    else:
        colours = [v, u] if encoding == "yv12" else [u, v]
    data = padded(y, padding)[1]
    for plane in colours:
        of_row = padding * plane.shape[1] // y.shape[1]
        data += padded(plane, of_row)[1]
    return y.shape[1] + padding, data


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize(
    "encoding",
    ["nv12", "nv21", "nv16", "nv61", "nv24", "nv42", "i420", "yuv420", "yv12", "NV12"],
)
def test_yuv_in_planes(encoding, padding):
    """Colours and places come back: each block of 2x2 has a colour of its own."""
    blocks = np.random.default_rng(4).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    rgb_hw3 = blocks.repeat(2, axis=0).repeat(2, axis=1)
    step, data = planes_of(rgb_hw3, encoding.lower(), padding)
    for form in (data, data[: len(data) - padding // 2]):
        rgb = decode_raw(encoding, 6, 8, step, False, form)
        np.testing.assert_allclose(rgb.astype(int), rgb_hw3, atol=6)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("Y8", "mono8"), ("grey", "mono8"), ("mono10", "mono16"), ("mono12", "mono16"),
        ("Y16", "mono16"), ("bayer_gbrg12", "bayer_gbrg16"), ("BGR", "bgr8"), ("rgba", "rgba8"),
    ],
)  # fmt: skip
def test_encodings_as_drivers_call_them(name, encoding):
    step = 8 * {"mono8": 1, "bgr8": 3, "rgba8": 4}.get(encoding, 2)
    data = RNG.integers(0, 256, 6 * step, dtype=np.uint8).tobytes()
    values = ValueRange(0, 4095) if encoding.endswith("16") else ValueRange(0, 65535)
    read, expected = (decode_raw(n, 6, 8, step, 0, data, values) for n in (name, encoding))
    np.testing.assert_array_equal(read, expected)
    assert (raw_16_bit_values(name, 6, 8, step, 0, data) is None) == encoding.endswith("8")


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_compressed_mosaic_is_demosaiced(pattern):
    """image_transport compresses a colour sensor's mosaic as a grey picture."""
    colour = {"r": 200, "g": 120, "b": 40}
    mosaic = np.empty((32, 32), np.uint8)
    for i, letter in enumerate(pattern):
        mosaic[i // 2 :: 2, i % 2 :: 2] = colour[letter]
    for name, mosaic_hw in (("png", mosaic), ("png", mosaic.astype(np.uint16) * 256)):
        data = cv2.imencode(f".{name}", mosaic_hw)[1]
        bits = 8 * mosaic_hw.itemsize
        rgb = decode_compressed(f"bayer_{pattern}{bits}; {name} compressed ", data.ravel())
        np.testing.assert_array_equal(rgb, np.broadcast_to([200, 120, 40], (32, 32, 3)))
    picture = np.full((32, 32, 3), colour["r"], np.uint8)  # a driver that demosaiced it before
    data = cv2.imencode(".png", picture)[1]
    rgb = decode_compressed(f"bayer_{pattern}8; png compressed bgr8", data.ravel())
    np.testing.assert_array_equal(rgb, picture)


def jpeg_of(rgb_hwc: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", rgb_hwc[..., ::-1])[1].tobytes()


def test_a_jpeg_without_its_end_mark_is_a_picture():
    whole = jpeg_of(np.full((48, 64, 3), 90, np.uint8))
    assert whole.endswith(b"\xff\xd9")
    expected = decode_compressed("jpeg", whole)
    for end in (b"", bytes(100)):
        np.testing.assert_array_equal(decode_compressed("jpeg", whole[:-2] + end), expected)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9", bytes(100)])
@pytest.mark.parametrize("part", [0.4, 0.7, 0.95])
def test_a_part_of_a_jpeg_is_none(end, part):
    whole = jpeg_of(RNG.integers(0, 256, (480, 64, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="cut off"):
        decode_compressed("jpeg", whole[: int(part * len(whole))] + end)


@pytest.mark.parametrize("side_px", [1500, 16000])
def test_a_jpeg_that_claims_more_pixels_than_it_has_bytes_for_is_none(side_px):
    """One whose header is damaged: the larger one took 2.2 GB and 7 s."""
    small = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    jpeg = bytearray(cv2.imencode(".jpg", small)[1].tobytes())
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = 2 * side_px.to_bytes(2, "big")
    with pytest.raises(ValueError, match=f"{side_px**2} pixels, in {len(jpeg)} bytes"):
        decode_compressed("jpeg", bytes(jpeg))


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_large_jpeg_of_one_colour_is_a_picture(progressive):
    plain = np.full((1500, 1500, 3), (30, 60, 90), np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    jpeg = cv2.imencode(".jpg", plain, [*options, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1]
    assert decode_compressed("jpeg", jpeg).shape == (1500, 1500, 3)


def test_a_jpeg_that_is_as_grey_as_what_is_missing_is_a_picture():
    for shape in ((48, 64, 3), (640, 64, 3)):
        grey = np.full(shape, 128, np.uint8)
        np.testing.assert_array_equal(decode_compressed("jpeg", jpeg_of(grey)), grey)


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


@pytest.mark.parametrize("name", ["png", "jpg", "webp", "avif"])
def test_compressed(name):
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    if not cv2.haveImageWriter(f".{name}"):
        pytest.skip(f"this OpenCV has no {name}")
    ok, data = cv2.imencode(f".{name}", smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert ok
    for form in (data.tobytes(), data.ravel()):
        rgb = decode_compressed(f"bgr8; {name} compressed bgr8", form)
        np.testing.assert_allclose(rgb.astype(int), smooth, atol=0 if name == "png" else 40)
        assert abs(rgb.astype(int) - smooth).mean() < 7  # red is not blue


def test_compressed_16_bit_grey_png():
    grey = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
    _, data = cv2.imencode(".png", grey)
    rgb = decode_compressed("mono16; png compressed", data.ravel())
    np.testing.assert_array_equal(rgb[..., 2], (grey // 256).astype(np.uint8))
    np.testing.assert_array_equal(compressed_16_bit_values("mono16; png", data.ravel()), grey)
    rgb = decode_compressed("mono16; png", data.ravel(), ValueRange(0, 4095))
    np.testing.assert_array_equal(rgb[..., 2], np.minimum(grey // 16, 255))
    _, data = cv2.imencode(".png", (grey // 256).astype(np.uint8))
    assert compressed_16_bit_values("mono8; png", data.ravel()) is None


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
             "yuv422_yuy2", "8UC3", "16UC1", "nv12", "nv24", "yv12", ""]  # fmt: skip


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
