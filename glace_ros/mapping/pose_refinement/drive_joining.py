"""Stretches of way with frames of their own, brought into the first one's by what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.errors import MappingError

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.loop_closures import Loop

_AGREE_M, _AGREE_RAD = 0.5, 0.15
"""Loops of one stretch that place it so near to each other agree; its drift lies between them."""


def join_stretches(
    map_from_camera: Sequence[Pose],
    stretches_v: NDArray[np.int64],
    loops: Sequence[Loop],
    names: Sequence[str],
    min_joining: int,
    *,
    planar: bool,
) -> list[Pose]:
    """All views in the frame of stretch 0, by where most loops put each stretch.

    map_from_camera: each in its own stretch's frame.
    names: of the stretches, for people.
    planar: all frames have the same floor, which is kept.
    Raises MappingError where a stretch shows nothing of the others.
    """
    poses = list(map_from_camera)
    joined = {0}
    left = set(stretches_v.tolist()) - {0}
    while left:
        best: tuple[int, int, Pose] | None = None
        for stretch in sorted(left):
            placed = _places(poses, stretches_v, loops, joined, stretch)
            if placed:
                views = np.flatnonzero(stretches_v == stretch)
                centre_3 = np.mean([poses[view].translation_3 for view in views], axis=0)
                support, pose = _most_agreed(placed, centre_3)
                if best is None or support > best[0]:
                    best = support, stretch, pose
        if best is None or best[0] < min_joining:
            raise MappingError(_unjoined(names, left, best))
        _, stretch, map_from_stretch = best
        if planar:
            map_from_stretch = map_from_stretch.planar()
        for view in np.flatnonzero(stretches_v == stretch).tolist():
            poses[view] = map_from_stretch @ poses[view]
        joined.add(stretch)
        left.remove(stretch)
    return poses


def _unjoined(names: Sequence[str], left: set[int], best: tuple[int, int, Pose] | None) -> str:
    stretch = best[1] if best else min(left)
    seen = f"only {best[0]} of its views agree" if best else "none of its views agrees"
    return unrelated(names, stretch, f"{seen} on where it is")


def unrelated(names: Sequence[str], stretch: int, why: str) -> str:
    """That a stretch is not of the same place as the others, as a sentence.

    why: in a few words.
    """
    others = names[0] if stretch else names[-1]
    return (
        f"{names[stretch]} shows nothing of what {others} shows ({why}): leave it out, or record a "
        "drive that passes through both; parts of one map have to overlap"
    )


def _places(
    poses: Sequence[Pose],
    stretches_v: NDArray[np.int64],
    loops: Sequence[Loop],
    joined: Container[int],
    stretch: int,
) -> list[Pose]:
    """map_from_stretch by each loop that leads there."""
    placed = []
    for loop in loops:
        of_first, of_second = int(stretches_v[loop.first]), int(stretches_v[loop.second])
        there = loop.first_from_second
        if of_first in joined and of_second == stretch:
            placed.append(poses[loop.first] @ there @ poses[loop.second].inverse())
        elif of_second in joined and of_first == stretch:
            placed.append(poses[loop.second] @ there.inverse() @ poses[loop.first].inverse())
    return placed


def _most_agreed(placed: Sequence[Pose], centre_3: NDArray[np.float64]) -> tuple[int, Pose]:
    """How many agree with the one that most agree with, and that one.

    centre_3: of the stretch, in its frame: where it is placed there counts, not its origin.
    """
    centres_p3 = np.stack([pose.transform(centre_3[None])[0] for pose in placed])
    rotations_p9 = np.stack([pose.rotation_33.ravel() for pose in placed])
    supports = []
    for here_3, rotation_9 in zip(centres_p3, rotations_p9, strict=True):
        near_p = np.linalg.norm(centres_p3 - here_3, axis=1) < _AGREE_M
        # the trace of the rotation from one to the other is 1 + 2 cos(angle)
        alike_p = rotations_p9 @ rotation_9 > 1.0 + 2.0 * np.cos(_AGREE_RAD)
        supports.append(int((near_p & alike_p).sum()))
    best = int(np.argmax(supports))
    return supports[best], placed[best]
