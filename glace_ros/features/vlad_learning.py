"""What VLAD learns from a recording: the visual words, and the projection of its sums.

The recorded poses say which views are co-visible: the projection keeps what changes between places
and drops what changes between views of one (Mikolajczyk & Matas, ICCV 2007; docs/rooms.md has what
that is worth).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.linalg import eigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_AXES = 512
"""Principal axes of the images, at most, that are weighed against each other: the eigenproblem
is of 512 x 512 numbers however long a VLAD is.
"""
_SAMPLES_A_WORD, _ROUNDS = 400, 20
"""Of K-means, whose time they bound: 128 words are learned from 51 200 descriptors at most."""
_LEAST_VARIANCE = 1e-6
"""Of the strongest axis's: weaker ones drown in the rounding of float32 products."""


def visual_words(descriptors_nC: torch.Tensor, words: int, seed: int) -> torch.Tensor:
    """A vocabulary (words, C) by K-means of a sample, from random ones: ++ costs more than it
    brings here. Not scipy's kmeans2, as for the descriptors of whole images: it rounds otherwise,
    so that every map would change, and it does not run on PyTorch's threads.

    descriptors_nC: float32, of local features of all images.
    words: of the vocabulary; as many as there are descriptors, where these are fewer.
    seed: of the sample.
    """
    generator = torch.Generator().manual_seed(seed)
    order_n = torch.randperm(len(descriptors_nC), generator=generator)
    sample_nC = descriptors_nC[order_n[: _SAMPLES_A_WORD * words]]
    words_wC = sample_nC[:words].clone()
    for _ in range(_ROUNDS):
        nearest_n = torch.cdist(sample_nC, words_wC).argmin(dim=1)
        count_w = torch.bincount(nearest_n, minlength=len(words_wC))
        sums_wC = torch.zeros_like(words_wC).index_add_(0, nearest_n, sample_nC)
        words_wC = torch.where(
            count_w[:, None] > 0, sums_wC / count_w.clamp(min=1)[:, None], words_wC
        )
    return words_wC


def projection(
    vlads_nd: NDArray[np.float32], pairs_p2: NDArray[np.int64], channels: int, shrinkage: float
) -> NDArray[np.float64]:
    """Rows (k, d) along which images differ most beside what co-visible ones differ by: k channels,
    or fewer where there are fewer images.

    vlads_nd: VLADs of the images, less their mean.
    pairs_p2: indices of co-visible images. Principal components where there is no pair.
    channels: k, at most.
    shrinkage: of the scatter within pairs toward the same in all directions, 0 to 1.
    """
    axes_rd = _principal_axes(vlads_nd, _MOST_AXES)
    if len(pairs_p2) == 0:
        return np.asarray(axes_rd[:channels])
    images_nr = (vlads_nd @ axes_rd.T).astype(np.float64)
    changes_pr = images_nr[pairs_p2[:, 0]] - images_nr[pairs_p2[:, 1]]
    within_rr = changes_pr.T @ changes_pr / len(changes_pr)
    within_rr += shrinkage * np.trace(within_rr) / len(within_rr) * np.eye(len(within_rr))
    _, directions_rr = eigh(images_nr.T @ images_nr / len(images_nr), within_rr)
    components_kd = directions_rr[:, ::-1][:, :channels].T @ axes_rd
    # only directions of descriptors count: their scale is one that fp16 holds well
    return np.asarray(components_kd / np.linalg.norm(components_kd, axis=1).max())


def _principal_axes(vlads_nd: NDArray[np.float32], most: int) -> NDArray[np.float64]:
    """At most so many unit rows (r, d), the strongest first; by the images, fewer than numbers."""
    count = len(vlads_nd)
    rank = max(1, min(count - 1, vlads_nd.shape[1], most))
    gram_nn = (vlads_nd @ vlads_nd.T).astype(np.float64)
    values_r, vectors_nr = eigh(gram_nn, subset_by_index=[count - rank, count - 1])
    values_r, vectors_nr = values_r[::-1], vectors_nr[:, ::-1]
    strong_r = values_r >= _LEAST_VARIANCE * values_r[0]
    axes_rd = vectors_nr[:, strong_r].T @ vlads_nd
    lengths_r1 = np.linalg.norm(axes_rd, axis=1, keepdims=True)
    return np.asarray(axes_rd / np.maximum(lengths_r1, 1e-12))
