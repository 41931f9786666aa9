"""Global encoder: one code per image that tells which views see the same things.

VLAD (Jegou et al., CVPR 2010) over the local descriptors that are computed anyway, so a robot
needs no second backbone. Vocabulary and projection are learned from the recording and travel in
the map. The recorded poses say which views are co-visible: the projection keeps what changes
between places and drops what changes between views of one (Mikolajczyk & Matas, ICCV 2007;
docs/rooms.md has what that is worth).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.linalg import eigh
from torch.nn import functional

from glace_ros.features.descriptor_centres import DescriptorCentres
from glace_ros.geometry.covisibility import covisible_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.geometry.pose import Pose

_MOST_IMAGES = 2000
_MOST_AXES = 512
_LONGEST_VLAD = 8192


@dataclass(frozen=True)
class VladConfig:
    """words: size of the vocabulary, fewer for descriptors of more than 64 channels: the map holds
    the projection of words x channels. channels: of the code. patches: how many of an image count.

    shrinkage: of the scatter between co-visible views toward the same in all directions: a few
    hundred images do not show all that can change.
    """

    words: int = 128
    channels: int = 64
    patches: int = 500
    shrinkage: float = 0.3


class VladEncoder:
    """Soft data, hard assignment: residuals to the nearest word, weighted by the patch's score.

    vocabulary_wC, mean_d, components_kd (d = words * C, k = channels): float32. centres_kG: where
    given, an image's code is the nearest of these (the paper's K-means codes, its table 6).
    views_vG, positions_v3: codes of mapping views and where their cameras were, from the map's
    origin, for localization/place_candidates.py.
    """

    def __init__(
        self,
        vocabulary_wC: torch.Tensor,
        mean_d: torch.Tensor,
        components_kd: torch.Tensor,
        patches: int,
        centres_kG: torch.Tensor | None = None,
        views_vG: torch.Tensor | None = None,
        positions_v3: torch.Tensor | None = None,
    ) -> None:
        self.vocabulary_wC = vocabulary_wC
        self.mean_d = mean_d
        self.components_kd = components_kd
        self.patches = patches
        self.centres_kG = centres_kG
        self.views_vG, self.positions_v3 = views_vG, positions_v3
        if (views_vG is None) != (positions_v3 is None) or (
            views_vG is not None and len(views_vG) != len(positions_v3)  # type: ignore[arg-type]
        ):
            raise ValueError("there are not as many places as codes of views")

    @property
    def name(self) -> str:
        """As `--global-encoder` and a map file's header have it."""
        return "vlad" if self.centres_kG is None else f"kmeans:{len(self.centres_kG)}"

    @property
    def channels(self) -> int:
        """Length of the code."""
        return int(self.components_kd.shape[0])

    @staticmethod
    def learn(
        features: Sequence[LocalFeatures],
        map_from_camera: Sequence[Pose],
        config: VladConfig,
        seed: int,
    ) -> VladEncoder:
        """Vocabulary and projection from the mapping images' patches; of a long recording, from
        images all along it.

        A recording of fewer images than channels gets a shorter code.
        """
        every = -(-len(features) // _MOST_IMAGES)
        features, map_from_camera = features[::every], map_from_camera[::every]
        patches_nC = torch.cat([f.head(config.patches).descriptors_nC for f in features])
        words = max(1, min(config.words, _LONGEST_VLAD // patches_nC.shape[1]))
        vocabulary_wC = _words(patches_nC.float().cpu(), words, seed)
        vlads_nd = torch.stack([_vlad(f.head(config.patches), vocabulary_wC) for f in features])
        mean_d = vlads_nd.mean(dim=0)
        pairs_p2 = covisible_pairs(map_from_camera)
        components_kd = _projection((vlads_nd - mean_d).numpy(), pairs_p2, config)
        return VladEncoder(
            vocabulary_wC, mean_d, torch.from_numpy(components_kd).float(), config.patches
        )

    def encode(self, features: LocalFeatures) -> torch.Tensor:
        """The unit-norm code (channels,) of an image with these patches."""
        vlad_d = _vlad(features.head(self.patches), self.vocabulary_wC)
        descriptor_G = functional.normalize(self.components_kd @ (vlad_d - self.mean_d), dim=0)
        if self.centres_kG is None:
            return descriptor_G
        return DescriptorCentres(self.centres_kG).nearest(descriptor_G)

    def with_views(self, descriptors_vG: torch.Tensor, positions_v3: torch.Tensor) -> VladEncoder:
        """The encoder that remembers mapping views; of very many, every so many."""
        every = -(-len(descriptors_vG) // _MOST_IMAGES)
        return VladEncoder(
            **{
                **self.tensors(),
                "views_vG": descriptors_vG[::every],
                "positions_v3": positions_v3[::every],
            },
            patches=self.patches,
        )

    def with_clusters(self, descriptors_vG: torch.Tensor, clusters: int, seed: int) -> VladEncoder:
        """The encoder whose codes are the unit-norm centres of `clusters` clusters of these.

        codes_vG: the mapping images', from this encoder. Raises ValueError for fewer than clusters.
        """
        centres_kG = DescriptorCentres.learn(descriptors_vG, clusters, seed).centres_kG
        return VladEncoder(
            self.vocabulary_wC, self.mean_d, self.components_kd, self.patches, centres_kG
        )

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


def _words(patches_nC: torch.Tensor, words: int, seed: int) -> torch.Tensor:
    """K-means of a sample of the patches, from random ones: ++ costs more than it brings here.

    Not scipy's kmeans2, as for whole images' codes: it rounds otherwise, so that every map would
    change, and it does not run on PyTorch's threads.
    """
    generator = torch.Generator().manual_seed(seed)
    order_n = torch.randperm(len(patches_nC), generator=generator)
    sample_nC = patches_nC[order_n[: 400 * words]]
    words_wC = sample_nC[:words].clone()
    for _ in range(20):
        nearest_n = torch.cdist(sample_nC, words_wC).argmin(dim=1)
        count_w = torch.bincount(nearest_n, minlength=len(words_wC))
        sums_wC = torch.zeros_like(words_wC).index_add_(0, nearest_n, sample_nC)
        words_wC = torch.where(
            count_w[:, None] > 0, sums_wC / count_w.clamp(min=1)[:, None], words_wC
        )
    return words_wC


def _projection(
    vlads_nd: NDArray[np.float32], pairs_p2: NDArray[np.int64], config: VladConfig
) -> NDArray[np.float64]:
    """Rows (channels, d) along which images differ most beside what co-visible ones differ by.

    vlads_nd: less their mean. Principal components where there is no pair.
    """
    axes_rd = _principal_axes(vlads_nd, _MOST_AXES)
    if len(pairs_p2) == 0:
        return np.asarray(axes_rd[: config.channels])
    images_nr = (vlads_nd @ axes_rd.T).astype(np.float64)
    changes_pr = images_nr[pairs_p2[:, 0]] - images_nr[pairs_p2[:, 1]]
    within_rr = changes_pr.T @ changes_pr / len(changes_pr)
    within_rr += config.shrinkage * np.trace(within_rr) / len(within_rr) * np.eye(len(within_rr))
    _, directions_rr = eigh(images_nr.T @ images_nr / len(images_nr), within_rr)
    components_kd = directions_rr[:, ::-1][:, : config.channels].T @ axes_rd
    # only directions of codes count: their scale is one that fp16 holds well
    return np.asarray(components_kd / np.linalg.norm(components_kd, axis=1).max())


def _principal_axes(vlads_nd: NDArray[np.float32], most: int) -> NDArray[np.float64]:
    """At most so many unit rows (r, d), the strongest first; by the images, fewer than numbers."""
    count = len(vlads_nd)
    rank = max(1, min(count - 1, vlads_nd.shape[1], most))
    gram_nn = (vlads_nd @ vlads_nd.T).astype(np.float64)
    values_r, vectors_nr = eigh(gram_nn, subset_by_index=[count - rank, count - 1])
    values_r, vectors_nr = values_r[::-1], vectors_nr[:, ::-1]
    kept_r = values_r >= 1e-6 * values_r[0]
    axes_rd = vectors_nr[:, kept_r].T @ vlads_nd
    lengths_r1 = np.linalg.norm(axes_rd, axis=1, keepdims=True)
    return np.asarray(axes_rd / np.maximum(lengths_r1, 1e-12))


def _vlad(features: LocalFeatures, vocabulary_wC: torch.Tensor) -> torch.Tensor:
    descriptors_nC = features.descriptors_nC.float()
    words = len(vocabulary_wC)
    word_n = torch.cdist(descriptors_nC, vocabulary_wC).argmin(dim=1)
    weight_n1 = features.scores_n.float().sqrt()[:, None]
    residuals_nC = weight_n1 * (descriptors_nC - vocabulary_wC[word_n])
    sums_wC = torch.zeros_like(vocabulary_wC).index_add_(0, word_n, residuals_nC)
    # intra-normalisation (Arandjelovic & Zisserman, CVPR 2013): no word may drown the others
    per_word_wC = functional.normalize(sums_wC, dim=1)
    return functional.normalize(per_word_wC.flatten(), dim=0) if words else per_word_wC.flatten()
