"""Stamps that cannot belong to a recording: of a clock that was not set yet, or since boot."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.recording.counted import are, counted
from glace_ros.recording.recording_time import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.transform_tree import TransformTree

ONE_DAY_NS = 86_400 * 1_000_000_000
"""Stamps further apart, with none between, are of different times."""
_SILENCE_S = 600.0
"""Without any message: no robot drives so long unseen."""


def groups_of_stamps(stamps_n: NDArray[np.int64]) -> list[slice]:
    """Runs of stamps with no gap of more than a day, as slices.

    stamps_n: int64 ns, ascending.
    """
    cuts = [0, *(np.flatnonzero(np.diff(stamps_n) > ONE_DAY_NS) + 1).tolist(), len(stamps_n)]
    return [slice(first, end) for first, end in pairwise(cuts)]


def belongs_n(stamps_n: NDArray[np.int64], camera_stamps_n: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which stamps belong to the recording: those of the most frequent time, and of any other time
    (within a day) of which the camera has stamps too.

    stamps_n: int64 ns, ascending.
    camera_stamps_n: int64 ns, in any order.
    """
    groups = groups_of_stamps(stamps_n)
    largest = max(groups, key=lambda group: group.stop - group.start)
    kept_n = np.zeros(len(stamps_n), bool)
    for group in groups:
        first, last = stamps_n[group.start] - ONE_DAY_NS, stamps_n[group.stop - 1] + ONE_DAY_NS
        of_camera = bool(np.any((camera_stamps_n >= first) & (camera_stamps_n <= last)))
        kept_n[group] = group == largest or of_camera
    return kept_n


def leave_out_strays(tree: TransformTree, camera_stamps_n: NDArray[np.int64]) -> list[str]:
    """Takes the samples whose stamps cannot belong to the recording out of the tree; says which.

    camera_stamps_n: int64 ns, in any order.
    """
    return [
        f"{len(away_n)} of {counted(count, 'sample')} of {name} {are(len(away_n))} stamped "
        f"{_days_off(away_n, kept_ns):.1f} days off the others (of a clock that was not set yet, "
        "or time since boot); left out"
        for name, count, away_n, kept_ns in tree.keep_stamps(
            lambda stamps_n: belongs_n(stamps_n, camera_stamps_n)
        )
    ]


def recorded_span_ns(received_ns: Sequence[int]) -> tuple[int, int, int]:
    """(first, last) of the time at which most messages were recorded, and how many were not.

    received_ns: of messages, in any order, one at least.
    """
    stamps_n = np.sort(np.asarray(received_ns, np.int64))
    most = max(groups_of_stamps(stamps_n), key=lambda group: group.stop - group.start)
    others = len(stamps_n) - (most.stop - most.start)
    return int(stamps_n[most.start]), int(stamps_n[most.stop - 1]), others


def silence_sentences(received_ns: Sequence[int], start_ns: int) -> list[str]:
    """Of each long time in which nothing was recorded.

    received_ns: of messages, in any order.
    start_ns: 0:00 of the recording.
    """
    stamps_n = np.sort(np.asarray(received_ns, np.int64))
    gaps_s = np.diff(stamps_n) / 1e9
    return [
        f"nothing was recorded for {gaps_s[before] / 60:.0f} min from "
        f"{clock((int(stamps_n[before]) - start_ns) / 1e9)} on: the recorder paused, or its clock "
        "was set; poses count as going on from there, which is right unless the robot was carried"
        for before in np.flatnonzero((gaps_s > _SILENCE_S) & (gaps_s < ONE_DAY_NS / 1e9)).tolist()
    ]


def _days_off(away_n: NDArray[np.int64], kept_ns: int) -> float:
    return float(np.median(np.abs(away_n.astype(np.float64) - kept_ns)) / ONE_DAY_NS)
