"""The link from a frame to its parent: what a tree of transforms is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.pose import Pose, stack
from glace_ros.geometry.timed_transforms import SAME_INSTANT_NS, TimedTransforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A parent that has been silent for so long has given its child away.
REPARENT_AFTER_NS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class TransformLink:
    """All samples of one link between two frames, upper_from_lower, as arrays."""

    name: str
    """parent->child, as on /tf."""
    stamps_n: NDArray[np.int64]
    """ns, ascending; any single one where it is static."""
    poses_n34: NDArray[np.float64]
    """Rotations and translations in metres, at these stamps."""
    is_static: bool = False

    @staticmethod
    def static(name: str, pose: Pose) -> TransformLink:
        """Of one pose for all times."""
        return TransformLink(name, np.zeros(1, np.int64), stack([pose]), is_static=True)

    def inverse(self) -> TransformLink:
        """lower_from_upper."""
        turned_n33 = self.poses_n34[:, :, :3].swapaxes(1, 2)
        poses_n34 = np.concatenate([turned_n33, -turned_n33 @ self.poses_n34[:, :, 3:]], axis=2)
        return replace(self, poses_n34=poses_n34)

    def nearest(self, stamps_n: NDArray[np.int64]) -> NDArray[np.float64]:
        """The samples (n, 3, 4) nearest in time, however far away; nothing is interpolated."""
        after_n = np.clip(np.searchsorted(self.stamps_n, stamps_n), 0, len(self.stamps_n) - 1)
        before_n = np.maximum(after_n - 1, 0)
        is_before_n = stamps_n - self.stamps_n[before_n] < self.stamps_n[after_n] - stamps_n
        nearest_n34: NDArray[np.float64] = self.poses_n34[np.where(is_before_n, before_n, after_n)]
        return nearest_n34


@dataclass
class Edge:
    """The link from a child frame to its parent as it grows: static, or with samples over time."""

    parent: str
    static: Pose | None
    samples: TimedTransforms
    former: Edge | None = None
    """What the child hung from before it was given away to this parent."""

    @property
    def first_ns(self) -> int:
        """From when on it is known, less what a stamp is rounded by."""
        return int(self.samples.stamps_n[0]) - SAME_INSTANT_NS

    def at(self, stamp_ns: int) -> Edge:
        """The edge of that time: this one, or a former one."""
        edge = self
        while edge.former is not None and stamp_ns < edge.first_ns:
            edge = edge.former
        return edge

    def all(self) -> list[Edge]:
        """This one and the former ones, the newest first."""
        return [self, *(self.former.all() if self.former else [])]

    def given_away(self, stamp_ns: int | None) -> bool:
        """Whether the old parent has fallen silent before a new one speaks."""
        if self.static is not None or stamp_ns is None:
            return False
        return stamp_ns - int(self.samples.stamps_n[-1]) > REPARENT_AFTER_NS

    def link(self, child: str) -> TransformLink:
        """A copy of what is known of it and of former ones with this parent.

        child: the frame.
        """
        name = f"{self.parent}->{child}"
        if self.static is not None:
            return TransformLink.static(name, self.static)
        same = [edge.samples for edge in self.all()[::-1] if edge.parent == self.parent]
        return TransformLink(
            name,
            np.concatenate([samples.stamps_n for samples in same]),
            np.concatenate([samples.poses_n34 for samples in same]),
        )
