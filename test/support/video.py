"""Encodes pictures as a robot's encoder does; for tests that have PyAV."""

from fractions import Fraction

import cv2
import numpy as np


def moving_pictures(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """Pictures that differ from each other, and not by little."""
    rng = np.random.default_rng(6)
    wide = cv2.resize(
        rng.integers(0, 256, (height // 16, 60, 3), dtype=np.uint8), (60 * 16, height)
    )
    return [np.ascontiguousarray(wide[:, 8 * i : 8 * i + width]) for i in range(count)]


def encoded(pictures, codec: str = "h264", gop: int = 8, b_frames: int = 0) -> list[bytes]:
    """A packet for each picture; a key frame, with its parameter sets, every `gop` of them."""
    import av

    encoder = av.CodecContext.create("libx264" if codec == "h264" else "libx265", "w")
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 30)
    encoder.framerate, encoder.gop_size = Fraction(30, 1), gop
    encoder.max_b_frames = b_frames
    if codec == "h264":
        encoder.options = {"crf": "18", "sc_threshold": "0"}
    else:
        encoder.options = {"x265-params": f"log-level=none:scenecut=0:bframes={b_frames}:crf=18"}
    if not b_frames:
        encoder.options = {**encoder.options, "tune": "zerolatency"}
    packets = []
    for number, picture in enumerate([*pictures, None]):
        frame = None if picture is None else av.VideoFrame.from_ndarray(picture, format="rgb24")
        if frame is not None:
            frame.pts = number
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    assert len(packets) == len(pictures)
    return packets
