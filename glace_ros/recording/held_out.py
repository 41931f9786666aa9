"""Which part of a drive judges the map: contiguous blocks, so that no neighbour gives the answer
away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class HeldOutBlocks:
    """`blocks` intervals of time, evenly over the drive, together `fraction` of it.

    stamps_n: int64 ns, ascending, of the drive's poses.
    """

    def __init__(self, stamps_n: NDArray[np.int64], fraction: float, blocks: int = 4) -> None:
        self.intervals_ns: list[tuple[int, int]] = []
        if fraction <= 0 or len(stamps_n) < 2:
            return
        first, last = int(stamps_n[0]), int(stamps_n[-1])
        half = (last - first) * fraction / blocks / 2
        for block in range(blocks):
            middle = first + (last - first) * (block + 0.5) / blocks
            self.intervals_ns.append((int(middle - half), int(middle + half)))

    def __contains__(self, stamp_ns: int) -> bool:
        return any(start <= stamp_ns < end for start, end in self.intervals_ns)
