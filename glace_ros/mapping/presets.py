"""Presets: what `--preset` stands for, as configurations of the map builder.

The paper's presets keep its batch, iterations, network, loss, augmentation and buffer, and add
nothing of ours; its encoders are `--local-encoder` and `--global-encoder`, whatever the preset.
docs/method.md lists what still differs.
"""

from __future__ import annotations

from dataclasses import replace

from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.mapping.landmark_selection import LandmarkConfig
from glace_ros.mapping.map_builder_config import MapBuilderConfig
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.training.reprojection_loss import ReprojectionLossConfig
from glace_ros.mapping.views.augmentation import AugmentationConfig
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.mapping.views.mapping_views import sample_bytes
from glace_ros.maps.coordinate_head import CoordinateHeadConfig

PAPER = {
    # name: (batch of all GPUs together, iterations, blocks, mlp ratio, clusters)
    "paper-7scenes": (5_120, 30_000, 1, 1.0, 1),
    "paper-cambridge": (4 * 40_960, 30_000, 2, 1.0, 1),
    "paper-rooms": (8 * 40_960, 100_000, 1, 1.0, 50),
    "paper-aachen": (8 * 40_960, 100_000, 3, 2.0, 50),
}
PRESETS = ("fast", "default", "quality", *PAPER)
_BUFFER_SAMPLES, _ACE_CHANNELS = 16_000_000, 512
_SIGMA = 0.1


def preset(name: str) -> MapBuilderConfig:
    """The configuration of a preset, one of PRESETS. Raises KeyError for another name."""
    config = MapBuilderConfig(preset=name)
    if name == "default":
        return config
    if name == "fast":
        return replace(config, minutes=2.0)
    if name == "quality":
        return replace(
            config,
            minutes=15.0,
            head=replace(config.head, width=384),
            narrow_head=None,
            augmentation=replace(config.augmentation, views=2),
        )
    batch, iterations, blocks, mlp_ratio, clusters = PAPER[name]
    return replace(
        config,
        minutes=0.0,
        head=CoordinateHeadConfig(width=768, blocks=blocks, mlp_ratio=mlp_ratio, clusters=clusters),
        narrow_head=None,
        augmentation=AugmentationConfig(even_scale=True),
        # each process has its own: 64 million of four, 128 million of eight
        buffer=FeatureBufferConfig(
            patches=1024,
            max_bytes=_BUFFER_SAMPLES * sample_bytes(_ACE_CHANNELS),
            samples=_BUFFER_SAMPLES,
            sampled=True,
        ),
        triangulation=None,
        landmarks=LandmarkConfig(most=0),
        trainer=MapTrainerConfig(
            batch=batch,
            iterations=iterations,
            learning_rate=5e-3,
            loss=ReprojectionLossConfig(error_norm=1, point_weight=0.0),
        ),
    )


def with_global_encoder(config: MapBuilderConfig, name: str) -> MapBuilderConfig:
    """A preset with that encoder. The paper's diffuse its own descriptors by the paper's sigma,
    and augment every view, but for the descriptors that are learned from the plain ones.
    """
    config = replace(config, global_encoder=name)
    if config.preset not in PAPER:
        return config
    encoder = GlobalEncoderName.parse(name)
    return replace(
        config,
        sigma=_SIGMA if encoder.r2former and not encoder.clusters else config.sigma,
        augmentation=replace(config.augmentation, plain_first=encoder.source == "vlad"),
    )
