"""Ways through the ring building: rounds of the ring with its rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.simulation.drive import Waypoint
from glace_ros.simulation.ring_building import RingConfig, Room, rooms

if TYPE_CHECKING:
    from collections.abc import Iterable

_FROM_WALL_M = 1.0
"""How close to the walls of a room the way around it comes; furniture may push it inward."""


def mapping_route(config: RingConfig) -> list[Waypoint]:
    """Around the ring and around each of its rooms; again, with a look about in each room; and
    once around the ring the other way.
    """
    order = _around(config)
    return [
        *_corners(config, 0.5)[:1], *_visits(config, order, [0, 1, 2, 3, 0], 0.0),
        *_corners(config, 0.5)[:1], *_looks(config, order),
        *_corners(config, 0.45)[:2], *_corners(config, 0.6)[::-1],
    ]  # fmt: skip


def second_route(config: RingConfig) -> list[Waypoint]:
    """Another drive for a map: around the other way, and back with a look about in each room."""
    order = _around(config)[::-1]
    return [
        *_corners(config, 0.55)[:1], *_visits(config, order, [1, 0, 3, 2, 1], 0.1),
        *_looks(config, order[::-1]), *_corners(config, 0.45)[:1],
    ]  # fmt: skip


def query_route(config: RingConfig, seed: int) -> list[Waypoint]:
    """All rooms by other ways, from another corner."""
    rng = np.random.default_rng([seed, 606])
    order, middle = _around(config), config.rooms // 2
    route = _corners(config, 0.42)[2:3]
    for room in [*order[middle:], *order[:middle]]:
        corners = rng.permutation(4)[:3].tolist()
        route += _visits(config, [room], corners, float(rng.uniform(0.3, 0.6)))
    return [*route, *_corners(config, 0.57)[1:3]]


def _around(config: RingConfig) -> list[int]:
    """The rooms in the order of their doors: east along the south, west along the north."""
    all_rooms = rooms(config)
    doors = [room.doorstep for room in all_rooms]
    south = [n for n, door in enumerate(doors) if door.y_m < config.width_m / 2]
    north = [n for n in range(len(doors)) if n not in south]
    by_x = lambda n: doors[n].x_m  # noqa: E731
    return [*sorted(south, key=by_x), *sorted(north, key=by_x, reverse=True)]


def _visits(
    config: RingConfig, order: Iterable[int], corners: list[int], inward_m: float
) -> list[Waypoint]:
    """Into each room, past some of its corners, and out."""
    all_rooms, route = rooms(config), []
    for number in order:
        room = all_rooms[number]
        before = room.doorstep.point(0, -0.5 * config.shell.corridor_width_m, 0)[:2]
        inside = [_corner(room, corner, inward_m) for corner in corners]
        route += [Waypoint(*before), *inside, Waypoint(*before)]
    return route


def _looks(config: RingConfig, order: Iterable[int]) -> list[Waypoint]:
    """Into the middle of each room, once about, to the left and to the right in turn, and out."""
    all_rooms, route = rooms(config), []
    for turn, number in enumerate(order):
        room = all_rooms[number]
        before = room.doorstep.point(0, -0.5 * config.shell.corridor_width_m, 0)[:2]
        x_m, y_m, _ = room.place.point(0.5 * room.size_m[0], 0.5 * room.size_m[1], 0)
        about = Waypoint(x_m, y_m, spin_rad=2 * np.pi * (-1) ** turn)
        route += [Waypoint(*before), about, Waypoint(*before)]
    return route


def _corner(room: Room, corner: int, inward_m: float) -> Waypoint:
    """Counter-clockwise from the one to the left of the door."""
    from_wall_m = _FROM_WALL_M + inward_m
    right, far = ((0, 0), (1, 0), (1, 1), (0, 1))[corner]
    width_m, depth_m = room.size_m
    x_m = width_m - from_wall_m if right else from_wall_m
    y_m = depth_m - from_wall_m if far else from_wall_m
    return Waypoint(*room.place.point(x_m, y_m, 0)[:2])


def _corners(config: RingConfig, across: float) -> list[Waypoint]:
    """Of the ring, counter-clockwise from the south-west; `across`: ratio of the corridor's width
    from the outer wall.
    """
    from_m = across * config.shell.corridor_width_m
    right_m, far_m = config.shell.length_m - from_m, config.width_m - from_m
    return [
        Waypoint(x_m, y_m)
        for x_m, y_m in ((from_m, from_m), (right_m, from_m), (right_m, far_m), (from_m, far_m))
    ]
