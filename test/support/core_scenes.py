"""Small worlds with a known truth for the tests of the core: dots, cameras, codes, tiny maps."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.views.feature_buffer import FeatureBuffer
from glace_ros.mapping.views.mapping_views import MappingView, Samples
from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig
from glace_ros.maps.scene_map import MapMetadata, SceneMap

# neither square pixels nor a centred principal point: nothing may rely on these
CAMERA = Camera(128, 96, fx_px=110.0, fy_px=124.0, cx_px=54.0, cy_px=51.0)


def coordinates(limit: float = 100.0) -> st.SearchStrategy[float]:
    """Any number up to `limit`."""
    return st.floats(-limit, limit, allow_nan=False, allow_infinity=False)


def poses(limit_m: float = 100.0) -> st.SearchStrategy[Pose]:
    """Any rotation, and translations up to `limit_m`."""
    return st.builds(
        Pose.from_rotation_vector,
        st.tuples(*[coordinates(limit_m)] * 3),
        st.tuples(*[coordinates(1.8)] * 3),  # at most 3.12 rad in all: below half a turn
    )


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    """Pinholes, portrait and landscape, with fx != fy and the principal point anywhere."""
    width, height = draw(st.integers(40, 2000)), draw(st.integers(40, 2000))
    fx, fy = draw(st.floats(100.0, 3000.0)), draw(st.floats(100.0, 3000.0))
    cx, cy = draw(st.floats(0.0, width)), draw(st.floats(0.0, height))
    return Camera(width, height, fx, fy, cx, cy)


def dots(width: int, height: int, pixels_n2: np.ndarray, sigma_px: float = 2.0) -> np.ndarray:
    """Grey picture (height, width) with a smooth bright dot at each pixel (centre-origin)."""
    u_w, v_h = np.arange(width), np.arange(height)
    picture_hw = np.zeros((height, width))
    for u, v in pixels_n2:
        row_w = np.exp(-((u_w - u) ** 2) / (2 * sigma_px**2))
        picture_hw += np.exp(-((v_h - v) ** 2) / (2 * sigma_px**2))[:, None] * row_w
    return (255 * np.clip(picture_hw, 0, 1)).astype(np.uint8)


def centroid(grey_hw: np.ndarray, near_2: np.ndarray, radius_px: int = 7) -> np.ndarray:
    """(u, v), centre-origin, of the bright mass within `radius_px` of a pixel."""
    v_hw, u_hw = np.mgrid[: grey_hw.shape[0], : grey_hw.shape[1]]
    inside_hw = (abs(u_hw - near_2[0]) <= radius_px) & (abs(v_hw - near_2[1]) <= radius_px)
    weight_hw = grey_hw * inside_hw.astype(float)
    return np.array([(u_hw * weight_hw).sum(), (v_hw * weight_hw).sum()]) / weight_hw.sum()


def patchwork(width: int, height: int, seed: int = 0, tile_px: int = 12) -> np.ndarray:
    """Grey picture of tiles of random brightness: corners everywhere, each another one."""
    rng = np.random.default_rng(seed)
    tiles_hw = rng.integers(20, 236, (-(-height // tile_px), -(-width // tile_px)), dtype=np.uint8)
    return np.kron(tiles_hw, np.ones((tile_px, tile_px), np.uint8))[:height, :width]


def rgb(grey_hw: np.ndarray) -> np.ndarray:
    """The grey picture as (height, width, 3)."""
    return np.ascontiguousarray(np.repeat(grey_hw[..., None], 3, axis=2))


def looking_at(position_3: np.ndarray, target_3: np.ndarray) -> Pose:
    """map_from_camera in optical axes: z towards the target, y (image down) towards map -z."""
    z_3 = (target_3 - position_3) / np.linalg.norm(target_3 - position_3)
    x_3 = np.cross(z_3, [0.0, 0.0, 1.0])
    x_3 /= np.linalg.norm(x_3)
    return Pose(np.stack([x_3, np.cross(z_3, x_3), z_3], axis=1), np.asarray(position_3, float))


def ring_of_views(count: int, radius_m: float, target_3: np.ndarray, arc_rad: float) -> list[Pose]:
    """Cameras on an arc around a target, all of them looking at it."""
    angles_n = np.linspace(-arc_rad / 2, arc_rad / 2, count)
    return [
        looking_at(target_3 + radius_m * np.array([-np.cos(a), np.sin(a), 0.1]), target_3)
        for a in angles_n
    ]


def unit_rows(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Random unit vectors (rows, columns)."""
    vectors_nC = rng.normal(size=(rows, columns))
    return vectors_nC / np.linalg.norm(vectors_nC, axis=1, keepdims=True)


