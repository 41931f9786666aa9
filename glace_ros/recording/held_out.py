"""Which part of a drive judges the map: contiguous blocks, so that no neighbour gives the answer
away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_S = 1.0
"""Long enough that a block's middle has no neighbour in training; longer blocks of a drive that
passes only once would ask for places that nobody showed.
"""


class HeldOutBlocks:
    """Intervals of BLOCK_S, evenly over the drive, together `fraction` of it.

    stamps_n: int64 ns, ascending, of the drive's poses.
    """

    def __init__(self, stamps_n: NDArray[np.int64], fraction: float) -> None:
        self.intervals_ns: list[tuple[int, int]] = []
        if fraction <= 0 or len(stamps_n) < 2:
            return
        first, last = int(stamps_n[0]), int(stamps_n[-1])
        blocks = max(1, round((last - first) * fraction / (BLOCK_S * 1e9)))
        half = (last - first) * fraction / blocks / 2
        for block in range(blocks):
            middle = first + (last - first) * (block + 0.5) / blocks
            self.intervals_ns.append((int(middle - half), int(middle + half)))

    def __contains__(self, stamp_ns: int) -> bool:
        return any(start <= stamp_ns < end for start, end in self.intervals_ns)
