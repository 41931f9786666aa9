"""Where the mapping cameras stood, in groups: the position decoder's centres (section 3.3 of the
paper), and the parts of a scene that the heads of an ensemble are trained on.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.vq import kmeans2

from glace_ros.errors import MappingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TRIES = 8


def cluster_centres(
    positions_v3: NDArray[np.float64], clusters: int, seed: int
) -> NDArray[np.float64]:
    """K-means centres (clusters, 3) in metres, the best of several tries: one try alone easily
    leaves a room without a centre and gives another two.

    positions_v3: in metres. There are at least as many as clusters.
    By scipy, not scikit-learn, whose centres would be others for the same seed.
    """
    rng = np.random.default_rng(seed)
    best_k3, least = positions_v3.mean(axis=0, keepdims=True), np.inf
    for _ in range(_TRIES if clusters > 1 else 0):
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # or all in one place
            warnings.simplefilter("ignore", UserWarning)  # an empty cluster: not the best try
            centres_k3, label_v = kmeans2(positions_v3, clusters, minit="++", seed=rng)
        scatter = float(np.square(positions_v3 - centres_k3[label_v]).sum())
        if scatter < least:
            best_k3, least = centres_k3, scatter
    return np.asarray(best_k3)


def camera_groups(
    positions_v3: NDArray[np.float64], groups: int, least: int, seed: int
) -> NDArray[np.int64]:
    """(v,) int64, which of so many groups each view is of: again and again, the largest is split in
    two by K-means (the ensembles of ACE, Brachmann et al., CVPR 2023).

    positions_v3: of the cameras, in metres.
    least: views that a group needs.
    Raises MappingError where one would have fewer.
    """
    group_v = np.zeros(len(positions_v3), dtype=np.int64)
    for new in range(1, groups):
        (split,) = np.nonzero(group_v == np.bincount(group_v).argmax())
        centres_23 = cluster_centres(positions_v3[split], 2, seed)
        away_n2 = np.linalg.norm(positions_v3[split, None] - centres_23, axis=2)
        group_v[split[away_n2[:, 1] < away_n2[:, 0]]] = new
    fewest = int(np.bincount(group_v, minlength=groups).min())
    if fewest < least:
        raise MappingError(
            f"of {groups} groups of the mapping cameras one has {fewest} views, and a head needs "
            f"{least}: ask for fewer with --ensemble, lower --keyframe-dist and --keyframe-angle, "
            "or record a longer drive"
        )
    return group_v
