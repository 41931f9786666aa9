"""What stands and hangs in the rooms of a flat, by kind of room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glace_ros.simulation import furniture, wall_hangings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from glace_ros.simulation.panels import Placement


def _living_room(place: Placement, rng: Generator, width_m: float, depth_m: float) -> None:
    furniture.sofa(place.at(width_m, 0.56 * depth_m, 3), rng)
    furniture.book_case(place.at(0, 0.36 * depth_m, 1), rng, 1.6, 1.95)
    furniture.television(place.at(0.36 * width_m, depth_m), rng)
    wall_hangings.window(place.at(0.78 * width_m, depth_m), rng)
    furniture.boxes(place.at(width_m - 0.35, depth_m - 0.05), rng)
    furniture.cabinet(place.at(0, 0.82 * depth_m, 1), rng, (0.7, 0.4, 0.7))
    furniture.rug(place.at(0.5 * width_m, 0.5 * depth_m), rng, (1.7, 2.3))
    furniture.cabinet(place.at(0.16 * width_m, 0, 2), rng, (0.7, 0.35, 1.0))
    _hang_pictures(place, rng, width_m, depth_m, (0.62, 0.82, 0.14), (0.72, 0.9))


def _study(place: Placement, rng: Generator, width_m: float, depth_m: float) -> None:
    furniture.desk(place.at(0.3 * width_m, depth_m), rng)
    wall_hangings.window(place.at(0.74 * width_m, depth_m), rng)
    furniture.book_case(place.at(width_m, 0.66 * depth_m, 3), rng, 1.9, 1.7)
    wall_hangings.whiteboard(place.at(0, 0.45 * depth_m, 1), rng)
    furniture.cabinet(place.at(0, 0.45 * depth_m, 1), rng, (1.5, 0.4, 0.5))
    furniture.boxes(place.at(0.86 * width_m, 0.06, 2), rng)
    furniture.cabinet(place.at(0.74 * width_m, depth_m), rng, (1.2, 0.35, 0.6))
    furniture.rug(place.at(0.52 * width_m, 0.42 * depth_m), rng, (1.9, 1.6))
    wall_hangings.pin_board(place.at(0.17 * width_m, 0, 2), rng)
    _hang_pictures(place, rng, width_m, depth_m, (0.2, 0.32), (0.78, 0.92))


def _bedroom(place: Placement, rng: Generator, width_m: float, depth_m: float) -> None:
    furniture.bed(place.at(width_m - 0.75, depth_m), rng)
    furniture.cabinet(place.at(0.3 * width_m, depth_m), rng, (1.1, 0.5, 2.0))
    wall_hangings.window(place.at(0.62 * width_m, depth_m), rng)
    furniture.cabinet(place.at(0, 0.4 * depth_m, 1), rng, (1.3, 0.4, 0.8))
    furniture.book_case(place.at(0.83 * width_m, 0, 2), rng, 0.9, 1.4)
    furniture.rug(place.at(0.4 * width_m, 0.45 * depth_m), rng, (1.8, 1.4))
    _hang_pictures(place, rng, width_m, depth_m, (0.2, 0.62, 0.8), (0.3, 0.55, 0.85))


def _hang_pictures(
    place: Placement,
    rng: Generator,
    width_m: float,
    depth_m: float,
    right_ratios: tuple[float, ...],
    left_ratios: tuple[float, ...],
) -> None:
    """Posters on the right and left walls, at these ratios of the depth, and beside the door."""
    spots = [place.at(width_m, ratio * depth_m, 3) for ratio in right_ratios]
    spots += [place.at(0, ratio * depth_m, 1) for ratio in left_ratios]
    spots += [place.at(ratio * width_m, 0, 2) for ratio in (0.08, 0.27, 0.73, 0.9)]
    for spot in spots:
        size_m = (float(rng.uniform(0.45, 0.9)), float(rng.uniform(0.4, 0.7)))
        wall_hangings.picture(spot, rng, size_m, rng.uniform(0.8, 1.45))


FURNISHINGS: tuple[Callable[[Placement, Generator, float, float], None], ...] = (
    _living_room, _study, _bedroom,
)  # fmt: skip
