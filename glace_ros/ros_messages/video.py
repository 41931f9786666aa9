"""H.264 and H.265 packets of a topic -> pictures (PyAV, BSD-3, which is an extra).

A picture needs all packets since the last key frame, so packets are kept until a picture is asked
for; what lies before the last key frame is never decoded. A decoder says nothing of a packet that
was lost, and gives wrong pictures until the next key frame: gaps are found by the numbers of the
pictures, else by the sender's count, else by the stamps.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glace_ros.ros_messages.picture_numbers import H264, H265, HEAD_BYTES, PictureNumbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_PYAV = (
    "video is decoded by the Python package 'av' (PyAV), which is not installed: "
    "pip install 'glace_ros[video]', or pip install av"
)
_MOST_PENDING = 300
"""Packets that wait undecoded: ten seconds of video without a key frame."""
_MOST_PENDING_BYTES = 64_000_000
"""The same in bytes."""
_GAP = 1.7
"""Times the usual distance between packets, from which on one is missing."""
_TICKS = 1000
"""Of a count: a sender that began anew, or counts ticks of a clock."""
_USUAL_OF, _FEWEST = 30, 3
"""Packets that say what is usual, and so many at least."""
_KEY_NALS = {H264: frozenset({5}), H265: frozenset(range(16, 22))}
_PARAMETER_NALS = {H264: frozenset({7, 8}), H265: frozenset({32, 33, 34})}
_PICTURE_NALS = {H264: frozenset(range(1, 6)), H265: frozenset(range(32))}


def video_codec(name: str) -> str | None:
    """H264 or H265, by a message's `format` or `encoding`; None of other things.

    name: such as "h264", "hevc", "libx264", "h264_nvenc" or "h264;yuv420p;bgr8;bgr8".
    """
    name = name.split(";")[0].strip().lower()
    if "264" in name or name == "avc":
        return H264
    return H265 if "265" in name or "hevc" in name else None


def require_pyav() -> None:
    """Raises ValueError, with a sentence, where PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise ValueError(NO_PYAV) from None


class NoPicture(ValueError):
    """A packet has no picture, or one that would be wrong.

    reason: in a few words to count by.
    """

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class _Packet(NamedTuple):
    number: int
    data: bytes
    is_key: bool
    after_gap: bool
    """Packets before it are missing."""


