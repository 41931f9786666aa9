"""Which part of a drive judges the map: contiguous blocks, so that no neighbour gives the answer
away. The rest is mapped from.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from glace_ros.recording.frame_selection import FrameSelection
    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.recording.posed_images import PosedImage

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
        block = bisect_right(self.intervals_ns, stamp_ns, key=lambda interval: interval[0]) - 1
        return block >= 0 and stamp_ns < self.intervals_ns[block][1]


class HeldOutImages:
    """The images that judge the map, by their stamps: read from the bag again when iterated, since
    a tenth of a long recording would fill the memory.

    Of more than MOST_JUDGED, as many are read, evenly spread.
    """

    MOST_VALIDATED = 500

    def __init__(self, reader: PosedImageReader, stamps_ns: list[int] | None = None) -> None:
        self.stamps_ns = stamps_ns or []
        self._reader = reader

    def append(self, image: PosedImage) -> None:
        """Note the image."""
        self.stamps_ns.append(image.stamp_ns)

    def __len__(self) -> int:
        return min(len(self.stamps_ns), self.MOST_VALIDATED)

    def __iter__(self) -> Iterator[PosedImage]:
        picks = np.linspace(0, len(self.stamps_ns) - 1, len(self)).round().astype(int)
        return self._reader.images_at({self.stamps_ns[pick] for pick in picks})


def mapping_images(
    reader: PosedImageReader,
    selection: FrameSelection,
    blocks: HeldOutBlocks,
    held_out: HeldOutImages,
    position: dict[str, Any] | None = None,
) -> Iterator[PosedImage]:
    """Keyframes outside of the blocks; those in them are noted in held_out. position: where to go
    on.
    """
    for image in reader.posed_images(selection, position):
        if image.stamp_ns in blocks:
            held_out.append(image)
        else:
            yield image


def mapping_count(
    reader: PosedImageReader,
    selection: FrameSelection,
    blocks: HeldOutBlocks,
    on_image: Callable[[], None],
) -> int:
    """How many `mapping_images` there are: a pass over the recording."""
    count = 0
    for _ in mapping_images(reader, selection, blocks, HeldOutImages(reader)):
        count += 1
        on_image()
    return count
