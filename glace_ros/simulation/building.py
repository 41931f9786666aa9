"""A flat: a row of furnished rooms along a corridor.

The map frame has its origin in the corridor's corner; x runs along the corridor, y into the rooms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.simulation import furniture, lettering, pictures, textures, wall_hangings
from glace_ros.simulation.furnishings import FURNISHINGS
from glace_ros.simulation.lighting import Light
from glace_ros.simulation.panels import Panel, Placement, Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from glace_ros.simulation.textures import Colour, Image

_DOOR_WIDTH_M = 0.95
_DOOR_HEIGHT_M = 2.05
WALL_M = 0.12
_PAINTS: tuple[Colour, ...] = (
    (206, 196, 172), (186, 198, 190), (198, 182, 178), (178, 188, 204), (210, 204, 196),
)  # fmt: skip


@dataclass(frozen=True)
class BuildingConfig:
    """The building's plan."""

    rooms: int = 2
    """How many, in a row."""
    room_width_m: float = 4.0
    """Of a room along the corridor."""
    room_depth_m: float = 4.2
    """Of a room across the corridor."""
    corridor_width_m: float = 1.8
    """Across the corridor."""
    height_m: float = 2.6
    """Of the ceiling."""
    look_alike: bool = False
    """Every room has the same walls, furniture and pictures, so that only what is seen through its
    door tells it from the others."""
    texels_per_m: float = 220.0
    """Detail of the textures."""
    seed: int = 7
    """Of the textures and of where things are."""

    @property
    def length_m(self) -> float:
        """Along the corridor."""
        return self.rooms * self.room_width_m

    def door_x_m(self, room: int) -> float:
        """Where the middle of the room's door is."""
        return (room + 0.5) * self.room_width_m


@dataclass(frozen=True, eq=False)
class Building:
    """What there is to see and to bump into; see `Scene`."""

    config: BuildingConfig
    panels: list[Panel]
    obstacles_m: NDArray[np.float64]
    light: Light = field(default_factory=Light)


def build(config: BuildingConfig) -> Building:
    """The furnished building; equal configs give equal buildings, texture by texture."""
    scene = Scene()
    ground = Placement(scene, 0.0, 0.0, 0, config.texels_per_m)
    _corridor(ground, config, np.random.default_rng([config.seed, 0]))
    for room in range(config.rooms):
        kind = 0 if config.look_alike else room % len(FURNISHINGS)
        rng = np.random.default_rng([config.seed, 1 if config.look_alike else 1 + room])
        left_m = room * config.room_width_m + WALL_M / 2
        place = ground.at(left_m, config.corridor_width_m + WALL_M)
        _room(place, config, rng, kind)
        door_frame(ground.at(config.door_x_m(room), config.corridor_width_m), rng)
    return Building(config, scene.panels, np.array(scene.obstacles).reshape(-1, 4))


def _room(place: Placement, config: BuildingConfig, rng: Generator, kind: int) -> None:
    width_m, depth_m = config.room_width_m - WALL_M, config.room_depth_m - WALL_M
    room_shell(place, config, rng, (width_m, depth_m))
    FURNISHINGS[kind](place, rng, width_m, depth_m)


def room_shell(
    place: Placement, config: BuildingConfig, rng: Generator, size_m: tuple[float, float]
) -> None:
    """Floor, ceiling and walls of a room (width, depth), its door in the middle of the front."""
    width_m, depth_m = size_m
    floor_and_ceiling(place, config, rng, size_m)
    paints = [wall_paint(rng, config.texels_per_m, kinds) for kinds in (PLAIN, _RICH)]
    shell = (
        (place.at(0, depth_m, 0), width_m, paints[0], False),
        (place.at(width_m, depth_m, 3), depth_m, paints[1], False),
        (place.at(0, 0, 1), depth_m, paints[1], False),
        (place.at(width_m, 0, 2), width_m, paints[0], True),
    )
    for side, length_m, paint, has_door in shell:
        doors_m = [length_m / 2] if has_door else []
        wall(side, length_m, config.height_m, doors_m, paint)


def _corridor(place: Placement, config: BuildingConfig, rng: Generator) -> None:
    length_m, width_m = config.length_m, config.corridor_width_m
    floor_and_ceiling(place, config, rng, (length_m, width_m))
    paint = wall_paint(rng, config.texels_per_m, PLAIN)
    doors_m = [config.door_x_m(room) for room in range(config.rooms)]
    wall(place.at(0, width_m, 0), length_m, config.height_m, doors_m, paint)
    wall(place.at(length_m, 0, 2), length_m, config.height_m, [], paint)
    for x_m, y_m, turns in ((length_m, width_m, 3), (0.0, 0.0, 1)):
        wall(place.at(x_m, y_m, turns), width_m, config.height_m, [], paint)
    wall_hangings.front_door(place.at(0, width_m / 2, 1), rng)
    wall_hangings.window(place.at(length_m, width_m / 2, 3), rng)
    furniture.cabinet(place.at(length_m, width_m / 2, 3), rng, (1.1, 0.35, 0.8))
    for room in range(config.rooms):
        _corridor_bay(place.at(room * config.room_width_m, 0), config, rng, room)


