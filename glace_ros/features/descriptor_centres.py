"""K codes in place of all: an image's is the nearest of them (the paper's Table 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable


class DescriptorCentres:
    """centres_kG: float32, of about unit norm. It remembers no mapping views: views_vG and
    positions_v3, which VladEncoder may have, are None.
    """

    views_vG = positions_v3 = None

    def __init__(self, centres_kG: torch.Tensor) -> None:
        self.centres_kG = centres_kG

    @staticmethod
    def learn(descriptors_vG: torch.Tensor, clusters: int, seed: int) -> DescriptorCentres:
        """The unit-norm centres of `clusters` clusters of these codes, by K-means: one try, not the
        best of several as for cameras (mapping/camera_groups.py), which would change the maps.
        Raises ValueError for fewer codes than clusters.
        """
        if not 0 < clusters <= len(descriptors_vG):
            raise ValueError(f"{len(descriptors_vG)} codes do not make {clusters} clusters")
        rng = np.random.default_rng(seed)
        centres_kG, _ = kmeans2(descriptors_vG.numpy(), clusters, iter=50, minit="++", seed=rng)
        return DescriptorCentres(functional.normalize(torch.from_numpy(centres_kG).float(), dim=1))

    @property
    def name(self) -> str:
        """As `--global-encoder` and a map file's header have it, for what the codes are of."""
        return f"kmeans:{len(self.centres_kG)}"

    @property
    def channels(self) -> int:
        """Length of a code."""
        return int(self.centres_kG.shape[1])

    def nearest(self, descriptor_G: torch.Tensor) -> torch.Tensor:
        """The centre (G,) that a code is most like."""
        return self.centres_kG[(self.centres_kG @ descriptor_G).argmax()]

    def map_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> DescriptorCentres:
        """The same centres with their tensor changed: on another device, in another precision."""
        return DescriptorCentres(change(self.centres_kG))

    def to(self, device: torch.device) -> DescriptorCentres:
        """The same centres on another device."""
        return self.map_tensors(lambda tensor: tensor.to(device))

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a map file has to hold of it."""
        return {"centres_kG": self.centres_kG}
