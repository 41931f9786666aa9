"""Small bags whose camera is a video, damaged in ways that a seed tells: bytes of packets, packets
that are cut, lost, doubled or out of order, stamps, counts and formats, bytes of the file.

`mutated_bags` reads them, with `--videos`.
"""

from __future__ import annotations

import copy
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from support.bag_writing import bag_writer
from support.mutated_bags import damage_bytes, damaged_bytes, data_file, read_all
from support.video_bags import TOPICS, register_videos, video_drive

from glace_ros.ros_messages.reading import COMPRESSED_IMAGE, FFMPEG_PACKET, FOXGLOVE_VIDEO

_KINDS = {  # message type, codec, storage
    "ffmpeg": (FFMPEG_PACKET, "h264", "mcap"),
    "ffmpeg_h265": (FFMPEG_PACKET, "hevc", "sqlite3"),
    "foxglove": (FOXGLOVE_VIDEO, "h264", "sqlite3"),
    "foxglove_h265": (FOXGLOVE_VIDEO, "hevc", "mcap"),
    "compressed": (COMPRESSED_IMAGE, "h264", "mcap"),
}
_FORMATS = ["h264", "h265", "hevc", "libx264;yuv420p", "avc", "vp9", "av1", "jpeg", "png", "", ";"]
_FAR_NS = [0, 1, -(10**9), 10**9, 3600 * 10**9, -3600 * 10**9, 2**31 * 10**9]
_COUNTS = [0, 1, 2, 999, 1000, 2**31, 2**62]
_DAMAGES = ["bytes", "head", "cut", "empty", "lost", "doubled", "order", "joined", "stamps",
            "counts", "formats", "noise", "file"]  # fmt: skip


def whole_bags(folder: Path) -> dict[str, Path]:
    """One of each kind: three groups of eight pictures."""
    return {
        name: video_drive(folder / name, kind, codec, storage=storage)
        for name, (kind, codec, storage) in _KINDS.items()
    }


def mutated(seed: int, bags: dict[str, Path], folder: Path) -> tuple[str, Path]:
    """(kind, a damaged copy in the folder), the same for a seed."""
    rng = np.random.default_rng(seed)
    kind, damage = str(rng.choice(list(bags))), str(rng.choice(_DAMAGES))
    target = folder / f"{seed}_{bags[kind].name}"
    if damage == "file":
        shutil.copytree(bags[kind], target)
        damage_bytes(rng, data_file(target))
        return f"{kind} file", target
    msgtype, _, storage = _KINDS[kind]
    with bag_writer(target, storage) as bag:
        register_videos(bag)
        others, packets = _messages(bags[kind], TOPICS[msgtype])
        damaged = _damaged(rng, copy.deepcopy(packets), damage)
        for topic, message, received_ns in sorted(others + damaged, key=lambda each: each[2]):
            bag.write(topic, message, received_ns)
    return f"{kind} {damage}", target


@cache
def _messages(path: Path, topic: str) -> tuple[list[Any], list[Any]]:
    """(topic, message, received_ns) of the rest and of the video."""
    found = [(each.topic, message, received_ns) for each, received_ns, message in read_all(path)]
    return [m for m in found if m[0] != topic], [m for m in found if m[0] == topic]


def _damaged(rng: np.random.Generator, packets: list[Any], damage: str) -> list[Any]:
    share = float(rng.choice([0.05, 0.3, 1.0]))
    some = [n for n in range(len(packets)) if rng.random() < share] or [0]
    messages = [message for _, message, _ in packets]
    if damage == "lost":
        return [packet for n, packet in enumerate(packets) if n not in some[:20]]
    if damage == "doubled":
        return packets + [packets[n] for n in some]
    if damage == "order":
        order = rng.permutation(some)
        for n, other in zip(some, order, strict=True):
            topic, _, received_ns = packets[n]
            packets[n] = (topic, messages[other], received_ns)
        return packets
    for n in some:
        _damage(rng, messages[n], damage, messages[int(rng.integers(0, len(messages)))])
    return packets


def _damage(rng: np.random.Generator, message: Any, damage: str, other: Any) -> None:
    data = message.data.tobytes()
    at = int(rng.integers(0, len(data)))
    if damage == "bytes":
        data = damaged_bytes(rng, data)
    elif damage == "head":  # of parameter sets and slices
        data = damaged_bytes(rng, data[:48]) + data[48:]
    elif damage == "cut":
        data = data[:at] if rng.random() < 0.5 else data[at:]
    elif damage == "empty":
        data = bytes(rng.choice([b"", b"\0", b"\0\0\1", b"\0\0\0\1", b"\0\0\1\x65"]))
    elif damage == "joined":
        data += other.data.tobytes()
    elif damage == "noise":
        data = data[:4] + rng.bytes(int(rng.choice([1, 100, 20_000])))
    message.data = np.frombuffer(data, np.uint8)
    if damage == "stamps":
        stamp = message.header.stamp if hasattr(message, "header") else message.timestamp
        seconds = stamp.sec + int(rng.choice(_FAR_NS)) // 10**9
        stamp.sec, stamp.nanosec = (
            int(np.clip(seconds, -(2**31), 2**31 - 1)),
            int(rng.choice([0, 5])),
        )
    elif damage == "counts" and hasattr(message, "pts"):
        message.pts, message.flags = int(rng.choice(_COUNTS)), int(rng.integers(0, 256))
        message.width = message.height = int(rng.choice([0, -1, 2**31 - 1]))
    elif damage == "formats":
        name = "encoding" if hasattr(message, "encoding") else "format"
        setattr(message, name, str(rng.choice(_FORMATS)))
