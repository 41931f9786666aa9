"""Global encoder: one descriptor per image that tells which views see the same things.

VLAD (Jegou et al., CVPR 2010) over the local descriptors that are computed anyway, so a robot
needs no second backbone. Vocabulary and projection are learned from the recording
(`vlad_learning`) and travel in the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from glace_ros.features.descriptor_centres import DescriptorCentres
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.features.vlad_learning import projection, visual_words
from glace_ros.geometry.covisibility import covisible_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.geometry.pose import Pose

_MOST_IMAGES = 2000
"""That are learned from, and remembered: of 64 channels these take 256 kB of a map."""
_LONGEST_VLAD = 8192
"""d of a VLAD, at most: 128 words of XFeat's 64 channels."""


@dataclass(frozen=True)
class VladConfig:
    """How VLAD is learned."""

    words: int = 128
    """Size of the vocabulary; fewer for local descriptors of more than 64 channels, since the map
    holds the projection of words x channels.
    """
    channels: int = 64
    """G, length of a global descriptor, at most."""
    patches: int = 500
    """Local features of an image that count, the best first."""
    shrinkage: float = 0.3
    """Of the scatter between co-visible views toward the same in all directions, 0 to 1: a few
    hundred images do not show all that can change.
    """


@dataclass(frozen=True, eq=False)
class VladEncoder:
    """Soft data, hard assignment: residuals to the nearest word, weighted by the feature's score.

    All tensors are float32. d = words * C. Raises ValueError where views and positions are not as
    many.
    """

    vocabulary_wC: torch.Tensor
    """The words, in the space of local descriptors."""
    mean_d: torch.Tensor
    """Of the VLADs of the mapping images."""
    components_kd: torch.Tensor
    """The projection of a VLAD less the mean; k = G channels."""
    patches: int
    """Local features of an image that count, the best first."""
    centres_kG: torch.Tensor | None = None
    """Where given, an image's descriptor is the nearest of these (K-means, the paper's Table 6)."""
    views_vG: torch.Tensor | None = None
    """Descriptors of mapping views, for localization/place_candidates.py."""
    positions_v3: torch.Tensor | None = None
    """Where the cameras of these views were: metres from the map's origin."""

    def __post_init__(self) -> None:
        views, positions = (
            None if part is None else len(part) for part in (self.views_vG, self.positions_v3)
        )
        if views != positions:
            raise ValueError("there are not as many places as codes of views")

    @property
    def name(self) -> str:
        """As `--global-encoder` and a map file's header have it."""
        clusters = 0 if self.centres_kG is None else len(self.centres_kG)
        return str(GlobalEncoderName("vlad", clusters))

    @property
    def channels(self) -> int:
        """G, length of a descriptor."""
        return int(self.components_kd.shape[0])

    @staticmethod
    def learn(
        features: Sequence[LocalFeatures],
        map_from_camera: Sequence[Pose],
        config: VladConfig,
        seed: int,
    ) -> VladEncoder:
        """Vocabulary and projection from the mapping images; of a long recording, from images all
        along it. A recording of fewer images than channels gets shorter descriptors.

        features: of each image, the best first.
        map_from_camera: pose of each image.
        config: sizes and shrinkage.
        seed: of the vocabulary.
        """
        every = math.ceil(len(features) / _MOST_IMAGES)
        features, map_from_camera = features[::every], map_from_camera[::every]
        descriptors_nC = torch.cat([f.head(config.patches).descriptors_nC for f in features])
        words = max(1, min(config.words, _LONGEST_VLAD // descriptors_nC.shape[1]))
        vocabulary_wC = visual_words(descriptors_nC.float().cpu(), words, seed)
        vlads_nd = torch.stack([_vlad(f.head(config.patches), vocabulary_wC) for f in features])
        mean_d = vlads_nd.mean(dim=0)
        pairs_p2 = covisible_pairs(map_from_camera)
        components_kd = projection(
            (vlads_nd - mean_d).numpy(), pairs_p2, config.channels, config.shrinkage
        )
        return VladEncoder(
            vocabulary_wC, mean_d, torch.from_numpy(components_kd).float(), config.patches
        )

    def encode(self, features: LocalFeatures) -> torch.Tensor:
        """The global descriptor (G,) of an image with these local features: unit norm, or the
        nearest centre.
        """
        vlad_d = _vlad(features.head(self.patches), self.vocabulary_wC)
        descriptor_G = functional.normalize(self.components_kd @ (vlad_d - self.mean_d), dim=0)
        if self.centres_kG is None:
            return descriptor_G
        return DescriptorCentres(self.centres_kG).nearest(descriptor_G)

    def with_views(self, descriptors_vG: torch.Tensor, positions_v3: torch.Tensor) -> VladEncoder:
        """The encoder that remembers mapping views; of very many, every so many.

        descriptors_vG: the views' own, from this encoder.
        positions_v3: float32, of their cameras, metres from the map's origin.
        """
        every = math.ceil(len(descriptors_vG) / _MOST_IMAGES)
        return replace(self, views_vG=descriptors_vG[::every], positions_v3=positions_v3[::every])

    def with_clusters(self, descriptors_vG: torch.Tensor, clusters: int, seed: int) -> VladEncoder:
        """The encoder whose descriptors are the unit-norm centres of clusters of these. It
        remembers no views.

        descriptors_vG: the mapping images', from this encoder.
        clusters: K.
        seed: of the first centres.

        Raises ValueError for fewer descriptors than clusters.
        """
        centres_kG = DescriptorCentres.learn(descriptors_vG, clusters, seed).centres_kG
        return replace(self, centres_kG=centres_kG, views_vG=None, positions_v3=None)

    def map_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> VladEncoder:
        """The same encoder with each tensor changed: on another device, in another precision."""
        changed = {name: change(tensor) for name, tensor in self.tensors().items()}
        return VladEncoder(**changed, patches=self.patches)

    def to(self, device: torch.device) -> VladEncoder:
        """The same encoder on another device."""
        return self.map_tensors(lambda tensor: tensor.to(device))

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a map file has to hold of it."""
        tensors = {
            "vocabulary_wC": self.vocabulary_wC,
            "mean_d": self.mean_d,
            "components_kd": self.components_kd,
            "centres_kG": self.centres_kG,
            "views_vG": self.views_vG,
            "positions_v3": self.positions_v3,
        }
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _vlad(features: LocalFeatures, vocabulary_wC: torch.Tensor) -> torch.Tensor:
    descriptors_nC = features.descriptors_nC.float()
    word_n = torch.cdist(descriptors_nC, vocabulary_wC).argmin(dim=1)
    weight_n1 = features.scores_n.float().sqrt()[:, None]
    residuals_nC = weight_n1 * (descriptors_nC - vocabulary_wC[word_n])
    sums_wC = torch.zeros_like(vocabulary_wC).index_add_(0, word_n, residuals_nC)
    # intra-normalisation (Arandjelovic & Zisserman, CVPR 2013): no word may drown the others
    per_word_wC = functional.normalize(sums_wC, dim=1)
    return functional.normalize(per_word_wC.flatten(), dim=0)
