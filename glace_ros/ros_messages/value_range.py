"""16-bit values of cameras, of which few use all 16 bits -> the 8 bits that everything else takes.

A machine-vision camera puts 10 or 12 bits into the low end of its 16, a thermal one counts
hundredths of a kelvin and shows a room in a hundredth of its scale: the high byte alone is black,
or a handful of greys. So the values that a recording uses become 0 to 255, the same ones for all of
its images, and the map keeps them for the live node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_BITS = (8, 10, 12, 14, 16)
_TAILS = 0.001
"""Ratio of the values at either end that counts as dead or saturated pixels."""
_WIDE = 0.25
"""Ratio of a sensor's scale that pictures have to use for the scale to be taken as it is."""
_MARGIN = 0.1
"""Ratio of the values that are used, added at either end for what the recording did not show."""


@dataclass(frozen=True)
class ValueRange:
    """The values that become 0 and 255; those beyond are black or white.

    Raises ValueError, with a sentence, where that is no range of 16-bit values.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        """Raises ValueError as the class says."""
        if not 0 <= self.low < self.high <= 65535:
            raise ValueError(f"{self.low} to {self.high} is no range of 16-bit values")

    def to_8_bits(self, values: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Values of any shape as uint8; of FULL_RANGE it is the high byte."""
        clipped = np.clip(values, self.low, self.high).astype(np.uint32) - np.uint32(self.low)
        return (clipped * np.uint32(256) // np.uint32(self.high - self.low + 1)).astype(np.uint8)

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


FULL_RANGE = ValueRange(0, 65535)


def used_range(images: Iterable[NDArray[np.uint16]]) -> ValueRange | None:
    """The range of values that images use: the sensor's whole scale, of the fewest bits that hold
    them, where they fill a good part of it; else what they use of it, and a margin.

    images: of any shape, from all of the recording; none at all gives None.
    """
    counts_n = np.zeros(65536, np.int64)
    for values in images:
        counts_n += np.bincount(np.asarray(values).ravel(), minlength=65536)
    total = int(counts_n.sum())
    if not total:
        return None
    below_n = np.cumsum(counts_n)
    low = int(np.searchsorted(below_n, _TAILS * total, side="right"))
    high = int(np.searchsorted(below_n, (1.0 - _TAILS) * total))
    largest = int(np.flatnonzero(counts_n)[-1])
    scale = next(2**bits - 1 for bits in _BITS if largest < 2**bits)
    if high - low >= _WIDE * scale:
        return ValueRange(0, scale)
    margin = max(1, round(_MARGIN * (high - low)))
    return ValueRange(max(0, low - margin), min(65535, high + margin))
