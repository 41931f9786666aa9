"""Whether pictures are missing before one of an H.264 or H.265 video, as their slice headers count
them: exact, where stamps of a camera that pauses look like a loss, and counts of senders differ.

H.264 numbers its reference pictures (ITU-T H.264, 7.4.3, frame_num), H.265 the order of all (ITU-T
H.265, 7.4.7.1, slice_pic_order_cnt_lsb). Nothing else of the headers is read.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import NamedTuple

H264, H265 = "h264", "hevc"
HEAD_BYTES = 64
"""Of a slice and of parameter sets: what is read lies in them, but for scaling lists."""
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_IDR_264, _PICTURES_264 = 5, frozenset({1, 5})
_IRAP_265, _IDR_265, _PICTURES_265 = frozenset(range(16, 24)), frozenset({19, 20}), range(32)
_STEPS = 30
"""Of H.265's order, the last ones say which is usual: encoders count by one or by two."""


class _Ended(Exception):
    """There are no more bits, or they make no sense."""


class PictureNumbers:
    """Of one video, whose packets come in order.

    codec: H264 or H265.
    period: after so many pictures numbers begin again; 0: not known yet.
    """

    def __init__(self, codec: str) -> None:
        self._codec, self.period = codec, 0
        self._last: int | None = None  # of H.264: reference picture
        self._sets: dict[int, _Set] = {}
        self._steps: deque[int] = deque(maxlen=_STEPS)

    def misses_one(self, units: list[tuple[int, bytes]]) -> bool | None:
        """Whether pictures are missing before the one of this packet; None where it does not say.

        units: (kind, bytes from the unit's header on) of parameter sets and slices.
        """
        try:
            return self._misses_264(units) if self._codec == H264 else self._misses_265(units)
        except _Ended:
            self._last = None
            return None

    def _misses_264(self, units: list[tuple[int, bytes]]) -> bool | None:
        for kind, unit in units:
            if kind == 7:
                self._sets[7] = _sps_264(unit)
            elif kind in _PICTURES_264:
                found = self._sets.get(7)
                if found is None or not found.is_counted:
                    return None
                number = 0 if kind == _IDR_264 else _frame_num(unit, found)
                last, self.period = self._last, 1 << found.number_bits
                if unit[0] & 0x60:  # a reference
                    self._last = number
                if kind == _IDR_264:
                    return False
                return None if last is None else number != (last + 1) % self.period
        return False

    def _misses_265(self, units: list[tuple[int, bytes]]) -> bool | None:
        for kind, unit in units:
            if kind == 33:
                self._sets[33] = _sps_265(unit)
            elif kind == 34:
                self._sets[34] = _pps_265(unit)
            elif kind in _PICTURES_265:
                if not {33, 34} <= self._sets.keys():
                    return None
                sps, pps = self._sets[33], self._sets[34]
                number = 0 if kind in _IDR_265 else _order(unit, kind, sps, pps)
                last, self._last, self.period = self._last, number, 1 << sps.number_bits
                if kind in _IRAP_265:
                    return False
                if last is None:
                    return None
                step = (number - last) % self.period
                usual = median(self._steps) if len(self._steps) >= 3 else None
                self._steps.append(step)
                return None if usual is None else step != usual
        return False


class _Set(NamedTuple):
    """What slice headers depend on."""

    number_bits: int
    is_counted: bool = True
    has_planes: bool = False
    """H.264: separate_colour_plane_flag."""
    skipped_bits: int = 0
    """H.265: num_extra_slice_header_bits."""
    has_output_flag: bool = False
    """H.265: output_flag_present_flag."""


def _sps_264(unit: bytes) -> _Set:
    bits = _Bits(unit, 1)
    profile = bits.number(8)
    bits.number(16)
    bits.golomb()
    has_planes = False
    if profile in _HIGH_PROFILES:
        if bits.golomb() == 3:
            has_planes = bool(bits.number(1))
        bits.golomb()
        bits.golomb()
        bits.number(1)
        if bits.number(1):  # scaling lists, which nobody needs for a robot's camera
            return _Set(4, is_counted=False)
    number_bits = bits.golomb() + 4
    if number_bits > 16:
        raise _Ended
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        return _Set(number_bits, is_counted=False)
    bits.golomb()
    gaps_allowed = bool(bits.number(1))
    bits.golomb()
    bits.golomb()
    frames_only = bool(bits.number(1))
    return _Set(number_bits, is_counted=frames_only and not gaps_allowed, has_planes=has_planes)


def _frame_num(unit: bytes, found: _Set) -> int:
    bits = _Bits(unit, 1)
    for _ in range(3):
        bits.golomb()
    if found.has_planes:
        bits.number(2)
    return bits.number(found.number_bits)


def _sps_265(unit: bytes) -> _Set:
    bits = _Bits(unit, 2)
    bits.number(4)
    layers = bits.number(3)
    bits.number(1)
    if layers:  # temporal layers, whose order is another one
        return _Set(4, is_counted=False)
    for _ in range(3):
        bits.number(32)
    bits.golomb()
    if bits.golomb() == 3:
        bits.number(1)
    bits.golomb()
    bits.golomb()
    if bits.number(1):
        for _ in range(4):
            bits.golomb()
    bits.golomb()
    bits.golomb()
    number_bits = bits.golomb() + 4
    if number_bits > 16:
        raise _Ended
    return _Set(number_bits)


def _pps_265(unit: bytes) -> _Set:
    bits = _Bits(unit, 2)
    bits.golomb()
    bits.golomb()
    bits.number(1)
    has_output_flag = bool(bits.number(1))
    return _Set(0, skipped_bits=bits.number(3), has_output_flag=has_output_flag)


def _order(unit: bytes, kind: int, sps: _Set, pps: _Set) -> int:
    bits = _Bits(unit, 2)
    if not sps.is_counted or not bits.number(1):  # not the first slice
        raise _Ended
    if kind in _IRAP_265:
        bits.number(1)
    bits.golomb()
    bits.number(pps.skipped_bits)
    bits.golomb()
    bits.number(int(pps.has_output_flag))
    return bits.number(sps.number_bits)


class _Bits:
    """A unit's payload, bit by bit.

    header: bytes of the unit's own header.
    """

    def __init__(self, unit: bytes, header: int) -> None:
        payload = unit[header:HEAD_BYTES].replace(b"\0\0\3", b"\0\0")  # emulation prevention
        self._value, self._left = int.from_bytes(payload, "big"), 8 * len(payload)

    def number(self, count: int) -> int:
        """Of so many bits."""
        if count > self._left:
            raise _Ended
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """ue(v)."""
        zeros = 0
        while not self.number(1):
            zeros += 1
            if zeros > 31:
                raise _Ended
        return (1 << zeros) - 1 + self.number(zeros)
