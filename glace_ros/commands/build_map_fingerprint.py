"""The name of a build's unfinished work: `--resume` goes on from files of the same name alone.

What the work depends on is written out here, value by value, under keys that stay when a field of a
configuration is renamed. A new field belongs into one of the lists below or into
NOT_OF_THE_MAP; a test says so.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.command_line.recording_options import RecordingChoice
    from glace_ros.commands.build_map_config import BuildRequest
    from glace_ros.mapping.landmark_selection import LandmarkConfig
    from glace_ros.mapping.map_builder_config import MapBuilderConfig
    from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
    from glace_ros.mapping.views.augmentation import AugmentationConfig
    from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
    from glace_ros.mapping.views.triangulation import TriangulationConfig
    from glace_ros.maps.coordinate_head import CoordinateHeadConfig
    from glace_ros.recording.frame_selection import FrameSelection

VERSION = 3
"""To be raised when a key below changes its meaning, or when files of unfinished work that older
code left can no longer be gone on from though no value changed."""

NOT_OF_THE_MAP = frozenset(
    {
        # how long and with what it is worked: may change between two runs
        "config.minutes",  # but not whether it is minutes that count: see "schedule"
        "config.buffer.max_bytes",  # with less memory, what was restored is thinned
        "config.trainer.checkpoint_every_s",
        "device",
        "features_cache_gb",  # where features come from, which are the same
        "resume",
        "dry_run",
        # where results go: the files of unfinished work lie beside the output
        "output",
        "json",
        "report",
        # the builder sets them from the encoder, the views and the seed of the whole
        "config.head.local_channels",
        "config.head.global_channels",
        "config.head.scaled_inputs",
        "config.trainer.seed",
    }
)
"""Fields of BuildRequest, as paths, on which unfinished work does not depend."""


def fingerprint(request: BuildRequest, content_hash: str, weights: Sequence[str]) -> str:
    """sha256 (hex) over all that unfinished work depends on.

    content_hash: of all drives, in their order.
    weights: hashes of the encoders' weights.
    """
    values = {"version": VERSION, "recording.content": content_hash, "weights": list(weights)}
    values |= _of_recording(request) | _of_config(request.config)
    return hash_of(values)


def hash_of(values: dict[str, Any]) -> str:
    """sha256 (hex) over what JSON can hold."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _of_recording(request: BuildRequest) -> dict[str, Any]:
    recording = request.recording
    return {
        "recording.bag": list(recording.bags),
        "recording.scene": list(recording.scenes),
        "recording.image_topic": recording.image_topic,
        "recording.camera_info_topic": recording.camera_info_topic,
        "recording.pose_source": recording.pose_source,
        "recording.tf_topic": recording.tf_topic,
        "recording.tf_static_topic": recording.tf_static_topic,
        "recording.max_pose_gap_s": recording.max_pose_gap,
        "holdout": request.holdout,
        "refine_poses": request.refine_poses,
        "calibrate": request.calibrate,
        "refine_intrinsics": request.refine_intrinsics,
        **of_frames(request.selection),
        **of_camera(recording),
    }


def of_camera(recording: RecordingChoice) -> dict[str, Any]:
    """What was given of the camera; nothing where it is recorded."""
    values: dict[str, Any] = {}
    if recording.camera_info is not None:
        path = Path(recording.camera_info)
        content = path.read_bytes() if path.is_file() else b""  # reading it says what is wrong
        values["camera_info"] = [str(path), hashlib.sha256(content).hexdigest()]
    if recording.camera_pose is not None:
        values["camera_pose"] = str(recording.camera_pose)
    return values


def of_frames(selection: FrameSelection) -> dict[str, Any]:
    """What makes a keyframe."""
    return {
        "keyframes.distance_m": selection.keyframe_distance_m,
        "keyframes.angle_deg": selection.keyframe_angle_deg,
        "keyframes.min_sharpness": selection.min_sharpness,
        "keyframes.skip_repeated": selection.skip_repeated,
    }


