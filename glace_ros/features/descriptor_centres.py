"""K global descriptors in place of all: an image has the nearest (the paper's Table 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable


class DescriptorCentres:
    """What the map holds of an encoder whose descriptors are clustered, but not learned from it."""

    views_vG = positions_v3 = None
    """It remembers no mapping views, as VladEncoder may."""

    def __init__(self, centres_kG: torch.Tensor) -> None:
        """centres_kG: float32, of about unit norm."""
        self.centres_kG = centres_kG

    @staticmethod
    def learn(descriptors_vG: torch.Tensor, clusters: int, seed: int) -> DescriptorCentres:
        """Unit-norm centres, by K-means: one try, not the best of several as for cameras
        (mapping/camera_groups.py), which would change the maps.

        descriptors_vG: float32, unit norm, of the mapping views.
        clusters: K.
        seed: of the first centres.

        Raises ValueError for fewer descriptors than clusters.
        """
        if not 0 < clusters <= len(descriptors_vG):
            raise ValueError(f"{len(descriptors_vG)} codes do not make {clusters} clusters")
        rng = np.random.default_rng(seed)
        centres_kG, _ = kmeans2(descriptors_vG.numpy(), clusters, iter=50, minit="++", seed=rng)
        return DescriptorCentres(functional.normalize(torch.from_numpy(centres_kG).float(), dim=1))

    @property
    def channels(self) -> int:
        """G, length of a descriptor."""
        return int(self.centres_kG.shape[1])

    def nearest(self, descriptor_G: torch.Tensor) -> torch.Tensor:
        """The centre (G,) that is most similar to a unit-norm descriptor (G,)."""
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
