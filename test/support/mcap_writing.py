"""Writes MCAP files record by record, as other writers than rosbag2's do: any channel and order."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"\x89MCAP0\r\n"


class Channel(NamedTuple):
    """A topic with its messages."""

    topic: str
    msgtype: str
    schema_encoding: str
    schema: str
    encoding: str
    messages: list[tuple[int, bytes]]
    """(received in ns, bytes)."""


def write_mcap(path: Path, channels: list[Channel], *, late=None, chunk_index=False) -> Path:
    """An mcap without chunks or summary, its messages in order of time.

    late: (channel, message): a message that comes at the end of the file.
    chunk_index: instead, one chunk, with a summary that has its index but none of its messages.
    """
    head, messages = b"", []
    for number, channel in enumerate(channels, 1):
        schema = b"".join(map(_text, (channel.msgtype, channel.schema_encoding, channel.schema)))
        head += _record(3, struct.pack("<H", number) + schema)
        names = _text(channel.topic) + _text(channel.encoding)
        head += _record(4, struct.pack("<HH", number, number) + names + struct.pack("<I", 0))
        for index, (stamp, raw) in enumerate(channel.messages):
            order = (late == (number - 1, index), stamp)
            record = _record(5, struct.pack("<HIQQ", number, index, stamp, stamp) + raw)
            messages.append((order, record))
    data = head + b"".join(record for _, record in sorted(messages))
    out = _MAGIC + _record(1, _text("ros2") + _text("test"))
    end = _record(15, struct.pack("<I", 0))
    if not chunk_index:
        out += data + end
        path.write_bytes(out + _record(2, struct.pack("<QQI", 0, 0, 0)) + _MAGIC)
        return path
    stamps = [stamp for channel in channels for stamp, _ in channel.messages]
    span = struct.pack("<QQ", min(stamps), max(stamps))
    chunk = span + struct.pack("<QI", len(data), zlib.crc32(data)) + _text("")
    chunk = _record(6, chunk + struct.pack("<Q", len(data)) + data)
    index = span + struct.pack("<QQIQ", len(out), len(chunk), 0, 0) + _text("")
    out += chunk + end
    counts = b"".join(
        struct.pack("<HQ", number, len(channel.messages))
        for number, channel in enumerate(channels, 1)
    )
    statistics = struct.pack("<QHIIII", len(stamps), len(channels), len(channels), 0, 0, 1) + span
    summary = head + _record(11, statistics + struct.pack("<I", len(counts)) + counts)
    summary += _record(8, index + struct.pack("<QQ", len(data), len(data)))
    path.write_bytes(out + summary + _record(2, struct.pack("<QQI", len(out), 0, 0)) + _MAGIC)
    return path


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(body)) + body
