"""Global descriptors of a recording (section 3.2 of the paper): the encoder learned from its views,
their descriptors, and how strongly training diffuses them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.errors import MappingError
from glace_ros.features.descriptor_centres import DescriptorCentres
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.features.global_encoder import VladConfig, VladEncoder
from glace_ros.geometry.covisibility import covisible_views
from glace_ros.mapping.descriptor_statistics import (
    DescriptorPairs,
    DescriptorStatistics,
    descriptor_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.map_builder_config import MapBuilderConfig
    from glace_ros.mapping.resume.encoding_journal import Cached
    from glace_ros.mapping.views.mapping_views import MappingViews

_VLAD = "vlad."


@dataclass(frozen=True, eq=False)
class GlobalDescriptors:
    """One for each view, and where they are from.

    name: of the encoder, as a map file has it.
    encoder: what the map file holds of it; None where each image has its descriptor from the user's
    own weights alone.
    descriptors_vG: float32, of unit norm.
    neighbours_vk: indices of co-visible views whose descriptors a view may be trained with.
    statistics: None where no two views are co-visible, or all are.
    """

    name: str
    encoder: VladEncoder | DescriptorCentres | None
    descriptors_vG: torch.Tensor
    neighbours_vk: torch.Tensor | None
    statistics: DescriptorStatistics | None

    @staticmethod
    def learn(
        features: Sequence[LocalFeatures],
        map_from_camera: Sequence[Pose],
        origin_3: NDArray[np.float64],
        name: str,
        config: VladConfig,
        seed: int,
        *,
        neighbour_descriptors: bool,
    ) -> GlobalDescriptors:
        """By an encoder that is learned from the recording itself.

        features: of each view, unaugmented.
        origin_3: of the map, in metres.
        name: "vlad", or "kmeans:K" for K descriptors in all (the paper's table 6).
        Raises MappingError for another name.
        """
        clusters = GlobalEncoderName.parse(name).clusters
        # through fp16, as the file will have it
        encoder = VladEncoder.learn(features, map_from_camera, config, seed).map_tensors(_rounded)
        descriptors_vG = torch.stack([encoder.encode(view) for view in features])
        if clusters:
            clustered = encoder.with_clusters(descriptors_vG, min(clusters, len(features)), seed)
            encoder = clustered.map_tensors(_rounded)
            descriptors_vG = torch.stack([encoder.encode(view) for view in features])
        else:
            places_v3 = np.stack([pose.translation_3 for pose in map_from_camera]) - origin_3
            remembering = encoder.with_views(descriptors_vG, torch.from_numpy(places_v3).float())
            encoder = remembering.map_tensors(_rounded)
        neighbours_vk = None
        if neighbour_descriptors and not clusters:
            neighbours_vk = torch.from_numpy(covisible_views(map_from_camera, seed))
        statistics = unseen_pairs(features, map_from_camera, config, seed).statistics()
        return GlobalDescriptors(encoder.name, encoder, descriptors_vG, neighbours_vk, statistics)

    @staticmethod
    def given(
        descriptors_vG: torch.Tensor,
        map_from_camera: Sequence[Pose],
        name: str,
        seed: int,
        *,
        neighbour_descriptors: bool,
    ) -> GlobalDescriptors:
        """From the images' own descriptors, by an encoder that learned nothing from this recording.

        name: "r2former:FILE", or "kmeans:K+r2former:FILE" for the nearest of K centres (table 6).
        """
        neighbours_vk, centres, encoder = None, None, GlobalEncoderName.parse(name)
        statistics = descriptor_pairs(descriptors_vG.numpy(), map_from_camera).statistics()
        if encoder.clusters:
            clusters = min(encoder.clusters, len(descriptors_vG))
            learned = DescriptorCentres.learn(descriptors_vG, clusters, seed)
            centres = learned.map_tensors(_rounded)
            descriptors_vG = torch.stack(
                [centres.nearest(descriptor_G) for descriptor_G in descriptors_vG]
            )
            name = str(replace(encoder, clusters=clusters))
        elif neighbour_descriptors:
            neighbours_vk = torch.from_numpy(covisible_views(map_from_camera, seed))
        return GlobalDescriptors(name, centres, descriptors_vG, neighbours_vk, statistics)

    @property
    def channels(self) -> int:
        """Length of a descriptor."""
        return int(self.descriptors_vG.shape[1])

    def sigma(self, wanted: float) -> float:
        """Of the diffusion: 0 for clustered descriptors, measured where wanted is negative. Raises
        MappingError where it cannot be.
        """
        if self.encoder and self.encoder.centres_kG is not None:
            return 0.0
        if wanted >= 0:
            return wanted
        if self.statistics is None:
            raise MappingError(
                "the strength of feature diffusion cannot be measured, since no two views are "
                "co-visible, or all are: give --sigma, or use --global-encoder none"
            )
        return self.statistics.sigma

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a file of unfinished work."""
        encoder = self.encoder.tensors() if self.encoder else {}
        tensors = {f"{_VLAD}{name}": part for name, part in encoder.items()}
        tensors["codes_vG"] = self.descriptors_vG
        if self.neighbours_vk is not None:
            tensors["neighbours_vk"] = self.neighbours_vk
        if self.statistics is not None:
            numbers = list(vars(self.statistics).values())
            tensors["statistics_4"] = torch.tensor(numbers, dtype=torch.float64)
        return tensors

    @staticmethod
    def from_tensors(tensors: dict[str, torch.Tensor], patches: int) -> GlobalDescriptors:
        """What `tensors` gave.

        patches: of VladConfig.
        """
        parts = {k.removeprefix(_VLAD): v for k, v in tensors.items() if k.startswith(_VLAD)}
        numbers_4 = tensors.get("statistics_4")
        encoder = VladEncoder(**parts, patches=patches)
        return GlobalDescriptors(
            encoder.name,
            encoder,
            tensors["codes_vG"],
            tensors.get("neighbours_vk"),
            None if numbers_4 is None else DescriptorStatistics(*numbers_4.tolist()),
        )


def global_descriptors_of(
    views: MappingViews,
    descriptors_vG: torch.Tensor | None,
    origin_3: NDArray[np.float64],
    config: MapBuilderConfig,
    cached: Cached,
) -> GlobalDescriptors | None:
    """Those of a recording as config wants them; None where it wants none.

    descriptors_vG: where an encoder with weights of its own gave them; None = to be learned.
    origin_3: of the map, in metres.
    cached: asked for what was learned already.
    Raises MappingError for a global encoder that is unknown.
    """
    name, seed, neighbours = config.global_encoder, config.seed, config.neighbour_descriptors
    poses = views.map_from_camera
    if name == "none":
        return None
    if descriptors_vG is not None:
        return GlobalDescriptors.given(
            descriptors_vG, poses, name, seed, neighbour_descriptors=neighbours
        )

    def learn() -> dict[str, torch.Tensor]:
        features = [view.features for view in views]
        return GlobalDescriptors.learn(
            features, poses, origin_3, name, config.vlad, seed, neighbour_descriptors=neighbours
        ).tensors()

    return GlobalDescriptors.from_tensors(cached("codes", learn), config.vlad.patches)


def unseen_pairs(
    features: Sequence[LocalFeatures],
    map_from_camera: Sequence[Pose],
    config: VladConfig,
    seed: int,
    distance_m: float = 1.0,
    angle_deg: float = 30.0,
) -> DescriptorPairs:
    """Of views that a VLAD encoder was not learned from: a query is none of those either."""
    held_out_n = np.arange(len(features)) % 4 == 2
    others = np.flatnonzero(~held_out_n)
    encoder = VladEncoder.learn(
        [features[i] for i in others], [map_from_camera[i] for i in others], config, seed
    )
    descriptors_vG = torch.stack([encoder.encode(view) for view in features])
    return descriptor_pairs(
        descriptors_vG.numpy(), map_from_camera, held_out_n, distance_m, angle_deg
    )


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().float()
