"""A map of random weights."""

from __future__ import annotations

import torch

from glace_ros.features.local_encoder import local_encoder
from glace_ros.geometry.camera import Camera
from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig
from glace_ros.maps.scene_map import MapMetadata, SceneMap


def random_map(path, **changes):
    torch.manual_seed(0)
    shape = CoordinateHeadConfig(global_channels=0, width=32)
    encoder = local_encoder("xfeat", torch.device("cpu"))
    metadata = MapMetadata(
        map_frame="map", base_frame="base_footprint", camera_frame="camera", image_topic="/image",
        camera_info_topic="/camera_info", camera=Camera(64, 48, 60.0, 60.0, 31.5, 23.5),
        bag_name="none", bag_hash="", created="2026-01-01T00:00:00", preset="none", seed=0,
        local_encoder="xfeat", local_encoder_hash=encoder.weights_hash, global_encoder="none",
        vlad_patches=0, sigma=0.0, short_side_px=240, origin_m=(1.0, 2.0, 3.0), head=shape,
    )  # fmt: skip
    head = CoordinateHead(shape)
    with torch.no_grad():
        head.fc3.weight *= 30.0  # points metres apart
    SceneMap(metadata, [head], None).with_metadata(**changes).save(path)
