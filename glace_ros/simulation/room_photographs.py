"""Photographs of the look-alike rooms, cached on disk: rendered once, equal on every reading."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from glace_ros.atomic_write import replacing
from glace_ros.geometry.pose import Pose
from glace_ros.recording.posed_images import PosedImage
from glace_ros.simulation.lookalike_rooms import (
    build_room,
    mapping_poses,
    query_poses,
    room_origin_m,
)
from glace_ros.simulation.program_hash import program_hash
from glace_ros.simulation.renderer import Renderer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.simulation.lookalike_rooms import LookAlikeRoomsConfig

_JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class RoomImages:
    """What was photographed in one room, with poses in the building's frame."""

    mapping: list[PosedImage]
    queries: list[PosedImage]


def room_images(
    config: LookAlikeRoomsConfig, room: int, rooms: int, folder: Path | None = None
) -> RoomImages:
    """Images of one room of a building of so many.

    folder: keeps what was rendered; a room is the same whatever the number of rooms.
    """
    poses = [*mapping_poses(config, room), *query_poses(config, room)]
    origin = Pose(np.eye(3), room_origin_m(config, room, rooms))
    images = [
        PosedImage(stamp_ns, _decode(jpeg_n), config.camera, origin @ pose)
        for stamp_ns, (jpeg_n, pose) in enumerate(
            zip(_jpegs(config, room, poses, folder), poses, strict=True)
        )
    ]
    return RoomImages(images[: config.mapping], images[config.mapping :])


def _jpegs(
    config: LookAlikeRoomsConfig, room: int, poses: list[Pose], folder: Path | None
) -> list[NDArray[np.uint8]]:
    made_of = hashlib.sha256(f"{config} {room} {program_hash()}".encode()).hexdigest()[:16]
    path = folder / f"room_{room:02d}_{made_of}.npz" if folder else None
    if path and path.is_file():
        with np.load(path) as cached:
            return np.split(cached["jpegs_n"], np.cumsum(cached["lengths_m"])[:-1])
    renderer = Renderer(build_room(config, room))
    jpegs = [
        _photograph(renderer, config.camera, pose, [config.seed, room, index])
        for index, pose in enumerate(poses)
    ]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, jpegs_n=np.concatenate(jpegs), lengths_m=[len(j) for j in jpegs])
    return jpegs


def _photograph(
    renderer: Renderer, camera: Camera, pose: Pose, seed: list[int]
) -> NDArray[np.uint8]:
    image_rgb_hwc = renderer.photograph(camera, pose, np.random.default_rng(seed))
    setting = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, jpeg_n = cv2.imencode(".jpg", image_rgb_hwc[..., ::-1], setting)
    return np.asarray(jpeg_n, dtype=np.uint8)


def _decode(jpeg_n: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image_bgr_hwc = cv2.imdecode(jpeg_n, cv2.IMREAD_COLOR)
    assert image_bgr_hwc is not None
    return np.ascontiguousarray(image_bgr_hwc[..., ::-1], dtype=np.uint8)
