"""Each packet of a video gives its own picture, or a reason why not; never a wrong one."""

import sys

import numpy as np
import pytest

pytest.importorskip("av")

from support.video import encoded, moving_pictures

from glace_ros.ros_messages.video import H264, H265, NoPicture, VideoStream, video_codec

STEP_NS = 33_000_000
PICTURES = moving_pictures(24)


def push_all(stream, packets, numbers=None):
    """The number of each packet, by its place."""
    at = range(len(packets)) if numbers is None else numbers
    return {i: stream.push(packets[i], 10**9 + i * STEP_NS) for i in at}


def assert_shows(picture, index):
    """It is nearer to its own than to any neighbour."""
    differences = [np.abs(picture.astype(int) - other).mean() for other in PICTURES]
    assert int(np.argmin(differences)) == index
    assert differences[index] < 6


@pytest.mark.parametrize("codec", [H264, H265])
def test_each_packet_gives_its_picture(codec):
    stream, packets = VideoStream(codec), encoded(PICTURES, codec)
    for i, packet in enumerate(packets):
        number = stream.push(packet, 10**9 + i * STEP_NS)
        assert_shows(stream.picture(number), i)
        assert_shows(stream.picture(number), i)  # asked for again
    assert stream.gaps == 0


@pytest.mark.parametrize("codec", [H264, H265])
def test_pictures_that_nobody_asks_for_change_nothing(codec, monkeypatch):
    """Of groups of pictures without one that is wanted, nothing is decoded."""
    stream, packets = VideoStream(codec), encoded(PICTURES, codec, gop=8)
    decoded = []
    real = VideoStream._decode
    monkeypatch.setattr(
        VideoStream,
        "_decode",
        lambda self, packet, **k: decoded.append(packet.number) or real(self, packet, **k),
    )
    numbers = push_all(stream, packets)
    assert_shows(stream.picture(numbers[5]), 5)
    assert_shows(stream.picture(numbers[18]), 18)
    assert_shows(stream.picture(numbers[19]), 19)
    assert decoded == [numbers[i] for i in [*range(6), 16, 17, 18, 19]]


@pytest.mark.parametrize("codec", [H264, H265])
def test_who_joins_in_the_middle_waits_for_a_key_frame(codec):
    stream, packets = VideoStream(codec), encoded(PICTURES, codec)
    for i in range(3, 24):
        number = stream.push(packets[i], 10**9 + i * STEP_NS)
        if i < 8:
            with pytest.raises(NoPicture, match="before its first key frame") as caught:
                stream.picture(number)
            assert caught.value.reason == "before the video's first key frame"
        else:
            assert_shows(stream.picture(number), i)


@pytest.mark.parametrize("counted", [True, False])
def test_behind_a_lost_packet_there_is_no_picture_until_the_next_key_frame(counted):
    """By the stamps, or by the sender's count: a decoder would give wrong ones without a word."""
    stream, packets = VideoStream(H264), encoded(PICTURES)
    for i in range(24):
        if i == 11:
            continue
        stamp_ns = 10**9 + (i * STEP_NS if not counted else 0)
        number = stream.push(packets[i], stamp_ns + i, i if counted else None)
        if 11 < i < 16:
            with pytest.raises(NoPicture, match="missing"):
                stream.picture(number)
        else:
            assert_shows(stream.picture(number), i)
    assert stream.gaps == 1


def test_a_lost_packet_among_those_that_nobody_asked_for_counts_as_well():
    stream, packets = VideoStream(H264), encoded(PICTURES)
    numbers = push_all(stream, packets, [i for i in range(24) if i != 11])
    with pytest.raises(NoPicture, match="missing"):
        stream.picture(numbers[14])
    assert_shows(stream.picture(numbers[17]), 17)


def test_parameter_sets_may_have_come_once_at_the_start():
    packets = encoded(PICTURES)
    first, second = packets[0], packets[8]
    idr = second.rfind(b"\0\0\1\x65")
    bare = b"\0" + second[idr:]
    stream = VideoStream(H264)
    stream.push(first, 10**9)
    for i in range(1, 8):
        stream.push(packets[i], 10**9 + i * STEP_NS)
    number = stream.push(bare, 10**9 + 8 * STEP_NS)
    assert_shows(stream.picture(number), 8)