def intrinsics(camera: Camera) -> torch.Tensor:
    """fx fy cx cy."""
    return torch.tensor([camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px])


def seen_points(
    points_n3: np.ndarray,
    codes_nC: np.ndarray,
    pose: Pose,
    rng: np.random.Generator,
    *,
    pixel_noise: float = 0.0,
    code_noise: float = 0.0,
    camera: Camera = CAMERA,
) -> LocalFeatures:
    """What an ideal encoder finds of the points: their codes and pixels, with noise."""
    pixels_n2 = camera.project(pose.inverse().transform(points_n3))
    pixels_n2 = pixels_n2 + rng.normal(scale=pixel_noise, size=pixels_n2.shape)
    noisy_nC = codes_nC + code_noise * unit_rows(rng, *codes_nC.shape)
    noisy_nC /= np.linalg.norm(noisy_nC, axis=1, keepdims=True)
    return LocalFeatures(
        torch.from_numpy(noisy_nC).float(),
        torch.from_numpy(pixels_n2).float(),
        torch.ones(len(pixels_n2)),
    )


def buffer_of(
    views: list[tuple[LocalFeatures, Pose]],
    origin_3: np.ndarray,
    points_n3: np.ndarray | None = None,
    camera: Camera = CAMERA,
) -> FeatureBuffer:
    """A buffer of these views; every one sees all of points_n3, which are told where given."""
    mapping_views = [MappingView(seen, pose, intrinsics(camera)) for seen, pose in views]
    count = len(views[0][0].pixels_n2)
    told_n3 = torch.zeros(count, 3)
    if points_n3 is not None:
        told_n3 = torch.from_numpy(points_n3 - origin_3).float()
    samples = Samples(
        torch.cat([seen.descriptors_nC.half() for seen, _ in views]),
        torch.cat([seen.pixels_n2 for seen, _ in views]),
        torch.arange(len(views), dtype=torch.int32).repeat_interleave(count),
        told_n3.repeat(len(views), 1),
        torch.full((count * len(views),), points_n3 is not None),
    )
    return FeatureBuffer(samples, mapping_views, origin_3, torch.device("cpu"))


def tiny_map(
    origin_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
    clusters: int = 2,
    local_encoder_hash: str = "",
    **metadata,
) -> SceneMap:
    """A small untrained map whose weights are fp16 numbers, as those of a file are."""
    config = CoordinateHeadConfig(width=16, global_channels=0, clusters=clusters)
    torch.manual_seed(7)
    head = CoordinateHead(config)
    for tensor in head.state_dict().values():
        tensor.copy_(tensor.half().float())
    head.centres_k3.copy_(12.345678 * torch.randn(clusters, 3))  # no fp16 numbers
    described = {
        "map_frame": "map", "base_frame": "base_link", "camera_frame": "camera",
        "image_topic": "/image", "camera_info_topic": "/camera_info", "camera": CAMERA,
        "bag_name": "bag", "bag_hash": "0" * 64, "created": "2025-01-01T00:00:00+00:00",
        "preset": "default", "seed": 0, "local_encoder": "xfeat",
        "local_encoder_hash": local_encoder_hash, "global_encoder": "none", "vlad_patches": 500,
        "sigma": 0.0, "short_side_px": 96, "origin_m": origin_m, "head": config,
    }  # fmt: skip
    return SceneMap(MapMetadata(**{**described, **metadata}), [head], None)
