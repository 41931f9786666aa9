"""Look-alike rooms: small offices with the same furniture, posters and layout.

Each has its own view from window and door, screen, lamp and things left about: the rest is equal
to the texel. A room is built and photographed by itself; `room_origin_m` says where it lies in the
building, whose walls and shafts keep rooms apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.simulation import furniture, wall_hangings
from glace_ros.simulation.building import (
    PLAIN,
    Building,
    BuildingConfig,
    floor_and_ceiling,
    wall,
    wall_paint,
)
from glace_ros.simulation.panels import Placement, Scene

ROOM_CAMERA = Camera(320, 240, 226.0, 225.2, 160.3, 118.9)
# REP-103: x ahead, y left, z up -> the optical frame's z ahead, x right, y down
_LINK_FROM_OPTICAL_33 = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class LookAlikeRoomsConfig:
    """One room's shape, and how it is photographed by a camera in somebody's hand."""

    side_m: float = 3.2
    """Of the square floor."""
    height_m: float = 2.5
    """Of the ceiling."""
    pitch_m: float = 5.0
    """Of the grid on which rooms lie."""
    notes: int = 8
    """Small papers on the walls that no other room has."""
    mapping: int = 40
    """Mapping images of a room."""
    queries: int = 12
    """Query images of a room."""
    apart_m: float = 0.06
    """By how much each query differs from every mapping image in position."""
    apart_deg: float = 3.0
    """And in angle."""
    texels_per_m: float = 160.0
    """Detail of the textures."""
    camera: Camera = ROOM_CAMERA
    """Of all images."""
    seed: int = 11
    """Of the textures, the poses and the pictures' noise."""


def build_room(config: LookAlikeRoomsConfig, room: int) -> Building:
    """The room, its floor's corner at the origin; equal for equal seeds, whatever rooms exist."""
    scene, side_m = Scene(), config.side_m
    place = Placement(scene, 0.0, 0.0, 0, config.texels_per_m)
    shape = BuildingConfig(
        rooms=1, room_width_m=side_m, room_depth_m=side_m, height_m=config.height_m,
        texels_per_m=config.texels_per_m, seed=config.seed,
    )  # fmt: skip
    alike = np.random.default_rng([config.seed, 0])
    own = np.random.default_rng([config.seed, 1, room])
    floor_and_ceiling(place, shape, alike, (side_m, side_m))
    paint = wall_paint(alike, config.texels_per_m, PLAIN)
    walls = [
        place.at(x * side_m, y * side_m, turns)
        for x, y, turns in ((0, 1, 0), (1, 1, 3), (1, 0, 2), (0, 0, 1))
    ]
    for side in walls:
        wall(side, side_m, config.height_m, [], paint)
    _furnish(walls, side_m, alike, own)
    for _ in range(config.notes):
        side = walls[int(own.integers(4))]
        spot = side.at(own.uniform(0.2, side_m - 0.2), -0.03 - own.uniform(0, 0.01))
        wall_hangings.picture(spot, own, (own.uniform(0.2, 0.3), 0.2), own.uniform(1.1, 1.9))
    furniture.lamp(place.at(*own.uniform(0.6, side_m - 0.6, 2)), config.height_m - 0.03)
    return Building(shape, scene.panels, np.array(scene.obstacles).reshape(-1, 4))


