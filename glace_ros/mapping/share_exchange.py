"""What ranks tell each other of their parts: patches for triangulation, points for landmarks.

Everything else that they have in common, poses and intrinsics, each reads from the recording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.features.local_features import LocalFeatures
from glace_ros.mapping.views.feature_buffer import FeatureBuffer
from glace_ros.mapping.views.mapping_views import Samples

if TYPE_CHECKING:
    from glace_ros.mapping.views.mapping_views import MappingViews
    from glace_ros.ranks import Ranks

_VIEWS_AT_ONCE = 128


def exchange_features(views: MappingViews, ranks: Ranks, max_bytes: int) -> None:
    """Lend every rank the own patches of all views, until `views.forget_lent`.

    They take max_bytes at most: of a very long recording only the best patches of each view.
    """
    channels = views.samples.descriptors_nC.shape[1]
    most = min(views.patches, max_bytes // ((2 * channels + 12) * len(views)))
    most = int(min(ranks.gather_number(most)))
    lent: list[LocalFeatures] = []
    step = _VIEWS_AT_ONCE * ranks.count
    for first in range(0, len(views), step):
        block = range(first, min(first + step, len(views)))
        own = [view for view in block if ranks.owns(view)]
        count_b = torch.zeros(_VIEWS_AT_ONCE, dtype=torch.int64)
        descriptors_bnC = torch.zeros(_VIEWS_AT_ONCE, most, channels, dtype=torch.float16)
        places_bn3 = torch.zeros(_VIEWS_AT_ONCE, most, 3)
        for slot, view in enumerate(own):
            features = views.features(view).head(most)
            count = len(features.scores_n)
            count_b[slot] = count
            descriptors_bnC[slot, :count] = features.descriptors_nC
            places_bn3[slot, :count, :2] = features.pixels_n2
            places_bn3[slot, :count, 2] = features.scores_n
        counts, descriptors, places = (
            ranks.gather(tensor) for tensor in (count_b, descriptors_bnC, places_bn3)
        )
        for view in block:
            rank, slot = view % ranks.count, (view - first) // ranks.count
            count = int(counts[rank][slot])
            lent.append(
                LocalFeatures(
                    descriptors[rank][slot, :count].clone(),
                    places[rank][slot, :count, :2].clone(),
                    places[rank][slot, :count, 2].clone(),
                )
            )
    views.lend(lent)


def gather_triangulated(buffer: FeatureBuffer, ranks: Ranks, most: int, seed: int) -> FeatureBuffer:
    """The triangulated samples of all ranks' buffers in one, at most about `most` of them."""
    if ranks.count == 1:
        return buffer
    (index_n,) = torch.nonzero(buffer.samples.has_point_n.cpu(), as_tuple=True)
    chosen_n = np.random.default_rng((seed, ranks.rank)).permutation(len(index_n))
    chosen_n = np.sort(chosen_n[: most // ranks.count])
    index_n = index_n[torch.from_numpy(chosen_n)].to(buffer.samples.view_n.device)
    own = [tensor[index_n].cpu() for tensor in buffer.samples]
    counts = [int(count) for count in ranks.gather_number(len(index_n))]
    padding = max(counts) - len(index_n)
    padded = [torch.cat([tensor, tensor.new_zeros(padding, *tensor.shape[1:])]) for tensor in own]
    gathered = [
        torch.cat([part[:count] for part, count in zip(ranks.gather(tensor), counts, strict=True)])
        for tensor in padded
    ]
    return FeatureBuffer(Samples(*gathered), buffer.views, buffer.origin_3, torch.device("cpu"))
