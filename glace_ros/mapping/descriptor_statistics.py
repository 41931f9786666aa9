"""How well global descriptors tell co-visible views, and how strong a diffusion that suggests.

The paper's sigma (section 3.2) is for its own descriptor. Here it is measured: the noise should
turn a descriptor about as far as those of two co-visible views differ (the paper's figure 3), and
not so far that unrelated views mix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glace_ros.geometry.covisibility import are_covisible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.geometry.pose import Pose

ANGLE_MAX_DEG = 58.0
"""What the paper's sigma = 0.1 in 256 dimensions turns a descriptor by."""


MOST_VIEWS = 2000
"""That is two million pairs."""


@dataclass(frozen=True)
class DescriptorStatistics:
    """How well the angle between two descriptors tells co-visible pairs of views from others.

    covisible_deg, other_deg: mean angle of either kind of pair.
    auc: chance that a co-visible pair has the smaller angle.
    sigma: of the diffusion that this suggests, standard deviation in each dimension.
    """

    covisible_deg: float
    other_deg: float
    auc: float
    sigma: float


class DescriptorPairs(NamedTuple):
    """Pairs of views, p of them.

    angle_deg_p: between their global descriptors.
    covisible_p: whether they are co-visible.
    channels: of a descriptor.
    """

    angle_deg_p: NDArray[np.float64]
    covisible_p: NDArray[np.bool_]
    channels: int

    def statistics(self) -> DescriptorStatistics | None:
        """None where there is no pair of either kind.

        sigma = tan(theta) / sqrt(G) turns a descriptor by about theta = the mean angle of
        co-visible pairs, at most ANGLE_MAX_DEG.
        """
        if not self.covisible_p.any() or self.covisible_p.all():
            return None
        near_p, far_p = self.angle_deg_p[self.covisible_p], self.angle_deg_p[~self.covisible_p]
        covisible_deg = float(near_p.mean())
        theta_rad = math.radians(min(covisible_deg, ANGLE_MAX_DEG))
        return DescriptorStatistics(
            covisible_deg=covisible_deg,
            other_deg=float(far_p.mean()),
            auc=_auc(near_p, far_p),
            sigma=math.tan(theta_rad) / math.sqrt(self.channels),
        )


def descriptor_pairs(
    descriptors_nG: NDArray[np.float32],
    map_from_camera: Sequence[Pose],
    held_out_n: NDArray[np.bool_] | None = None,
    distance_m: float = 1.0,
    angle_deg: float = 30.0,
) -> DescriptorPairs:
    """All pairs of views, of a sample of them where there are more than MOST_VIEWS.

    descriptors_nG: global ones, of unit norm.
    map_from_camera: of each view.
    held_out_n: where given, only pairs of such a view and another count.
    distance_m, angle_deg: within both of these of each other two views are co-visible.
    """
    # pairs grow with the square: a sample of a long recording says the same
    every = math.ceil(len(descriptors_nG) / MOST_VIEWS)
    descriptors_nG, map_from_camera = descriptors_nG[::every], map_from_camera[::every]
    held_out_n = None if held_out_n is None else held_out_n[::every]
    first_p, second_p = np.triu_indices(len(descriptors_nG), 1)
    if held_out_n is not None:
        apart_p = held_out_n[first_p] != held_out_n[second_p]
        first_p, second_p = first_p[apart_p], second_p[apart_p]
    covisible_p = are_covisible(map_from_camera, first_p, second_p, distance_m, angle_deg)
    cosine_p = (descriptors_nG[first_p] * descriptors_nG[second_p]).sum(1)
    angle_p = np.degrees(np.arccos(np.clip(cosine_p, -1.0, 1.0)))
    return DescriptorPairs(angle_p, covisible_p, descriptors_nG.shape[1])


def _auc(small_n: NDArray[np.float64], large_n: NDArray[np.float64]) -> float:
    """Chance that a value of the first is below one of the second (Mann-Whitney U).

    Not scipy's or scikit-learn's: these count a tie as half, and are no shorter.
    """
    ranks_n = np.searchsorted(np.sort(large_n), small_n, side="right")
    return float(1.0 - ranks_n.mean() / len(large_n))