def _corridor_bay(place: Placement, config: BuildingConfig, rng: Generator, room: int) -> None:
    """What hangs and stands along the corridor before one room."""
    bay_m, width_m = config.room_width_m, config.corridor_width_m
    if room % 2 == 0:
        furniture.coats(place.at(0.45 * bay_m, 0, 2), rng)
    else:
        furniture.cabinet(place.at(0.4 * bay_m, 0, 2), rng, (1.2, 0.3, 0.85))
    for ratio in (0.04, 0.14, 0.24, 0.72, 0.83, 0.94):
        size_m = (float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.35, 0.5)))
        wall_hangings.picture(place.at(ratio * bay_m, 0, 2), rng, size_m, rng.uniform(0.7, 1.3))
    for ratio in (0.05, 0.16, 0.28, 0.72, 0.83, 0.94):
        size_m = (float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.35, 0.5)))
        wall_hangings.picture(place.at(ratio * bay_m, width_m), rng, size_m, rng.uniform(0.6, 1.3))
    furniture.rug(place.at(0.5 * bay_m, 0.55 * width_m), rng, (0.8, 1.6))


PLAIN = ("plaster", "plaster", "paper")
_RICH = ("mural", "mural", "brick")


def wall_paint(
    rng: Generator, texels_per_m: float, kinds: tuple[str, ...]
) -> Callable[[tuple[int, int]], Image]:
    colour = _PAINTS[int(rng.integers(len(_PAINTS)))]
    kind = rng.choice(kinds)
    if kind == "mural":
        return lambda shape_px: pictures.mural(rng, shape_px, texels_per_m)
    if kind == "brick":
        return lambda shape_px: textures.brick(rng, shape_px, texels_per_m, (158, 92, 72))
    if kind == "plaster":
        return lambda shape_px: textures.plaster(rng, shape_px, texels_per_m, colour)
    ink = lettering.random_colour(rng, 60, 150)
    return lambda shape_px: textures.wallpaper(rng, shape_px, texels_per_m, colour, ink)


def wall(
    place: Placement,
    length_m: float,
    height_m: float,
    doors_m: list[float],
    paint: Callable[[tuple[int, int]], Image],
) -> None:
    """A wall with openings centred at `doors_m`: one picture, cut around them."""
    image = paint(place.texels(height_m, length_m))
    scale = image.shape[1] / length_m
    lintel_px = round((height_m - _DOOR_HEIGHT_M) / height_m * image.shape[0])
    left_m = 0.0
    for door_m in [*doors_m, length_m + _DOOR_WIDTH_M / 2]:
        right_m = door_m - _DOOR_WIDTH_M / 2
        piece = image[:, round(left_m * scale) : round(right_m * scale)]
        place.upright(left_m, 0, height_m, right_m - left_m, height_m, piece)
        left_m = door_m + _DOOR_WIDTH_M / 2
        if left_m < length_m:
            piece = image[:lintel_px, round(right_m * scale) : round(left_m * scale)]
            place.upright(right_m, 0, height_m, _DOOR_WIDTH_M, height_m - _DOOR_HEIGHT_M, piece)
    ends = [0.0, *(m + s * _DOOR_WIDTH_M / 2 for m in doors_m for s in (-1, 1)), length_m]
    for start_m, stop_m in zip(ends[::2], ends[1::2], strict=True):
        (ax, ay, _), (bx, by, _) = place.point(start_m, 0, 0), place.point(stop_m, WALL_M, 0)
        place.scene.obstacles.append((min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)))


def door_frame(place: Placement, rng: Generator) -> None:
    """The inside of the opening through the wall, centred on the placement."""
    half_m, material = _DOOR_WIDTH_M / 2, furniture.wooden(place, rng)
    jamb_px = place.texels(_DOOR_HEIGHT_M, WALL_M)
    place.at(-half_m, 0, 1).upright(0, 0, _DOOR_HEIGHT_M, WALL_M, _DOOR_HEIGHT_M, material(jamb_px))
    place.at(half_m, WALL_M, 3).upright(
        0, 0, _DOOR_HEIGHT_M, WALL_M, _DOOR_HEIGHT_M, material(jamb_px)
    )
    for z_m, y_m, depth_m in ((_DOOR_HEIGHT_M, 0.0, WALL_M), (0.0, WALL_M, -WALL_M)):
        place.scene.rectangle(
            place.point(-half_m, y_m, z_m),
            place.vector(_DOOR_WIDTH_M, 0, 0),
            place.vector(0, depth_m, 0),
            material(place.texels(WALL_M, _DOOR_WIDTH_M)),
        )


def floor_and_ceiling(
    place: Placement, config: BuildingConfig, rng: Generator, size_m: tuple[float, float]
) -> None:
    width_m, depth_m = size_m
    colour = furniture.WOODS[int(rng.integers(3))]
    shape_px = place.texels(depth_m, width_m)
    floor = textures.plank_floor(rng, shape_px, config.texels_per_m, colour)
    across_3 = place.vector(width_m, 0, 0)
    place.scene.rectangle(place.point(0, depth_m, 0), across_3, place.vector(0, -depth_m, 0), floor)
    shape_px = place.texels(depth_m, width_m, 0.6)
    ceiling = textures.plaster(rng, shape_px, 0.6 * config.texels_per_m, (216, 214, 208))
    overhead_3 = place.point(0, 0, config.height_m)
    place.scene.rectangle(overhead_3, across_3, place.vector(0, depth_m, 0), ceiling)
    lamps = max(1, round(width_m / 4.0))
    for lamp in range(lamps):
        x_m = (lamp + 0.5) / lamps * width_m
        lit = np.full((40, 80, 3), 250, dtype=np.uint8)
        place.scene.rectangle(
            place.point(x_m - 0.4, depth_m / 2 - 0.15, config.height_m - 0.02),
            place.vector(0.8, 0, 0), place.vector(0, 0.3, 0), lit, glows=True,
        )  # fmt: skip
