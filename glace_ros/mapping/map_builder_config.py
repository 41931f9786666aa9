"""What a map is made with: the settings of every step, in one place. `presets` names some."""

from __future__ import annotations

from dataclasses import dataclass, field

from glace_ros.features.global_encoder import VladConfig
from glace_ros.mapping.landmark_selection import LandmarkConfig
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.views.augmentation import AugmentationConfig
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.mapping.views.triangulation import TriangulationConfig
from glace_ros.maps.coordinate_head import CoordinateHeadConfig


@dataclass(frozen=True)
class MapBuilderConfig:
    """minutes: of wall time for the whole build, 0 = train for trainer.iterations instead.

    global_encoder: "vlad", "none", "kmeans:K" for K of these codes without diffusion, or the
    paper's "r2former:FILE" and "kmeans:K+r2former:FILE".
    sigma: of the feature diffusion, negative = measured. neighbour_codes: half of the samples get
    the code of a co-visible view.
    triangulation None: points are left to the network, as in the paper; there are no landmarks
    without them either. So it is with a local encoder that finds no corners.
    ensemble: heads, each trained on its own group of the mapping cameras.
    """

    minutes: float = 5.0
    local_encoder: str = "xfeat"
    global_encoder: str = "vlad"
    sigma: float = -1.0
    neighbour_descriptors: bool = False
    ensemble: int = 1
    preset: str = "default"
    seed: int = 0
    head: CoordinateHeadConfig = field(default_factory=CoordinateHeadConfig)
    vlad: VladConfig = field(default_factory=VladConfig)
    buffer: FeatureBufferConfig = field(default_factory=FeatureBufferConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    triangulation: TriangulationConfig | None = field(default_factory=TriangulationConfig)
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    trainer: MapTrainerConfig = field(default_factory=MapTrainerConfig)
