"""One transform over time: samples in arrays that grow, and the neighbours of an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Stamps that went through a float64 of seconds differ by this much and mean the same instant.
SAME_INSTANT_NS = 1_000


class TimedTransforms:
    """The samples of one parent_from_child over time, in arrays that grow (104 bytes a sample).

    history_ns: samples older than this before the newest are dropped; None keeps all.
    Not thread-safe by itself.
    """

    def __init__(self, history_ns: int | None = None) -> None:
        self._history_ns = history_ns
        self._stamps_n: NDArray[np.int64] = np.empty(16, dtype=np.int64)
        self._poses_n34: NDArray[np.float64] = np.empty((16, 3, 4))
        self._start, self._end = 0, 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def stamps_n(self) -> NDArray[np.int64]:
        """The stamps in ns, ascending: a view that is valid until the next `add`."""
        return self._stamps_n[self._start : self._end]

    @property
    def poses_n34(self) -> NDArray[np.float64]:
        """The poses (n, 3, 4) at `stamps_n`: a view that is valid until the next `add`."""
        return self._poses_n34[self._start : self._end]

    def add(self, stamp_ns: int, pose: Pose) -> bool:
        """Keeps the sample; False where it is a repeated stamp (the first one stays, as in tf2)
        or older than the history."""
        at = self._end
        if len(self) and stamp_ns <= self._stamps_n[self._end - 1]:
            at = self._start + int(np.searchsorted(self.stamps_n, stamp_ns))
            if self._stamps_n[at] == stamp_ns or self._is_too_old(stamp_ns):
                return False
        if self._end == len(self._stamps_n):
            at -= self._make_room()
        self._stamps_n[at + 1 : self._end + 1] = self._stamps_n[at : self._end]
        self._poses_n34[at + 1 : self._end + 1] = self._poses_n34[at : self._end]
        self._stamps_n[at] = stamp_ns
        self._poses_n34[at, :, :3] = pose.rotation_33
        self._poses_n34[at, :, 3] = pose.translation_3
        self._end += 1
        while self._is_too_old(int(self._stamps_n[self._start])):
            self._start += 1
        return True

    def _is_too_old(self, stamp_ns: int) -> bool:
        return (
            self._history_ns is not None
            and stamp_ns < int(self._stamps_n[self._end - 1]) - self._history_ns
        )

    def _make_room(self) -> int:
        """Moves the samples to the front of arrays with room; returns by how far they moved."""
        count, moved = len(self), self._start
        capacity = max(16, 2 * count)
        for name in ("_stamps_n", "_poses_n34"):
            old = getattr(self, name)
            new = np.empty((capacity, *old.shape[1:]), dtype=old.dtype)
            new[:count] = old[self._start : self._end]
            setattr(self, name, new)
        self._start, self._end = 0, count
        return moved

    def keep(self, kept_n: NDArray[np.bool_]) -> None:
        """Drops all other samples.

        kept_n: for each of `stamps_n`.
        """
        self._stamps_n = self.stamps_n[kept_n]
        self._poses_n34 = self.poses_n34[kept_n]
        self._start, self._end = 0, len(self._stamps_n)

    def append(self, later: TimedTransforms) -> None:
        """Adds all samples of another one, which are later than all of these."""
        self._stamps_n = np.concatenate([self.stamps_n, later.stamps_n])
        self._poses_n34 = np.concatenate([self.poses_n34, later.poses_n34])
        self._start, self._end = 0, len(self._stamps_n)

    def neighbours(self, stamp_ns: int) -> tuple[int, int]:
        """Indices into `stamps_n` of the samples before and after; equal at a sample's own stamp.

        Before the first sample the left one is -1; after the last the right one is len(self).
        """
        stamps_n = self.stamps_n
        right = int(np.searchsorted(stamps_n, stamp_ns))
        for index in (right, right - 1):
            if 0 <= index < len(self) and abs(int(stamps_n[index]) - stamp_ns) <= SAME_INSTANT_NS:
                return index, index
        return right - 1, right

    def pose(self, index: int) -> Pose:
        """The sample at an index into `stamps_n`."""
        pose_34 = self._poses_n34[self._start + index]
        return Pose(pose_34[:, :3].copy(), pose_34[:, 3].copy())
