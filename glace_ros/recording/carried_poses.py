"""Poses that come seldom, such as AMCL's after motion alone, carried on by odometry in between."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.pose import Pose, interpolate
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.counted import are, counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from glace_ros.recording.bag_tracks import PoseTrack

_NEAR_NS = 110_000_000
"""Between poses as near as this it does not matter."""
_STEP_NS, _MOST_STEPS = 100_000_000, 500
"""In which the way through a gap is added up."""
_TURN_M = 0.5
"""Metres of way that a turn by one radian counts as."""
_MOST_OFF_M, _MOST_OFF_RATIO = 0.3, 0.1
"""Odometry contradicts poses by so much, and so much of the way, at most: of a pose that was set
anew, or of wheels that slipped, nobody knows when.
"""
_MOST_OFF_RAD, _MOST_OFF_RAD_M = 0.2, 0.05


class _Gap(NamedTuple):
    """Between two poses."""

    map_from_odom_2: tuple[Pose, Pose]
    """By the pose before it and by the one behind it."""
    stamps_n: NDArray[np.int64]
    way_n: NDArray[np.float64]
    """How much of its way is driven by these stamps, 0 to 1."""


class CarriedPoses:
    """The poses of a topic at any time between the first and the last one: interpolated where they
    are near each other, else by odometry, the corrections spread over the way in between.
    """

    def __init__(
        self, track: PoseTrack, odom_from_base: Callable[[int], Pose], name: str, max_gap_s: float
    ) -> None:
        """track: of the poses.
        odom_from_base: odometry at a stamp in ns; raises TransformError where it has none.
        name: of odometry, for people.
        max_gap_s: over longer gaps nothing else leads, and what odometry does is said.
        """
        self._track, self._odom_from_base, self._name = track, odom_from_base, name
        (link,) = track.tree.links(track.parent_name, track.child_name)
        self._stamps_n = link.stamps_n
        self._gaps: dict[int, _Gap] = {}
        """By the index of the pose before it."""
        self._contradicted = 0
        apart_n = np.diff(self._stamps_n)
        self._max_gap_ns = round(max_gap_s * 1e9)
        self._bridged_ns: list[int] = []
        for before in np.flatnonzero(apart_n > min(_NEAR_NS, self._max_gap_ns)).tolist():
            poses = (
                Pose(pose_34[:, :3].copy(), pose_34[:, 3].copy())
                for pose_34 in link.poses_n34[before : before + 2]
            )
            self._look_at(before, *poses)

    def at(self, at_ns: int) -> Pose:
        """The pose at a time; raises TransformError where there is none."""
        gap = self._gaps.get(int(np.searchsorted(self._stamps_n, at_ns)) - 1)
        if gap is None:
            return self._track.tree.lookup(self._track.parent_name, self._track.child_name, at_ns)
        odom_from_base = self._odom_from_base(at_ns)
        forth, back = (map_from_odom @ odom_from_base for map_from_odom in gap.map_from_odom_2)
        return interpolate(forth, back, float(np.interp(at_ns, gap.stamps_n, gap.way_n)))

    def stamps_n(self) -> NDArray[np.int64]:
        """Stamps (n,) in ns, ascending: of the poses, and of some in each gap that is bridged."""
        bridged = [gap.stamps_n for gap in self._gaps.values()]
        return np.asarray(np.unique(np.concatenate([self._stamps_n, *bridged])), np.int64)

    def sentences(self) -> list[str]:
        """Which gaps were bridged, and which not."""
        said = []
        if count := len(self._bridged_ns):
            said.append(
                f"{self._track.topic}: {counted(count, 'gap')} between its poses, up to "
                f"{max(self._bridged_ns) / 1e9:.1f} s long, {are(count)} bridged by the odometry "
                f"of {self._name}"
            )
        if count := self._contradicted:
            said.append(
                f"{self._track.topic}: {counted(count, 'gap')} between its poses {are(count)} not "
                f"bridged: {self._name} says that the robot went elsewhere (a pose was set anew, "
                "or wheels slipped)"
            )
        return said

    def _look_at(self, before: int, first: Pose, last: Pose) -> None:
        """Takes down the gap behind a pose, where odometry leads over it."""
        from_ns, to_ns = map(int, self._stamps_n[before : before + 2])
        steps = min(_MOST_STEPS, max(2, -(-(to_ns - from_ns) // _STEP_NS)))
        stamps_n = np.linspace(from_ns, to_ns, steps + 1).round().astype(np.int64)
        stamps_n[[0, -1]] = from_ns, to_ns
        try:
            odometry = [self._odom_from_base(stamp_ns) for stamp_ns in stamps_n.tolist()]
        except TransformError:
            return
        steps_n = [
            one.distance_m(other) + _TURN_M * one.angle_rad(other)
            for one, other in pairwise(odometry)
        ]
        way_n = np.concatenate([[0.0], np.cumsum(steps_n)])
        way_m = float(way_n[-1])
        by_odometry = first @ odometry[0].inverse() @ odometry[-1]
        if (
            by_odometry.distance_m(last) > _MOST_OFF_M + _MOST_OFF_RATIO * way_m
            or by_odometry.angle_rad(last) > _MOST_OFF_RAD + _MOST_OFF_RAD_M * way_m
        ):
            self._contradicted += to_ns - from_ns > self._max_gap_ns
            return
        if to_ns - from_ns > self._max_gap_ns:
            self._bridged_ns.append(to_ns - from_ns)
        if way_m <= 0:
            way_n, way_m = np.arange(len(stamps_n), dtype=np.float64), float(len(stamps_n) - 1)
        corrections = first @ odometry[0].inverse(), last @ odometry[-1].inverse()
        self._gaps[before] = _Gap(corrections, stamps_n, way_n / way_m)
