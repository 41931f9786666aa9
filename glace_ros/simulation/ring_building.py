"""A floor of offices around a ring of corridors: a drive through it closes real loops.

The map's origin is the ring's outer corner in the south-west; x runs east, y north. Rooms lie south
and north of the ring and, within it, in a core whose rooms open to the south and the north in turn.
Two rooms are twins: the same to the texel but for what lies about, notes, and the window's view.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.simulation import furniture, wall_hangings
from glace_ros.simulation.building import (
    PLAIN,
    WALL_M,
    Building,
    BuildingConfig,
    door_frame,
    floor_and_ceiling,
    room_shell,
    wall,
    wall_paint,
)
from glace_ros.simulation.lighting import Light
from glace_ros.simulation.panels import Placement, Scene
from glace_ros.simulation.room_pieces import Look, furnish_room, hang_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

_CORRIDOR_LOOK = 100
_PICTURE_PITCH_M = 0.95
_FURNITURE_PITCH_M = 4.3


@dataclass(frozen=True)
class RingConfig:
    """The floor's plan, and the day."""

    shell: BuildingConfig = field(
        default_factory=lambda: BuildingConfig(
            rooms=5, corridor_width_m=2.0, texels_per_m=170.0, seed=21
        )
    )
    """Sizes of rooms and corridors; so many rooms are in the southern row, and in the northern."""
    core_rooms: int = 4
    """Within the ring."""
    twins: tuple[int, int] = (1, 3)
    """The two rooms that look alike."""
    day: int = 0
    """Another day has some furniture and pictures elsewhere."""
    light: Light = field(default_factory=Light)
    """Of the day."""

    @property
    def rooms(self) -> int:
        """How many there are: the southern row, the northern row, the core, each from the west."""
        return 2 * self.shell.rooms + self.core_rooms

    @property
    def width_m(self) -> float:
        """Of the ring, outer wall to outer wall, from south to north."""
        return 2 * self.shell.corridor_width_m + self.shell.room_depth_m + WALL_M

    @property
    def core_room_width_m(self) -> float:
        """Of a room within the ring, walls included."""
        return (self.shell.length_m - 2 * self.shell.corridor_width_m) / self.core_rooms


@dataclass(frozen=True, eq=False)
class Room:
    """One room.

    place: its floor's corner to the left of the door, as who enters sees it; y leads into it.
    size_m: width and depth of its floor.
    """

    place: Placement
    size_m: tuple[float, float]

    @property
    def doorstep(self) -> Placement:
        """In the corridor, before the middle of the door: its wall's face there."""
        return self.place.at(self.size_m[0] / 2, -WALL_M)


def rooms(config: RingConfig, scene: Scene | None = None) -> list[Room]:
    """All rooms in their order."""
    shell, width_m = config.shell, config.width_m
    ground = Placement(scene or Scene(), 0.0, 0.0, 0, shell.texels_per_m)
    size_m = (shell.room_width_m - WALL_M, shell.room_depth_m - WALL_M)
    half_m = size_m[0] / 2
    found = [
        Room(ground.at(shell.door_x_m(room) + half_m, -WALL_M, 2), size_m)
        for room in range(shell.rooms)
    ]
    found += [
        Room(ground.at(shell.door_x_m(room) - half_m, width_m + WALL_M), size_m)
        for room in range(shell.rooms)
    ]
    core_m = config.core_room_width_m
    for room in range(config.core_rooms):
        west_m = shell.corridor_width_m + room * core_m + WALL_M / 2
        south_m = shell.corridor_width_m + WALL_M
        place = ground.at(west_m, south_m)
        if room % 2:
            place = ground.at(west_m + core_m - WALL_M, south_m + size_m[1], 2)
        found.append(Room(place, (core_m - WALL_M, size_m[1])))
    return found


def build_ring(config: RingConfig) -> Building:
    """The furnished floor; equal configs give equal floors, texture by texture."""
    scene, shell = Scene(), config.shell
    _corridors(Placement(scene, 0.0, 0.0, 0, shell.texels_per_m), config)
    for number, room in enumerate(rooms(config, scene)):
        name = config.twins[0] if number == config.twins[1] else number
        look = Look(shell.seed, name, config.day, number)
        room_shell(room.place, shell, look.rng(0), room.size_m)
        furnish_room(room.place, look, *room.size_m)
        door_frame(room.doorstep, look.rng(6))
    return Building(shell, scene.panels, np.array(scene.obstacles).reshape(-1, 4), config.light)


