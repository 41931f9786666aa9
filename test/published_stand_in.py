"""What ACE's published programs would leave of a simulated room: an encoder and a map of it.

The published weights are not to be had, and seeded ones do: once every channel is centred and
scaled, patches differ enough to be told apart. The map is made without this package's mapping, by
the published conventions: pixels count from the image's corner, the short side is resized to
SHORT_SIDE_PX, a cell looks at its middle, and the head is of 1x1 convolutions around a mean.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from core_scenes import looking_at
from published_networks import seeded

from glace_ros.camera import Camera
from glace_ros.features.ace_encoder import AceNetwork
from glace_ros.pose import Pose
from glace_ros.recording.scene_files import text_of_calibration, text_of_pose
from glace_ros.simulation.lookalike_rooms import LookAlikeRoomsConfig, build_room
from glace_ros.simulation.renderer import Renderer

SHORT_SIDE_PX = 168  # 480 px cost eight times as much
CAMERA = Camera(160, 120, 127.0, 124.0, 81.3, 57.4)
MAP_FROM_ROOM = Pose.from_planar(23.4, -11.7, 0.6)
_WIDTH, _STEPS, _BATCH, _RATE = 128, 400, 512, 1e-2


class View(NamedTuple):
    """A picture (height, width, 3) in RGB, and map_from_camera."""

    image_rgb_hwc: np.ndarray
    pose: Pose


class PublishedRoom:
    """A desk in a room. train, test: views from all around a point before it, and between them."""

    def __init__(self, mapping: int = 24, queries: int = 10) -> None:
        room = build_room(LookAlikeRoomsConfig(texels_per_m=80.0), 0)
        self._renderer = Renderer(room)
        rng = np.random.default_rng(4)
        around_n = (np.arange(mapping) + rng.uniform(-0.3, 0.3, mapping)) / mapping
        self.train = [self.view(_pose(rng, share)) for share in around_n]
        self.test = [self.view(_pose(rng, (k + 0.5) / queries)) for k in range(queries)]

    def view(self, map_from_camera: Pose, camera: Camera = CAMERA) -> View:
        """What a camera sees, which may have a distortion."""
        room_from_camera = MAP_FROM_ROOM.inverse() @ map_from_camera
        rng = np.random.default_rng(7)
        return View(self._renderer.photograph(camera, room_from_camera, rng), map_from_camera)

    def save_scene(self, folder: Path) -> None:
        """As a scene folder."""
        for split, views in (("train", self.train), ("test", self.test)):
            for kind in ("rgb", "poses", "calibration"):
                (folder / split / kind).mkdir(parents=True)
            for index, view in enumerate(views):
                image = folder / split / "rgb" / f"{index:03d}.png"
                assert cv2.imwrite(str(image), view.image_rgb_hwc[..., ::-1])
                text = folder / split / "poses" / f"{index:03d}.txt"
                text.write_text(text_of_pose(view.pose))
                text = folder / split / "calibration" / f"{index:03d}.txt"
                text.write_text(text_of_calibration(CAMERA))

    def save_published(self, folder: Path) -> None:
        """ace_encoder_pretrained.pt and MAP.pt."""
        images = [_as_published(view.image_rgb_hwc) for view in self.train]
        encoder = _centred_encoder(images[::6])
        torch.save(encoder.state_dict(), folder / "ace_encoder_pretrained.pt")
        with torch.no_grad():
            features_n512 = torch.cat([encoder(image)[0].flatten(1).T for image in images])
        pixels_n2, points_n3 = self._seen()
        mean_3 = points_n3.mean(dim=0).half()
        weights = self._trained(features_n512, pixels_n2, (points_n3 - mean_3).float(), mean_3)
        torch.save(_as_saved(weights) | {"mean": mean_3.reshape(1, 3, 1, 1)}, folder / "MAP.pt")

    def _trained(
        self,
        features_n512: torch.Tensor,
        pixels_n2: torch.Tensor,
        points_n3: torch.Tensor,
        mean_3: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """A head by ACE's robust reprojection error. points_n3: about the mean, where it is to end,
        which is told besides for speed.
        """
        camera_from_map_n34 = self._camera_from_map(mean_3).repeat_interleave(
            len(points_n3) // len(self.train), dim=0
        )
        weights = _untrained_head()
        optimizer = torch.optim.AdamW(weights.values(), lr=_RATE, fused=True)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
        draw = torch.Generator().manual_seed(0)
        for step in range(_STEPS):
            row_n = torch.randint(len(points_n3), (_BATCH,), generator=draw)
            found_n3 = _head(weights, features_n512[row_n])
            error_n = (_projected(found_n3, camera_from_map_n34[row_n]) - pixels_n2[row_n]).norm(
                dim=1
            )
            away_n = (found_n3 - points_n3[row_n]).norm(dim=1)
            tau = 50.0 * math.sqrt(1.0 - (step / _STEPS) ** 2) + 1.0
            optimizer.zero_grad()
            (tau * torch.tanh(error_n / tau) + 0.1 * tau * away_n).mean().backward()
            optimizer.step()
            rates.step()
        return weights

    def _camera_from_map(self, mean_3: torch.Tensor) -> torch.Tensor:
        """(views, 3, 4) of points about the mean."""
        poses = [
            Pose(pose.rotation_33, pose.translation_3 - mean_3.double().numpy())
            for _, pose in self.train
        ]
        return torch.from_numpy(np.stack([pose.inverse().matrix_44[:3] for pose in poses])).float()

    def _seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of all cells of all views: pixels (n, 2) from the image's corner, and the points (n, 3)
        there.
        """
        height, width = _size()
        j_hw, i_hw = np.meshgrid(np.arange(width // 8), np.arange(height // 8))
        pixels_c2 = np.stack([8.0 * j_hw + 4.0, 8.0 * i_hw + 4.0], axis=-1).reshape(-1, 2)
        recorded_c2 = pixels_c2 * CAMERA.height_px / SHORT_SIDE_PX - 0.5
        room_from_map = MAP_FROM_ROOM.inverse()
        points_n3 = np.concatenate([
            MAP_FROM_ROOM.transform(
                self._renderer.points(CAMERA, room_from_map @ view.pose, recorded_c2)
            )
            for view in self.train
        ])  # fmt: skip
        pixels_n2 = torch.from_numpy(pixels_c2).float().repeat(len(self.train), 1)
        return pixels_n2, torch.from_numpy(points_n3)


def _pose(rng: np.random.Generator, share: float) -> Pose:
    """map_from_camera at that share of the way around."""
    around = 2 * np.pi * share
    radius_m = 0.18 + 0.12 * np.sin(3 * around)
    position_3 = [
        0.9 + radius_m * np.cos(around),
        1.6 + 1.5 * radius_m * np.sin(around),
        1.3 + 0.12 * np.sin(2 * around + 1.0),
    ]
    target_3 = [3.2, 1.6 + rng.uniform(-0.4, 0.4), 1.0 + rng.uniform(-0.2, 0.3)]
    roll = Pose.from_rotation_vector([0, 0, 0], [0, 0, np.radians(rng.normal(0, 3))])
    return MAP_FROM_ROOM @ looking_at(np.array(position_3), np.array(target_3)) @ roll


def _size() -> tuple[int, int]:
    """(height, width) as encoded."""
    return SHORT_SIDE_PX, SHORT_SIDE_PX * CAMERA.width_px // CAMERA.height_px


def _as_published(image_rgb_hwc: np.ndarray) -> torch.Tensor:
    """(1, 1, H, W), normalised."""
    grey_hw = cv2.resize(cv2.cvtColor(image_rgb_hwc, cv2.COLOR_RGB2GRAY), _size()[::-1])
    return (torch.from_numpy(grey_hw)[None, None] / 255.0 - 0.4) / 0.25


def _centred_encoder(images: list[torch.Tensor]) -> AceNetwork:
    """ACE's network with seeded weights, each output with mean 0 and variance 1 over the images."""
    network = AceNetwork()
    shapes = {name: tuple(part.shape) for name, part in network.state_dict().items()}
    network.load_state_dict(seeded(shapes, seed=1))
    with torch.no_grad():
        values_Cn = torch.cat([network(image)[0].flatten(1) for image in images], dim=1)
        deviation_C = values_Cn.std(dim=1)
        for layer in (network.res2_conv3, network.res2_skip):  # ReLU keeps a positive factor
            layer.weight /= deviation_C[:, None, None, None]
            layer.bias /= deviation_C
        network.res2_skip.bias -= values_Cn.mean(dim=1) / deviation_C
    return network


def _projected(points_n3: torch.Tensor, camera_from_map_n34: torch.Tensor) -> torch.Tensor:
    """Pixels (n, 2) from the corner of the resized image."""
    factor = SHORT_SIDE_PX / CAMERA.height_px
    focal_2 = factor * torch.tensor((CAMERA.fx_px, CAMERA.fy_px))
    centre_2 = factor * torch.tensor((CAMERA.cx_px + 0.5, CAMERA.cy_px + 0.5))
    rotation_n33, translation_n3 = camera_from_map_n34[..., :3], camera_from_map_n34[..., 3]
    seen_n3 = torch.einsum("nij,nj->ni", rotation_n33, points_n3) + translation_n3
    return focal_2 * seen_n3[:, :2] / seen_n3[:, 2:].clamp(min=0.1) + centre_2


def _as_saved(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """In fp16, as 1x1 convolutions, with the buffers of homogeneous coordinates."""
    state = {
        name: part.detach().reshape(*part.shape, *([1, 1] if part.dim() == 2 else []))
        for name, part in weights.items()
    }
    state |= {"max_scale": torch.tensor([4.0]), "min_scale": torch.tensor([0.01]),
              "max_inv_scale": torch.tensor([0.25]), "min_inv_scale": torch.tensor([100.0]),
              "h_beta": torch.tensor([math.log(2) / 0.75])}  # fmt: skip
    return {name: part.half() for name, part in state.items()}


def _untrained_head() -> dict[str, torch.Tensor]:
    square = ("res3_conv2", "res3_conv3", "0c0", "0c1", "0c2", "fc1", "fc2")
    sizes = dict.fromkeys(square, (_WIDTH, _WIDTH))
    sizes |= {"res3_conv1": (_WIDTH, 512), "head_skip": (_WIDTH, 512), "fc3": (4, _WIDTH)}
    shapes = {f"{name}.weight": size for name, size in sizes.items()}
    shapes |= {f"{name}.bias": size[:1] for name, size in sizes.items()}
    weights = seeded(shapes, seed=3)
    for name in ("res3_conv3.weight", "0c2.weight"):
        weights[name] *= 0.5
    return {name: part.requires_grad_() for name, part in weights.items()}


def _head(weights: dict[str, torch.Tensor], x_nC: torch.Tensor) -> torch.Tensor:
    """ACE's head: points (n, 3) about its mean."""

    def through(x_nC: torch.Tensor, *names: str) -> torch.Tensor:
        for name in names:
            x_nC = torch.relu(x_nC @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
        return x_nC

    skip_nC = x_nC @ weights["head_skip.weight"].T + weights["head_skip.bias"]
    x_nC = skip_nC + through(x_nC, "res3_conv1", "res3_conv2", "res3_conv3")
    x_nC = through(x_nC + through(x_nC, "0c0", "0c1", "0c2"), "fc1", "fc2")
    raw_n4 = x_nC @ weights["fc3.weight"].T + weights["fc3.bias"]
    inverse_n1 = torch.nn.functional.softplus(raw_n4[:, 3:], beta=math.log(2) / 0.75) + 0.25
    return raw_n4[:, :3] / inverse_n1.clamp(max=100.0)
