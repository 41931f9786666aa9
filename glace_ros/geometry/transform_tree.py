"""The tree of coordinate frames over time: the same one for a bag and for the live node.

Not tf2's buffer, which comes with ROS only and keeps the last seconds, not a recording.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.errors import GlaceError
from glace_ros.geometry.pose import Pose, interpolate
from glace_ros.geometry.timed_transforms import TimedTransforms
from glace_ros.geometry.transform_link import Edge, TransformLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_EQUAL_M, _EQUAL_RAD = 1e-6, 1e-6
"""Two samples that differ by less are one that was sent again."""
_STRAY = 0.02
"""Of the samples of a frame's usual parent: so few of another one are strays."""


class TransformError(GlaceError):
    """A transform is not known at the time asked for, or one was added that cannot be true.

    reason: why, as a few words to count by ("unknown frame", "not connected", "no transform yet",
    "no newer transform", "gap between transforms", "conflict").
    """

    exit_code = 2

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class TransformTree:
    """Who is where: add transforms as they come, look them up at an exposure time.

    Every method may be called from any thread. Frame names lose ROS 1's leading slash.
    history_s: how far back timed transforms are kept; None: all of them, for a bag.
    max_gap_s: between two samples further apart that differ nothing is interpolated; None: always.
    """

    def __init__(self, history_s: float | None = None, max_gap_s: float | None = None) -> None:
        self._history_ns = None if history_s is None else round(history_s * 1e9)
        self._max_gap_ns = None if max_gap_s is None else round(max_gap_s * 1e9)
        self._edges: dict[str, Edge] = {}
        self._lock = RLock()

    def add(self, parent: str, child: str, stamp_ns: int, pose: Pose) -> None:
        """A sample of /tf, in any order.

        parent, child: frames.
        stamp_ns, pose: its time, and parent_from_child then.
        A parent that has been silent for a second has given its child away: from then on the child
        hangs from the new one, and at the times before still from the old one.
        Raises TransformError where it contradicts the tree: a loop, a child that another parent
        still moves, a transform that is static already. The tree then stays as it was.
        """
        with self._lock:
            edge = self._edge(parent, child, stamp_ns, pose)
            if edge.static is not None:
                raise TransformError(
                    f"{edge.parent}->{child} comes on /tf and on /tf_static; stop one of them",
                    "conflict",
                )
            edge.samples.add(stamp_ns, pose)

    def add_static(self, parent: str, child: str, pose: Pose) -> None:
        """A transform of /tf_static, for all times; a newer one replaces it.

        pose: parent_from_child.
        Raises TransformError as `add` does.
        """
        with self._lock:
            edge = self._edge(parent, child, None, pose)
            if len(edge.samples):
                raise TransformError(
                    f"{edge.parent}->{child} comes on /tf and on /tf_static; stop one of them",
                    "conflict",
                )
            edge.static = pose

    def clear(self) -> None:
        """Forgets everything (after a backward jump of the clock)."""
        with self._lock:
            self._edges.clear()

    def keep_stamps(
        self, belongs: Callable[[NDArray[np.int64]], NDArray[np.bool_]]
    ) -> list[tuple[str, int, NDArray[np.int64], int]]:
        """Drops the timed samples that do not belong.

        belongs: for the stamps (n,) of a link, ns, ascending: which to keep; one at least.
        Returns of each link that lost some: its name as parent->child, how many samples it had,
        the stamps dropped, and the median of those kept.
        """
        changed = []
        with self._lock:
            for child, edge in self._all_edges():
                if edge.static is not None:
                    continue
                stamps_n = edge.samples.stamps_n.copy()
                kept_n = belongs(stamps_n)
                if kept_n.all():
                    continue
                edge.samples.keep(kept_n)
                middle_ns = int(edge.samples.stamps_n[len(edge.samples) // 2])
                name = f"{edge.parent}->{child}"
                changed.append((name, len(stamps_n), stamps_n[~kept_n], middle_ns))
        return changed

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """target_from_source at one time, interpolated; never extrapolated, never made up.

        stamp_ns: the time, of exposure.
        Raises TransformError naming the link that is missing at that time, as parent->child.
        """
        target, source = _plain(target), _plain(source)
        with self._lock:
            up_from_source, up_from_target = self._paths(target, source, stamp_ns)
            target_from_source = Pose.identity()
            for child in up_from_source:  # each step: common ancestor's side @ what we have
                target_from_source = self._at(child, stamp_ns) @ target_from_source
            target_side = Pose.identity()
            for child in up_from_target:
                target_side = self._at(child, stamp_ns) @ target_side
        if up_from_target:
            target_from_source = target_side.inverse() @ target_from_source
        return target_from_source

    def latest_stamp_ns(self, target: str, source: str) -> int | None:
        """The newest time at which `lookup` can answer; None where all links between are static.

        target, source: frames.
        Raises TransformError where the two are not connected.
        """
        with self._lock:
            paths = self._paths(_plain(target), _plain(source))
            edges = [self._edges[child] for path in paths for child in path]
            stamps = [int(edge.samples.stamps_n[-1]) for edge in edges if edge.static is None]
        return min(stamps, default=None)

    def path(self, target: str, source: str) -> list[str]:
        """The frames that lead from `source` to `target`, both included.

        Raises TransformError where the two are not connected.
        """
        target, source = _plain(target), _plain(source)
        with self._lock:
            up_from_source, up_from_target = self._paths(target, source)
            tops = [self._edges[child].parent for child in up_from_source]
        frames = [source, *tops]
        return frames + [frame for frame in reversed(up_from_target) if frame not in frames]

    def static_root(self, frame: str) -> str:
        """The topmost frame from which static transforms alone lead down to `frame`."""
        frame = _plain(frame)
        with self._lock:
            while (edge := self._edges.get(frame)) is not None and edge.static is not None:
                frame = edge.parent
        return frame

    def ancestors(self, frame: str, stamp_ns: int | None = None) -> list[str]:
        """`frame`, its parent, and so on to the root.

        stamp_ns: when; None: by the newest parents.
        """
        frames = [_plain(frame)]
        with self._lock:
            while (edge := self._edges.get(frames[-1])) is not None:
                parent = edge.parent if stamp_ns is None else edge.at(stamp_ns).parent
                if parent in frames:  # parents that were changed one after the other
                    break
                frames.append(parent)
        return frames

    def frames(self) -> set[str]:
        """All frames that are known."""
        with self._lock:
            return set(self._edges) | {edge.parent for _, edge in self._all_edges()}

    def stamps_n(self, frame: str) -> NDArray[np.int64]:
        """Stamps (n,) in ns, ascending, of all that moves a frame, under whatever parent."""
        with self._lock:
            newest = self._edges.get(_plain(frame))
            edges = newest.all()[::-1] if newest else []
            return np.concatenate([np.empty(0, np.int64), *(e.samples.stamps_n for e in edges)])

    def parents_over_time(self) -> dict[str, list[tuple[str, int, int]]]:
        """Of each frame whose parent changed: its parents in order, each with its first and last
        stamp in ns.
        """
        with self._lock:
            return {
                child: [
                    (edge.parent, int(edge.samples.stamps_n[0]), int(edge.samples.stamps_n[-1]))
                    for edge in newest.all()[::-1]
                ]
                for child, newest in self._edges.items()
                if newest.former is not None
            }

    def drop_stray_parents(self) -> list[tuple[str, str, int, str]]:
        """Drops the samples of parents that a frame has but for an instant.

        Returns of each: the parent, the frame, how many samples, and its usual parent.
        """
        dropped = []
        with self._lock:
            for child, newest in list(self._edges.items()):
                counts: Counter[str] = Counter()
                if newest.former is None:
                    continue
                for edge in newest.all():
                    counts[edge.parent] += len(edge.samples)
                usual, most = counts.most_common(1)[0]
                strays = {parent for parent, n in counts.items() if n <= _STRAY * most}
                if strays:
                    dropped += [(parent, child, counts[parent], usual) for parent in strays]
                    self._edges[child] = _without(newest, strays)
        return dropped

    def links(self, target: str, source: str) -> list[TransformLink]:
        """All samples of the links from `source` up to `target`: their poses, the last one first,
        chain to target_from_source.

        Raises TransformError where the two are not connected.
        """
        with self._lock:
            up_from_source, up_from_target = self._paths(_plain(target), _plain(source))
            down = [self._edges[child].link(child).inverse() for child in up_from_target[::-1]]
            return [*(self._edges[child].link(child) for child in up_from_source), *down]

    def _edge(self, parent: str, child: str, stamp_ns: int | None, pose: Pose) -> Edge:
        """The link to add to, made where it is new; raises TransformError as `add` does."""
        parent, child = _plain(parent), _plain(child)
        if not (np.isfinite(pose.rotation_33).all() and np.isfinite(pose.translation_3).all()):
            raise TransformError(f"{parent}->{child} is not finite", "conflict")
        newest = self._edges.get(child)
        edge = newest if newest is None or stamp_ns is None else newest.at(stamp_ns)
        if edge is not None and edge.parent == parent:
            return edge
        if not parent or not child or parent == child or child in self.ancestors(parent):
            raise TransformError(f"{parent or '?'}->{child or '?'} closes a loop", "conflict")
        if edge is not None and not edge.given_away(stamp_ns):
            raise TransformError(
                f"{child} has two parents, {edge.parent} and {parent}; stop one of them",
                "conflict",
            )
        made = Edge(parent, None, TimedTransforms(self._history_ns), edge)
        if self._history_ns is not None and edge is not None:
            edge.former = None  # what is older than the history does not count any more
        if newest is edge:
            self._edges[child] = made
        else:
            assert newest is not None  # then edge is one of its former ones
            next(later for later in newest.all() if later.former is edge).former = made
        return made

    def _all_edges(self) -> list[tuple[str, Edge]]:
        """(child, edge) of all, the former ones too."""
        return [(child, edge) for child, newest in self._edges.items() for edge in newest.all()]

    def _paths(
        self, target: str, source: str, stamp_ns: int | None = None
    ) -> tuple[list[str], list[str]]:
        """The child frames whose links lead from source and from target up to where they meet."""
        if target == source:
            return [], []
        known = self.frames()
        for frame in (target, source):
            if frame not in known:
                others = f"known: {', '.join(sorted(known))}" if known else "there are none at all"
                raise TransformError(
                    f"No transform has a frame '{frame}' ({others})", "unknown frame"
                )
        from_source = self.ancestors(source, stamp_ns)
        from_target = self.ancestors(target, stamp_ns)
        meeting = next((frame for frame in from_source if frame in from_target), None)
        if meeting is None:
            raise TransformError(
                f"No transforms lead from {target} to {source} "
                f"({source} hangs from {from_source[-1]})",
                "not connected",
            )
        return (
            from_source[: from_source.index(meeting)],
            from_target[: from_target.index(meeting)],
        )

    def _at(self, child: str, stamp_ns: int) -> Pose:
        """parent_from_child at the time, or TransformError."""
        edge = self._edges[child].at(stamp_ns)
        if edge.static is not None:
            return edge.static
        samples, stamps_n = edge.samples, edge.samples.stamps_n
        left, right = samples.neighbours(stamp_ns)
        if left == right:
            return samples.pose(left)
        missing = f"No {edge.parent}->{child} at image time"
        if right == len(samples):
            late_s = (stamp_ns - int(stamps_n[-1])) / 1e9
            raise TransformError(
                f"{missing} (latest is {late_s:.2f} s older)", "no newer transform"
            )
        if left < 0:
            early_s = (int(stamps_n[0]) - stamp_ns) / 1e9
            raise TransformError(
                f"{missing} (earliest is {early_s:.2f} s newer)", "no transform yet"
            )
        gap_ns = int(stamps_n[right]) - int(stamps_n[left])
        before, after = samples.pose(left), samples.pose(right)
        too_far = self._max_gap_ns is not None and gap_ns > self._max_gap_ns
        if too_far and not _equal(before, after):
            raise TransformError(
                f"{missing} (its neighbours are {gap_ns / 1e9:.2f} s apart)",
                "gap between transforms",
            )
        fraction = (stamp_ns - int(stamps_n[left])) / gap_ns
        return interpolate(before, after, fraction)


def _equal(before: Pose, after: Pose) -> bool:
    """Whether nothing moved between two samples, as of a mount that is sent once a second."""
    return before.distance_m(after) < _EQUAL_M and before.angle_rad(after) < _EQUAL_RAD


def _without(newest: Edge, parents: set[str]) -> Edge:
    """The edge and its former ones without those parents; spans that then meet are one."""
    kept = [edge for edge in newest.all()[::-1] if edge.parent not in parents]
    made = replace(kept[0], former=None)
    for edge in kept[1:]:
        if edge.parent == made.parent:
            made.samples.append(edge.samples)
        else:
            made = replace(edge, former=made)
    return made


def _plain(frame: str) -> str:
    return frame.lstrip("/")
