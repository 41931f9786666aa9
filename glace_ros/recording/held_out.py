"""Which part of a drive is held out to validate the map: contiguous blocks, so that no neighbour
gives the answer away. The rest is mapped from.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.frame_selection import FrameSelection
    from glace_ros.recording.posed_images import PosedImage

BLOCK_S = 1.0
"""Long enough that a block's middle has no neighbour in training; longer blocks of a drive that
passes only once would ask for places that nobody showed.
"""

_PAUSE_NS = 10_000_000_000
"""Without a pose for longer, nothing was driven that could be held out."""


class HeldOutBlocks:
    """Intervals of about BLOCK_S, evenly over one drive. `stamp_ns in blocks` tells what is held
    out of it.
    """

    def __init__(self, stamps_n: NDArray[np.int64], fraction: float) -> None:
        """stamps_n: int64 ns, ascending, of the drive's poses.
        fraction: how much of the drive all blocks take together; 0: there are none.
        """
        self.intervals_ns: list[tuple[int, int]] = []
        """(start, end) of each block, ascending; the end is not in it."""
        if fraction <= 0 or len(stamps_n) < 2:
            return
        # the drive's own time: where poses pause, and be it for years, it stands still
        steps_n = np.diff(stamps_n)
        pauses_n = np.flatnonzero(steps_n > _PAUSE_NS)
        starts_n = stamps_n[np.concatenate([[0], pauses_n + 1])]
        ends_n = stamps_n[np.concatenate([pauses_n, [len(stamps_n) - 1]])]
        until_n = np.cumsum(ends_n - starts_n)
        length_ns = int(until_n[-1])
        blocks = max(1, round(length_ns * fraction / (BLOCK_S * 1e9)))
        half = length_ns * fraction / blocks / 2
        for block in range(blocks):
            middle = length_ns * (block + 0.5) / blocks
            first, last = middle - half, middle + half
            run, end = (int(np.searchsorted(until_n[:-1], at)) for at in (first, last))
            for part in range(run, end + 1):
                before_ns = int(until_n[part - 1]) if part else 0
                start_ns = int(starts_n[part])
                begin = start_ns + max(first - before_ns, 0.0)
                stop = start_ns + min(last - before_ns, int(ends_n[part]) - start_ns)
                self.intervals_ns.append((int(begin), int(stop)))

    def __contains__(self, stamp_ns: int) -> bool:
        block = bisect_right(self.intervals_ns, stamp_ns, key=lambda interval: interval[0]) - 1
        return block >= 0 and stamp_ns < self.intervals_ns[block][1]


class HeldOutImages:
    """The images that validate the map, by their stamps: read from the drives again when iterated,
    since a tenth of a long one would fill the memory.

    Beside the blocks it notes images between keyframes, which nothing is mapped from either: what
    poses err by is then told of more than the few that a short drive can spare.
    """

    MOST_VALIDATED = 500
    """Of more images, as many are read, evenly spread: they tell a ratio to about 2 %."""
    MOST_NON_KEYFRAMES = 50
    """As many besides; what a covariance is short of needs no more."""

    def __init__(self, reader: DrivesReader) -> None:
        """reader: of the drives that they are from."""
        self.noted: list[tuple[int, int]] = []
        """(drive, stamp in ns) of all images noted, in order of recording."""
        self.non_keyframes: list[tuple[int, int]] = []
        """(drive, stamp in ns) of images between keyframes, outside of the blocks, likewise."""
        self._reader = reader

    def append(self, image: PosedImage) -> None:
        """Notes the image, not its pixels."""
        self.noted.append((image.drive, image.stamp_ns))

    def __len__(self) -> int:
        return min(len(self.noted), self.MOST_VALIDATED)

    def __iter__(self) -> Iterator[PosedImage]:
        return self.some(self.MOST_VALIDATED)

    def some(self, most: int) -> Iterator[PosedImage]:
        """The images, of more than `most` as many, evenly spread."""
        return self._reader.images_at(_spread(self.noted, most))

    @property
    def some_non_keyframes(self) -> set[tuple[int, int]]:
        """(drive, stamp in ns) of those that may be read; none where nothing is held out, as the
        map is not validated then.
        """
        return _spread(self.non_keyframes if self.noted else [], self.MOST_NON_KEYFRAMES)

    def together_with(self, non_keyframes: set[tuple[int, int]]) -> Iterator[PosedImage]:
        """The images and those of `some_non_keyframes` that are asked for, in one pass."""
        return self._reader.images_at(_spread(self.noted, self.MOST_VALIDATED) | non_keyframes)


def _spread(places: Sequence[tuple[int, int]], most: int) -> set[tuple[int, int]]:
    """Of more than `most` as many, evenly spread."""
    picks = np.linspace(0, len(places) - 1, min(len(places), most)).round().astype(int)
    return {places[pick] for pick in picks}


def blocks_of(reader: DrivesReader, fraction: float) -> list[HeldOutBlocks]:
    """The held-out blocks of each drive. fraction: how much of it they take."""
    return [HeldOutBlocks(drive.pose_stamps_n(), fraction) for drive in reader.drives]


def mapping_images(
    reader: DrivesReader,
    selection: FrameSelection,
    blocks: Sequence[HeldOutBlocks],
    held_out: HeldOutImages,
    position: dict[str, Any] | None = None,
) -> Iterator[PosedImage]:
    """Keyframes outside of the blocks, to be mapped from.

    selection: what makes a keyframe.
    blocks: of each drive.
    held_out: the keyframes in the blocks are noted in it, and an image of those between each two
        outside of them.
    position: where an earlier pass stopped (`DrivesReader.position`); None: from the start.
    Raises RecordingError at the end of a drive where there was not one keyframe.
    """
    for image in reader.posed_images(selection, position):
        between_ns = reader.non_keyframe_ns
        if between_ns is not None and between_ns not in blocks[image.drive]:
            held_out.non_keyframes.append((image.drive, between_ns))
        if image.stamp_ns in blocks[image.drive]:
            held_out.append(image)
        else:
            yield image


def mapping_count(
    reader: DrivesReader,
    selection: FrameSelection,
    blocks: Sequence[HeldOutBlocks],
    on_image: Callable[[], None],
) -> int:
    """How many `mapping_images` there are: a pass over the recording.

    on_image: called after each of them.
    """
    count = 0
    for _ in mapping_images(reader, selection, blocks, HeldOutImages(reader)):
        count += 1
        on_image()
    return count