def _corridors(ground: Placement, config: RingConfig) -> None:
    """The ring's floors, ceilings and walls, and what stands and hangs there."""
    shell, length_m, width_m = config.shell, config.shell.length_m, config.width_m
    across_m, between_m = shell.corridor_width_m, width_m - 2 * shell.corridor_width_m
    looks = (Look(shell.seed, _CORRIDOR_LOOK + part, config.day) for part in range(12))
    for corner, size_m in (
        (ground, (length_m, across_m)),
        (ground.at(0, width_m - across_m), (length_m, across_m)),
        (ground.at(across_m, across_m, 1), (between_m, across_m)),
        (ground.at(length_m, across_m, 1), (between_m, across_m)),
    ):
        floor_and_ceiling(corner, shell, next(looks).rng(0), size_m)
    for side, long_m, doors_m, look in zip(*_walls(ground, config), looks, strict=True):
        paint = wall_paint(look.rng(0), shell.texels_per_m, PLAIN)
        wall(side, long_m, shell.height_m, doors_m, paint)
        _line(side, long_m, doors_m, look)


def _walls(
    ground: Placement, config: RingConfig
) -> tuple[list[Placement], list[float], list[list[float]]]:
    """Of the ring's walls, the outer ones first: left end, length, middles of the doors in it."""
    length_m, width_m = config.shell.length_m, config.width_m
    across_m = config.shell.corridor_width_m
    core_m, between_m = length_m - 2 * across_m, width_m - 2 * across_m
    outer_m = [config.shell.door_x_m(room) for room in range(config.shell.rooms)]
    inner_m = [(room + 0.5) * config.core_room_width_m for room in range(config.core_rooms)]
    places = [
        ground.at(length_m, 0, 2), ground.at(0, width_m), ground.at(0, 0, 1),
        ground.at(length_m, width_m, 3),
        ground.at(across_m, across_m), ground.at(length_m - across_m, width_m - across_m, 2),
        ground.at(across_m, width_m - across_m, 3), ground.at(length_m - across_m, across_m, 1),
    ]  # fmt: skip
    lengths_m = [length_m, length_m, width_m, width_m, core_m, core_m, between_m, between_m]
    doors_m: list[list[float]] = [
        [length_m - x_m for x_m in reversed(outer_m)], outer_m, [], [],
        inner_m[::2], [core_m - x_m for x_m in reversed(inner_m[1::2])], [], [],
    ]  # fmt: skip
    return places, lengths_m, doors_m


def _line(side: Placement, long_m: float, doors_m: list[float], look: Look) -> None:
    """Pictures along a wall, and now and then a piece of furniture, clear of the doors."""
    rng = look.rng(7)
    spots = [
        side.at(x_m + rng.uniform(-0.12, 0.12), 0)
        for x_m in _clear(long_m, doors_m, _PICTURE_PITCH_M, 0.8)
    ]
    hang_pictures(spots, look)
    stands = [side.at(x_m, 0) for x_m in _clear(long_m, doors_m, _FURNITURE_PITCH_M, 1.3)]
    for stand, piece in zip(stands, look.order(len(stands), 2), strict=True):
        if piece % 2:
            furniture.coats(stand, look.rng(8, piece))
        else:
            furniture.cabinet(stand, look.rng(8, piece), (1.2, 0.3, 0.85))
    if not doors_m:
        wall_hangings.window(side.at(0.5 * long_m, 0), look.rng(9))


def _clear(long_m: float, doors_m: list[float], pitch_m: float, apart_m: float) -> Iterator[float]:
    """Places along a wall so far from doors and from both ends."""
    for x_m in np.arange(max(0.55, pitch_m / 2), long_m - 0.5, pitch_m):
        if all(abs(x_m - door_m) > apart_m for door_m in doors_m):
            yield float(x_m)
