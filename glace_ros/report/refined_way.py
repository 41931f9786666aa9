"""The way as it was recorded beside the way as images corrected it, for the report's plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose


@dataclass(frozen=True, eq=False)
class RefinedWay:
    """Where the mapping cameras were, by odometry alone and after refinement."""

    recorded_v3: NDArray[np.float64]
    """Metres in the map. Each stretch begins where refinement puts its first view: a second drive's
    frame is its own, and what is seen from there on is what odometry drifted by."""
    refined_v3: NDArray[np.float64]
    """Metres in the map."""
    stretches_v: NDArray[np.int64]
    """Which stretch of way each view is of; those of one stretch follow each other."""
    loops_n2: NDArray[np.int64]
    """Pairs of views of the same place that were kept; each pair once."""


def refined_way(
    recorded: Sequence[Pose],
    refined: Sequence[Pose],
    stretches: Sequence[int],
    loops: Sequence[tuple[int, int]],
) -> RefinedWay:
    """Of all mapping views.

    recorded: map_from_camera, each in the frame of its stretch.
    refined: map_from_camera.
    stretches: which stretch of way each view is of.
    loops: pairs of views; a pair may be there both ways round.
    """
    stretches_v = np.asarray(stretches, np.int64)
    recorded_v3 = np.array([pose.translation_3 for pose in recorded]).reshape(-1, 3)
    for first in np.unique(stretches_v, return_index=True)[1].tolist():
        views_v = stretches_v == stretches_v[first]
        map_from_stretch = refined[first] @ recorded[first].inverse()
        recorded_v3[views_v] = map_from_stretch.transform(recorded_v3[views_v])
    pairs_n2 = np.sort(np.asarray(loops, np.int64).reshape(-1, 2), axis=1)
    return RefinedWay(
        recorded_v3,
        np.array([pose.translation_3 for pose in refined]).reshape(-1, 3),
        stretches_v,
        np.unique(pairs_n2, axis=0),
    )