def _of_config(config: MapBuilderConfig) -> dict[str, Any]:
    vlad = config.vlad
    return {
        "schedule": "minutes" if config.minutes > 0 else "iterations",
        "local_encoder": config.local_encoder,
        "global_encoder": config.global_encoder,
        "sigma": config.sigma,
        "neighbour_descriptors": config.neighbour_descriptors,
        "ensemble": config.ensemble,
        "preset": config.preset,
        "seed": config.seed,
        "vlad.words": vlad.words,
        "vlad.channels": vlad.channels,
        "vlad.patches": vlad.patches,
        "vlad.shrinkage": vlad.shrinkage,
        "refinement": asdict(config.refinement),
        **of_views(config.buffer, config.augmentation, config.triangulation),
        **_of_landmarks(config.landmarks),
        **{f"tracks.{name}": value for name, value in vars(config.tracks).items()},
        **_of_head(config.head),
        "narrow_head": config.narrow_head and asdict(config.narrow_head),
        **_of_trainer(config.trainer),
    }


def of_views(
    buffer: FeatureBufferConfig,
    augmentation: AugmentationConfig,
    triangulation: TriangulationConfig | None,
) -> dict[str, Any]:
    """What makes features, and points of them where they are triangulated."""
    values = {
        "buffer.patches": buffer.patches,
        "buffer.short_side_px": buffer.short_side_px,
        "buffer.samples": buffer.samples,
        "buffer.sampled": buffer.sampled,
        "buffer.transfer_px": buffer.transfer_px,
        "augmentation.views": augmentation.views,
        "augmentation.plain_first": augmentation.plain_first,
        "augmentation.scale": augmentation.scale,
        "augmentation.roll_deg": augmentation.roll_deg,
        "augmentation.brightness": augmentation.brightness,
        "augmentation.contrast": augmentation.contrast,
        "augmentation.even_scale": augmentation.even_scale,
    }
    if triangulation:
        values |= {
            "triangulation.neighbours": triangulation.neighbours,
            "triangulation.distance_m": triangulation.distance_m,
            "triangulation.angle_deg": triangulation.angle_deg,
            "triangulation.min_cosine": triangulation.min_cosine,
            "triangulation.epipolar_px": triangulation.epipolar_px,
            "triangulation.reprojection_px": triangulation.reprojection_px,
            "triangulation.min_views": triangulation.min_views,
            "triangulation.min_parallax_deg": triangulation.min_parallax_deg,
        }
    return values


def _of_landmarks(landmarks: LandmarkConfig) -> dict[str, Any]:
    return {
        "landmarks.most": landmarks.most,
        "landmarks.per_view": landmarks.per_view,
        "landmarks.limit": landmarks.limit,
        "landmarks.min_views": landmarks.min_views,
        "landmarks.radius_px": landmarks.radius_px,
        "landmarks.radius_max_m": landmarks.radius_max_m,
        "landmarks.min_cosine": landmarks.min_cosine,
        "landmarks.twin_views": landmarks.twin_views,
        "landmarks.apart_m": landmarks.apart_m,
        "landmarks.observations": landmarks.observations,
    }


def _of_head(head: CoordinateHeadConfig) -> dict[str, Any]:
    values: dict[str, Any] = {
        "head.width": head.width,
        "head.blocks": head.blocks,
        "head.mlp_ratio": head.mlp_ratio,
        "head.clusters": head.clusters,
    }
    if head.scale:
        values |= {
            "head.scale.max_scale": head.scale.max_scale,
            "head.scale.min_scale": head.scale.min_scale,
            "head.scale.max_inv_scale": head.scale.max_inv_scale,
            "head.scale.min_inv_scale": head.scale.min_inv_scale,
            "head.scale.h_beta": head.scale.h_beta,
        }
    return values


def _of_trainer(trainer: MapTrainerConfig) -> dict[str, Any]:
    return {
        "trainer.batch": trainer.batch,
        "trainer.learning_rate": trainer.learning_rate,
        "trainer.weight_decay": trainer.weight_decay,
        "trainer.warm_up": trainer.warm_up,
        "trainer.point_preference": trainer.point_preference,
        "trainer.iterations": trainer.iterations,
        "trainer.open_end.warm_up_steps": trainer.open_end.warm_up_steps,
        "trainer.open_end.first_look": trainer.open_end.first_look,
        "trainer.open_end.second_look": trainer.open_end.second_look,
        "trainer.open_end.look_growth": trainer.open_end.look_growth,
        "trainer.open_end.cool_down": trainer.open_end.cool_down,
        "loss.tau_max_px": trainer.loss.tau_max_px,
        "loss.tau_min_px": trainer.loss.tau_min_px,
        "loss.error_norm": trainer.loss.error_norm,
        "loss.point_weight": trainer.loss.point_weight,
        "loss.metres_weight": trainer.loss.metres_weight,
        "loss.near_m": trainer.loss.near_m,
    }
