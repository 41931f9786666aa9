"""What the published programs would leave of a simulated room: encoders and a map of it, ACE's, or
of the room and its twin, GLACE's.

The published weights are not to be had, and seeded ones do: once every channel is centred and
scaled, patches and codes differ enough to be told apart. The map is made without this package's
mapping, by the published conventions: pixels count from the image's corner, the short side is
resized to SHORT_SIDE_PX, a cell looks at its middle, the head is of 1x1 convolutions around a mean,
or around centres that its logits mix, and takes an image's code before the patch's features.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from support.core_scenes import looking_at
from support.published_networks import seeded
from support.published_training import Samples, as_saved, trained_head

from glace_ros.cli import main as glace
from glace_ros.features.ace_encoder import AceNetwork
from glace_ros.features.r2former_encoder import R2FormerNetwork
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.recording.scene_files import text_of_calibration, text_of_pose
from glace_ros.simulation.lookalike_rooms import LookAlikeRoomsConfig, build_room
from glace_ros.simulation.renderer import Renderer

SHORT_SIDE_PX = 168  # 480 px cost eight times as much
CAMERA = Camera(160, 120, 127.0, 124.0, 81.3, 57.4)
CODE_SIZE = 96, 128  # 480x640 cost forty times as much
MAP_FROM_ROOMS = Pose.from_planar(23.4, -11.7, 0.6), Pose.from_planar(27.5, -14.6, 0.6)
_TWINS_COLOUR_3 = np.array([25.0, 0.0, -25.0 * 0.299 / 0.114])  # in grey, the rooms are alike
_CLUSTERS = 4


class View(NamedTuple):
    """A picture (height, width, 3) in RGB, map_from_camera, and in which of the rooms that is."""

    image_rgb_hwc: np.ndarray
    pose: Pose
    room: int


class PublishedRoom:
    """A desk in a room. train, test: views from all around a point before it, and between them.
    rooms: 1, and the map is ACE's; 2, and a twin that only colours tell from it: GLACE's.
    """

    def __init__(self, mapping: int = 24, queries: int = 10, rooms: int = 1) -> None:
        self._renderer = _renderer()
        self._rooms = rooms
        rng = np.random.default_rng(4)
        around_n = (np.arange(mapping) + rng.uniform(-0.3, 0.3, mapping)) / mapping
        poses = [_pose(rng, share) for share in around_n]
        self.train = [
            self.view(MAP_FROM_ROOMS[room] @ pose, room=room)
            for pose in poses
            for room in range(rooms)
        ]
        poses = [_pose(rng, (k + 0.5) / queries) for k in range(queries)]
        self.test = [
            self.view(MAP_FROM_ROOMS[k % rooms] @ pose, room=k % rooms)
            for k, pose in enumerate(poses)
        ]

    def view(self, map_from_camera: Pose, camera: Camera = CAMERA, room: int = 0) -> View:
        """What a camera sees, which may have a distortion."""
        room_from_camera = MAP_FROM_ROOMS[room].inverse() @ map_from_camera
        image = self._renderer.photograph(camera, room_from_camera, np.random.default_rng(7))
        if room == 1:
            image = np.clip(np.rint(image + _TWINS_COLOUR_3), 0, 255).astype(np.uint8)
        return View(image, map_from_camera, room)

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
        """ace_encoder_pretrained.pt, MAP.pt, and of two rooms CVPR23_DeitS_Rerank.pth.

        The twin's patches are taken for the room's: their features are encoded once.
        """
        images = [_as_published(view.image_rgb_hwc) for view in self.train if view.room == 0]
        encoder = _centred_encoder(images[::6])
        torch.save(encoder.state_dict(), folder / "ace_encoder_pretrained.pt")
        with torch.no_grad():
            of_room_vnC = torch.stack([encoder(image)[0].flatten(1).T for image in images])
        descriptors_vG = self._descriptors(folder) if self._rooms > 1 else None
        pixels_n2, points_vn3 = self._seen()
        centres_k3 = self._centres(points_vn3)
        origin_3 = centres_k3.double().mean(dim=0)
        weights = trained_head(
            Samples(
                of_room_vnC.repeat_interleave(self._rooms, dim=0),
                descriptors_vG,
                self._camera_from_map(origin_3),
                pixels_n2,
                (points_vn3 - origin_3).float(),
            ),
            (centres_k3 - origin_3).float(),
            _focal_and_centre(),
        )
        torch.save(as_saved(weights, centres_k3), folder / "MAP.pt")

    def _descriptors(self, folder: Path) -> torch.Tensor:
        """(views, 256) of the encoder that is saved."""
        images = [_in_colour(view.image_rgb_hwc) for view in self.train]
        network = _centred_code_network(images)
        state = {f"module.backbone.{name}": part for name, part in network.state_dict().items()}
        torch.save({"model_state_dict": state}, folder / "CVPR23_DeitS_Rerank.pth")
        with torch.no_grad():
            return torch.cat([network(image) for image in images])

    def _centres(self, points_vn3: torch.Tensor) -> torch.Tensor:
        """(K, 3) in fp16: the points' mean; of two rooms, K-means of the cameras' positions."""
        if self._rooms == 1:
            return points_vn3.mean(dim=(0, 1)).half()[None]
        positions_v3 = np.array([view.pose.translation_3 for view in self.train], np.float32)
        cv2.setRNGSeed(0)
        stop = (cv2.TERM_CRITERIA_COUNT, 20, 0.0)
        found = cv2.kmeans(positions_v3, _CLUSTERS, None, stop, 5, cv2.KMEANS_PP_CENTERS)
        return torch.from_numpy(found[2]).half()

    def _camera_from_map(self, origin_3: torch.Tensor) -> torch.Tensor:
        """(views, 3, 4) of points about the origin."""
        poses = [
            Pose(view.pose.rotation_33, view.pose.translation_3 - origin_3.numpy())
            for view in self.train
        ]
        return torch.from_numpy(np.stack([pose.inverse().matrix_44[:3] for pose in poses])).float()

    def _seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of all cells: pixels (n, 2) from the image's corner, and points (views, n, 3) there."""
        height, width = _size()
        j_hw, i_hw = np.meshgrid(np.arange(width // 8), np.arange(height // 8))
        pixels_c2 = np.stack([8.0 * j_hw + 4.0, 8.0 * i_hw + 4.0], axis=-1).reshape(-1, 2)
        recorded_c2 = pixels_c2 * CAMERA.height_px / SHORT_SIDE_PX - 0.5
        points_vn3 = np.stack([
            map_from_room.transform(
                self._renderer.points(CAMERA, map_from_room.inverse() @ view.pose, recorded_c2)
            )
            for view in self.train
            for map_from_room in [MAP_FROM_ROOMS[view.room]]
        ])  # fmt: skip
        return torch.from_numpy(pixels_c2).float(), torch.from_numpy(points_vn3)


def imported(folder: Path, room: PublishedRoom, *words: object) -> SimpleNamespace:
    """The room, the folder with its scene and its published files, and the path of the map that
    they become. Its images are small only where SHORT_SIDE_PX is patched.
    """
    room.save_scene(folder / "scene")
    room.save_published(folder)
    path = folder / "imported.glace"
    run(*import_words(folder), *words, "--head", folder / "MAP.pt", "--output", path)
    return SimpleNamespace(room=room, folder=folder, path=path)


def run(*words: object) -> None:
    """A subcommand, which must succeed."""
    assert glace([str(word) for word in words]) == 0


def import_words(folder: Path) -> tuple[object, ...]:
    """Of `import_map`, with the encoder that is in the folder."""
    return "import_map", "--encoder", folder / "ace_encoder_pretrained.pt"


@cache
def _renderer() -> Renderer:
    return Renderer(build_room(LookAlikeRoomsConfig(texels_per_m=80.0), 0))


def _pose(rng: np.random.Generator, share: float) -> Pose:
    """room_from_camera at that share of the way around."""
    around = 2 * np.pi * share
    radius_m = 0.18 + 0.12 * np.sin(3 * around)
    position_3 = [
        0.9 + radius_m * np.cos(around),
        1.6 + 1.5 * radius_m * np.sin(around),
        1.3 + 0.12 * np.sin(2 * around + 1.0),
    ]
    target_3 = [3.2, 1.6 + rng.uniform(-0.4, 0.4), 1.0 + rng.uniform(-0.2, 0.3)]
    roll = Pose.from_rotation_vector([0, 0, 0], [0, 0, np.radians(rng.normal(0, 3))])
    return looking_at(np.array(position_3), np.array(target_3)) @ roll


def _size() -> tuple[int, int]:
    """(height, width) as encoded."""
    return SHORT_SIDE_PX, SHORT_SIDE_PX * CAMERA.width_px // CAMERA.height_px


def _as_published(image_rgb_hwc: np.ndarray) -> torch.Tensor:
    """(1, 1, H, W), normalised."""
    grey_hw = cv2.resize(cv2.cvtColor(image_rgb_hwc, cv2.COLOR_RGB2GRAY), _size()[::-1])
    return (torch.from_numpy(grey_hw)[None, None] / 255.0 - 0.4) / 0.25


def _in_colour(image_rgb_hwc: np.ndarray) -> torch.Tensor:
    """(1, 3, H, W), stretched and normalised."""
    resized_hwc = cv2.resize(image_rgb_hwc.astype(np.float32) / 255.0, CODE_SIZE[::-1])
    normalised_hwc = (resized_hwc - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return torch.from_numpy(normalised_hwc).float().permute(2, 0, 1)[None]


def _centred_encoder(images: list[torch.Tensor]) -> AceNetwork:
    """ACE's network with seeded weights, each output with mean 0 and variance 1 over the images."""
    network = AceNetwork()
    _seed(network, 1)
    with torch.no_grad():
        values_Cn = torch.cat([network(image)[0].flatten(1) for image in images], dim=1)
        _centre(values_Cn, network.res2_conv3, network.res2_skip)  # ReLU keeps a positive factor
    return network


def _centred_code_network(images: list[torch.Tensor]) -> R2FormerNetwork:
    """R2Former's with seeded weights, each output with mean 0 and variance 1 over the images before
    codes are normalised.
    """
    network = R2FormerNetwork()
    _seed(network, 2)
    tokens: list[torch.Tensor] = []
    hook = network.norm.register_forward_hook(lambda *call: tokens.append(call[-1]))
    with torch.no_grad():
        for image in images:
            network(image)
        hook.remove()
        x_nC = torch.cat(tokens)
        values_nG = network.head(x_nC[:, 0]) + network.head_dist(x_nC[:, 1])
        _centre(values_nG.T, network.head, network.head_dist)
    return network


def _seed(network: torch.nn.Module, seed: int) -> None:
    shapes = {name: tuple(part.shape) for name, part in network.state_dict().items()}
    network.load_state_dict(seeded(shapes, seed=seed))


def _centre(values_Cn: torch.Tensor, *layers: torch.nn.Module) -> None:
    """Of layers whose sum gave these values: means become 0, and variances 1."""
    deviation_C = values_Cn.std(dim=1)
    for layer in layers:
        layer.weight /= deviation_C.reshape(-1, *[1] * (layer.weight.dim() - 1))
        layer.bias /= deviation_C
    layers[-1].bias -= values_Cn.mean(dim=1) / deviation_C


def _focal_and_centre() -> torch.Tensor:
    """(2, 2): focal lengths, and the principal point from the corner of the resized image."""
    of_recorded = [[CAMERA.fx_px, CAMERA.fy_px], [CAMERA.cx_px + 0.5, CAMERA.cy_px + 0.5]]
    return SHORT_SIDE_PX / CAMERA.height_px * torch.tensor(of_recorded)
