"""What a map is made with: the settings of every step, in one place. `presets` names some."""

from __future__ import annotations

from dataclasses import dataclass, field

from glace_ros.features.global_encoder import VladConfig
from glace_ros.mapping.landmark_selection import LandmarkConfig
from glace_ros.mapping.landmark_tracks import LandmarkTrackConfig
from glace_ros.mapping.pose_refinement.refinement_config import PoseRefinementConfig
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.views.augmentation import AugmentationConfig
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.mapping.views.triangulation import TriangulationConfig
from glace_ros.maps.coordinate_head import CoordinateHeadConfig


@dataclass(frozen=True)
class NarrowHeadConfig:
    """Of a map with landmarks: these make poses exact and find what the head does not, so that of
    few views a narrow head does, which trains in half the time
    (docs/experiments/2026-11-30-narrow-head.md).
    """

    width: int = 128
    """Of the layers."""
    most_views: int = 300
    """So many views are few."""


@dataclass(frozen=True)
class MapBuilderConfig:
    """What a map is made with. A new field also goes into commands/build_map_fingerprint.py."""

    minutes: float = 5.0
    """Of wall time for the whole build; 0 = train for trainer.iterations instead."""
    local_encoder: str = "xfeat"
    """Its name, as features/encoder_names.py has it."""
    global_encoder: str = "vlad"
    """"vlad", "none", "kmeans:K" for K of vlad's descriptors without diffusion, or the paper's
    "r2former:FILE" and "kmeans:K+r2former:FILE"."""
    sigma: float = -1.0
    """Of the feature diffusion, standard deviation in each dimension; negative = measured."""
    neighbour_descriptors: bool = False
    """Half of the samples get the global descriptor of a co-visible view."""
    ensemble: int = 1
    """Heads, each trained on its own group of the mapping cameras."""
    preset: str = "default"
    """What the map says it was made with: a name of `presets`."""
    seed: int = 0
    """Of everything that is random."""
    head: CoordinateHeadConfig = field(default_factory=CoordinateHeadConfig)
    """Its channels are the encoders', whatever it says."""
    narrow_head: NarrowHeadConfig | None = field(default_factory=NarrowHeadConfig)
    """How wide it is at most, of few views; None: as `head` has it."""
    vlad: VladConfig = field(default_factory=VladConfig)
    """Of the global encoder "vlad" and "kmeans:K"."""
    buffer: FeatureBufferConfig = field(default_factory=FeatureBufferConfig)
    """Which patches there are to train on."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Of the mapping images."""
    refinement: PoseRefinementConfig = field(default_factory=PoseRefinementConfig)
    """Of poses that drift."""
    triangulation: TriangulationConfig | None = field(default_factory=TriangulationConfig)
    """None: points are left to the network, as in the paper, and there are no landmarks. So it is
    with a local encoder that finds no keypoints."""
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    """Which triangulated points a map has."""
    tracks: LandmarkTrackConfig = field(default_factory=LandmarkTrackConfig)
    """How exactly these are placed."""
    trainer: MapTrainerConfig = field(default_factory=MapTrainerConfig)
    """How each head is trained; its seed counts on from that of the whole."""