@pytest.mark.parametrize(
    ("packet", "words"),
    [(b"", "first key frame"), (b"\0\0\0\5\x65abcd", "no start codes"), (b"\0\0\1", "key frame")],
)
def test_what_is_no_packet_is_a_sentence(packet, words):
    stream = VideoStream(H264)
    number = stream.push(packet, 10**9)
    with pytest.raises(NoPicture, match=words):
        stream.picture(number)
    packets = encoded(PICTURES)  # and the decoder is not ended by it
    for i in range(3):
        number = stream.push(packets[i], 2 * 10**9 + i * STEP_NS)
        assert_shows(stream.picture(number), i)


def test_a_damaged_packet_costs_the_pictures_up_to_the_next_key_frame():
    stream, packets = VideoStream(H264), encoded(PICTURES)
    packets[0] = packets[0][:200].replace(b"\x67", b"\x67\xff\xff", 1)
    numbers = push_all(stream, packets)
    with pytest.raises(NoPicture):
        stream.picture(numbers[3])
    assert_shows(stream.picture(numbers[9]), 9)


def test_reordered_pictures_are_named():
    stream, packets = VideoStream(H264), encoded(PICTURES, b_frames=2, gop=24)
    reasons = set()
    for i, packet in enumerate(packets):
        number = stream.push(packet, 10**9 + i * STEP_NS)
        try:
            stream.picture(number)
        except NoPicture as error:
            reasons.add(error.reason)
    assert "reordered video" in reasons


def test_memory_does_not_grow_without_key_frames():
    stream, packets = VideoStream(H264), encoded(moving_pictures(40), gop=1000)
    for i in range(1000):
        stream.push(packets[min(i, 39)], 10**9 + i * STEP_NS)
        assert len(stream._pending) <= 300
    for i in range(20):
        stream.push(b"\0\0\0\1\x41" + bytes(10_000_000), 10**12 + i * STEP_NS)
        assert sum(len(packet.data) for packet in stream._pending) <= 64_000_000


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("h264", H264), ("libx264", H264), ("h264_nvenc", H264), ("avc", H264), ("H265", H265),
        ("hevc_vaapi", H265), ("libx265", H265), ("h264;yuv420p;bgr8;bgr8", H264),
        ("jpeg", None), ("rgb8; jpeg compressed bgr8", None), ("av1", None), ("", None),
    ],
)  # fmt: skip
def test_codecs_by_their_names(name, codec):
    assert video_codec(name) == codec


def test_without_pyav_its_name_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"pip install .*av"):
        VideoStream(H264)


@pytest.mark.parametrize("codec", [H264, H265])
@pytest.mark.parametrize("counted", [True, False])
def test_a_camera_that_pauses_loses_nothing_and_a_loss_is_found_whatever_stamps_say(codec, counted):
    """Pictures are numbered in the stream: stamps may be anything, and counts those of a clock."""
    packets = encoded(PICTURES, codec, gop=12)
    steps_ns = np.random.default_rng(2).choice([10, 30, 100, 250], len(packets)) * 10**6
    stamps_ns = 10**9 + np.cumsum(steps_ns)
    for lost in (None, 18):
        stream = VideoStream(codec)
        for i, packet in enumerate(packets):
            if i == lost:
                continue
            stamp_ns = int(stamps_ns[i])
            number = stream.push(packet, stamp_ns, stamp_ns // 10**6 if counted else None)
            if lost is not None and i > lost:
                with pytest.raises(NoPicture, match="missing"):
                    stream.picture(number)
            else:
                assert_shows(stream.picture(number), i)
        assert stream.gaps == (lost is not None)


def test_numbers_that_begin_again_do_not_hide_a_long_loss():
    """H.264 numbers pictures up to 16 here; as many are lost."""
    pictures = moving_pictures(60)
    packets = encoded(pictures, gop=60)
    period = VideoStream(H264)
    period.push(packets[0], 0)
    period.push(packets[1], 1)
    lost = range(20, 20 + period._numbers.period)
    assert len(lost) < 35
    stream = VideoStream(H264)
    for i, packet in enumerate(packets):
        if i not in lost:
            number = stream.push(packet, 10**9 + i * STEP_NS)
    assert stream.gaps == 1
    with pytest.raises(NoPicture, match="missing"):
        stream.picture(number)


def test_parameter_sets_in_a_packet_of_their_own_are_no_gap():
    stream, packets = VideoStream(H264), encoded(PICTURES)
    for i, packet in enumerate(packets):
        if i % 8 == 0:
            idr = packet.rfind(b"\0\0\1\x65")
            stream.push(packet[:idr], 10**9 + i * STEP_NS)
            packet = packet[idr:]
        number = stream.push(packet, 10**9 + i * STEP_NS)
        assert_shows(stream.picture(number), i)
    assert stream.gaps == 0