def _furnish(
    walls: list[Placement], side_m: float, alike: np.random.Generator, own: np.random.Generator
) -> None:
    """Furniture for the walls of a room.

    alike: draws what all rooms share.
    own: draws what this one has alone.
    """
    back, right, front, left = walls
    middle_m = side_m / 2
    wall_hangings.window(back.at(middle_m, 0), own)
    furniture.cabinet(back.at(middle_m, 0), alike, (1.6, 0.35, 0.75), things=own)
    furniture.desk(right.at(middle_m, 0), alike, things=own)
    furniture.book_case(left.at(middle_m, 0), alike, 1.6, 1.7, things=own)
    wall_hangings.doorway(front.at(0.32 * side_m, 0), own)
    wall_hangings.pin_board(front.at(0.74 * side_m, 0), alike)
    furniture.boxes(left.at(0.12 * side_m, 0), own)
    furniture.rug(front.at(middle_m, -middle_m), alike, (1.5, 1.9))
    for side, ratio in ((back, 0.1), (back, 0.9), (right, 0.13), (right, 0.4), (right, 0.82),
                        (left, 0.87), (front, 0.085)):  # fmt: skip
        size_m = (float(alike.uniform(0.5, 0.8)), float(alike.uniform(0.35, 0.5)))
        wall_hangings.picture(side.at(ratio * side_m, 0), alike, size_m, alike.uniform(1.4, 1.7))


def room_origin_m(config: LookAlikeRoomsConfig, room: int, rooms: int) -> NDArray[np.float64]:
    """(3,) where the room's origin lies in a building of so many: a square grid, as in the paper's
    integrated rooms.
    """
    columns = math.ceil(math.sqrt(rooms))
    row, column = divmod(room, columns)
    return config.pitch_m * np.array([row, column, 0.0])


def mapping_poses(config: LookAlikeRoomsConfig, room: int) -> list[Pose]:
    """room_from_camera of a walk once around, turning three times: every wall from many places."""
    rng = np.random.default_rng([config.seed, 2, room])
    share_n = (np.arange(config.mapping) + rng.uniform(-0.3, 0.3, config.mapping)) / config.mapping
    phase = rng.uniform(0, 2 * np.pi, 5)
    around_n = 2 * np.pi * share_n
    radius_n = 0.45 + 0.15 * np.sin(2 * around_n + phase[1])
    x_n = config.side_m / 2 + radius_n * np.cos(around_n + phase[0])
    y_n = config.side_m / 2 + radius_n * np.sin(around_n + phase[0])
    z_n = 1.25 + 0.2 * np.sin(5 * around_n + phase[2])
    heading_n = 3 * around_n + phase[3] + rng.normal(0, 0.05, config.mapping)
    up_n = np.radians(-8 + 8 * np.sin(7 * around_n + phase[4]))
    roll_n = np.radians(rng.normal(0, 2.5, config.mapping))
    return [
        _camera_pose(np.array([x, y, z]), heading, up, roll)
        for x, y, z, heading, up, roll in zip(x_n, y_n, z_n, heading_n, up_n, roll_n, strict=True)
    ]


def query_poses(config: LookAlikeRoomsConfig, room: int) -> list[Pose]:
    """room_from_camera of pictures off the walk, and turned otherwise than on it."""
    rng = np.random.default_rng([config.seed, 3, room])
    mapping = mapping_poses(config, room)
    queries: list[Pose] = []
    while len(queries) < config.queries:
        radius_m, around = 0.6 * math.sqrt(rng.uniform(0.02, 1.0)), rng.uniform(0, 2 * np.pi)
        centre_3 = config.side_m / 2 * np.array([1.0, 1.0, 0.0])
        offset_3 = [
            radius_m * math.cos(around),
            radius_m * math.sin(around),
            rng.uniform(1.08, 1.42),
        ]
        heading, up = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(-16, 0))
        pose = _camera_pose(centre_3 + offset_3, heading, up, np.radians(rng.normal(0, 2.5)))
        nearest_m = min(pose.distance_m(other) for other in mapping)
        least_deg = np.degrees(min(pose.angle_rad(other) for other in mapping))
        if nearest_m > config.apart_m and least_deg > config.apart_deg:
            queries.append(pose)
    return queries


def _camera_pose(position_3: NDArray[np.float64], heading: float, up: float, roll: float) -> Pose:
    turned = Rotation.from_euler("ZYX", [heading, -up, roll]).as_matrix()
    return Pose(turned @ _LINK_FROM_OPTICAL_33, position_3)
