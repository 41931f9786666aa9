"""The feature cache of a build: which drives of it were encoded before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros import __version__
from glace_ros.commands.build_map_fingerprint import hash_of, of_camera, of_frames, of_views
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.mapping.views.feature_cache import FeatureCache
from glace_ros.maps.default_location import features_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from rich.console import Console

    from glace_ros.commands.build_map_config import BuildRequest
    from glace_ros.mapping.views.encoded_views import EncodedViews
    from glace_ros.ranks import Ranks
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.recording_info import RecordingInfo

VERSION = 2
"""To be raised when encoding, or `mapping/views/feature_cache.py`, gives something else."""


def feature_cache(
    request: BuildRequest,
    reader: DrivesReader,
    weights: Sequence[str],
    device: torch.device,
    ranks: Ranks,
    console: Console,
) -> FeatureCache | None:
    """None where the request says so, or where that is said: several processes share the images, or
    they are encoded again and again to fill a buffer.

    weights: hashes of the encoders' weights.
    device: where the encoders compute.
    """
    buffer = request.config.buffer
    if not request.features_cache_gb:
        return None
    if ranks.count > 1 or buffer.samples or buffer.sampled:
        why = "several processes share them" if ranks.count > 1 else "the preset samples them"
        console.print(f"features: not kept for later builds, as {why}", highlight=False)
        return None
    drives = zip(reader.drives, reader.content_hashes, strict=True)
    keys = [
        features_key(request, drive.info, content, weights, device) for drive, content in drives
    ]
    return FeatureCache(features_folder(), keys, int(request.features_cache_gb * 2**30))


def features_key(
    request: BuildRequest,
    drive: RecordingInfo,
    content_hash: str,
    weights: Sequence[str],
    device: torch.device,
) -> str:
    """sha256 (hex) over all that a drive's features depend on.

    drive: with the topics that are read of it.
    content_hash: of the drive.
    weights, device: as in `feature_cache`; each device rounds in its own way.
    """
    config = request.config
    return hash_of(
        {
            "version": [VERSION, __version__],
            "content": content_hash,
            "topics": [drive.image_topic, drive.camera_info_topic, drive.pose_source],
            "transforms": [
                request.recording.tf_topic,
                request.recording.tf_static_topic,
                request.recording.max_pose_gap,
                drive.base_from_camera.matrix_44.tolist(),
            ],
            "weights": list(weights),
            "device": device.type,
            "local_encoder": config.local_encoder,
            "r2former": str(GlobalEncoderName.parse(config.global_encoder).r2former),
            "seed": config.seed,
            "holdout": request.holdout,
            **({"values": str(drive.value_range)} if drive.value_range else {}),
            **of_camera(request.recording),
            **of_frames(request.selection),
            **of_views(config.buffer, config.augmentation, None),
        }
    )


def print_features(console: Console, reader: DrivesReader, collected: EncodedViews) -> None:
    """Of which drives the features were there already, and what is wrong with the cache."""
    cache = collected.cache
    if cache is None:
        return
    for number, images in enumerate(np.bincount(collected.views.drives_v)):
        if found := cache.found[number]:
            part = "" if found == images else f"{found} of {images} images "
            name = reader.names[number]
            console.print(f"features of {name}: {part}from the cache", highlight=False)
    for note in cache.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