class VideoStream:
    """The packets of one topic, in order. `push` and `picture` may be called from two threads.

    codec: H264 or H265.
    gaps: how often packets were missing.
    Raises ValueError, with a sentence, where PyAV is not installed.
    """

    def __init__(self, codec: str) -> None:
        require_pyav()
        self.codec, self.gaps = codec, 0
        self._pending: deque[_Packet] = deque()
        self._pending_bytes = 0
        self._parameters: dict[int, bytes] = {}  # by kind: SPS, PPS, VPS
        self._steps_ns: deque[int] = deque(maxlen=_USUAL_OF)
        self._counted: deque[int] = deque(maxlen=_USUAL_OF)
        self._last: tuple[int, int | None] | None = None  # stamp and count of the last packet
        self._numbers = PictureNumbers(codec)
        self._number = 0
        self._done_to = 0  # number of the packet that was decoded last
        self._decoder: Any = None
        self._why_not = NoPicture(
            "the video begins within a group of pictures: there is none before its first key frame",
            "before the video's first key frame",
        )
        self._is_whole = False  # of what was decoded since the last key frame nothing is missing
        self._decoded: tuple[int, NDArray[np.uint8]] | None = None
        self._lock = Lock()

    def push(self, data: bytes, stamp_ns: int, count: int | None = None) -> int:
        """Takes the next packet, and gives its number, for `picture`.

        data: as an Annex B stream has it (start codes).
        stamp_ns: of its picture.
        count: of packets, as the sender counts them; None: it does not.
        """
        with self._lock:
            self._number += 1
            if data and not data.startswith((b"\0\0\1", b"\0\0\0\1")):
                self._why_not = NoPicture(
                    "the video's packets have no start codes (AVCC, or no video at all): encode to "
                    "Annex B",
                    "video without start codes",
                )
            units = _nal_units(data, self.codec)
            after_gap = self._misses_one(stamp_ns, count, self._numbers.misses_one(units))
            self.gaps += after_gap
            kinds = dict(units)
            is_key = bool(kinds.keys() & _KEY_NALS[self.codec])
            self._parameters |= {
                kind: b"\0\0\0\1" + unit
                for kind, unit in units
                if kind in _PARAMETER_NALS[self.codec]
            }
            if is_key:
                missing = self._parameters.keys() - kinds.keys()
                data = b"".join(self._parameters[kind] for kind in sorted(missing)) + data
            self._pending.append(_Packet(self._number, data, is_key, after_gap))
            self._pending_bytes += len(data)
            if len(self._pending) > _MOST_PENDING or self._pending_bytes > _MOST_PENDING_BYTES:
                self._decode_to(self._pending[-1].number)
            return self._number

    def picture(self, number: int) -> NDArray[np.uint8]:
        """RGB (height, width, 3) of a packet; one older than the last one asked for has none.

        Raises NoPicture, with a sentence, where it has none.
        """
        with self._lock:
            if self._decoded is None or self._decoded[0] != number:
                if not self._pending or self._pending[0].number > number:
                    raise self._passed_by(number)
                self._decode_to(number)
            if self._decoded is None or self._decoded[0] != number:
                raise self._why_not
            return self._decoded[1]

    def _passed_by(self, number: int) -> NoPicture:
        """Why a packet has no picture that waits no more."""
        if number == self._done_to:
            return self._why_not
        return NoPicture(
            "the picture is older than one that was decoded already", "older than one looked at"
        )

    def _misses_one(self, stamp_ns: int, count: int | None, numbered: bool | None) -> bool:
        """Whether packets are missing between the last one and this one.

        numbered: what the pictures' numbers say, which begin again soon; None: nothing.
        """
        last, self._last = self._last, (stamp_ns, count)
        if last is None:
            return False
        step_ns = stamp_ns - last[0]
        usual_ns = median(self._steps_ns) if len(self._steps_ns) >= _FEWEST else None
        self._steps_ns.append(step_ns)
        counted = 0 if count is None or last[1] is None else count - last[1]
        are_packets = len(self._counted) >= _FEWEST and median(self._counted) == 1
        self._counted.append(counted)
        if numbered is not None:
            again = usual_ns is not None and step_ns > (self._numbers.period - 1) * usual_ns > 0
            return numbered or again
        if are_packets and 0 < counted < _TICKS:
            return counted > 1
        return usual_ns is not None and (step_ns > _GAP * usual_ns or step_ns <= 0)

    def _decode_to(self, number: int) -> None:
        keys = [packet.number for packet in self._pending if packet.is_key]
        first = max((key for key in keys if key <= number), default=0)
        self._decoded, self._done_to = None, number
        while self._pending and self._pending[0].number <= number:
            packet = self._pending.popleft()
            self._pending_bytes -= len(packet.data)
            if packet.number >= first:
                self._decode(packet, is_wanted=packet.number == number)

    def _decode(self, packet: _Packet, *, is_wanted: bool) -> None:
        if packet.is_key:
            self._begin()
        elif packet.after_gap and self._is_whole:
            self._is_whole = False
            self._why_not = NoPicture(
                "packets of the video are missing: it has no picture until the next key frame",
                "behind missing packets of the video",
            )
        if not self._is_whole or not _has_picture(packet.data, self.codec):
            return
        import av

        try:
            frames = self._decoder.decode(av.Packet(packet.data))
        except av.FFmpegError as error:
            self._is_whole = False
            self._why_not = NoPicture(
                f"the video cannot be decoded ({error.strerror})", "damaged video"
            )
            return
        if not frames:
            self._why_not = NoPicture(
                "the video gives a packet's picture later (B-frames): encode without them, as with "
                "the tuning zerolatency",
                "reordered video",
            )
        elif is_wanted:
            rgb_hwc = np.asarray(frames[-1].to_ndarray(format="rgb24"), dtype=np.uint8)
            self._decoded = packet.number, rgb_hwc

    def _begin(self) -> None:
        """A decoder that knows nothing from before."""
        import av

        self._decoder = av.CodecContext.create(self.codec, "r")
        self._decoder.thread_type = "SLICE"  # by frames, pictures would come later
        self._is_whole = True


def _has_picture(data: bytes, codec: str) -> bool:
    """An empty packet would end the decoder."""
    return any(kind in _PICTURE_NALS[codec] for kind, _ in _nal_units(data, codec))


def _nal_units(data: bytes, codec: str) -> list[tuple[int, bytes]]:
    """Kind of each unit, and its bytes without a start code: of a picture's the first ones."""
    units = []
    at = data.find(b"\0\0\1")
    while 0 <= at < len(data) - 3:
        head = data[at + 3]
        kind = head & 31 if codec == H264 else head >> 1 & 63
        following = data.find(b"\0\0\1", at + 3)
        end = following if following >= 0 else len(data)
        if kind not in _PARAMETER_NALS[codec]:
            end = min(end, at + 3 + HEAD_BYTES)
        units.append((kind, data[at + 3 : end]))
        at = following
    return units
