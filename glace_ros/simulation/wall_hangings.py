"""What hangs on a wall or opens it: each function adds one piece, as in furniture.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glace_ros.simulation import pictures
from glace_ros.simulation.furniture import WOODS

if TYPE_CHECKING:
    from numpy.random import Generator

    from glace_ros.simulation.panels import Placement
    from glace_ros.simulation.textures import Image


def picture(
    place: Placement, rng: Generator, size_m: tuple[float, float], middle_m: float = 1.35
) -> None:
    """A poster (height, width) on the wall, its centre at `middle_m`."""
    image = pictures.poster(rng, place.texels(*size_m, 1.6))
    _hang(place, image, size_m, middle_m, before_m=rng.uniform(0.01, 0.03))


def whiteboard(place: Placement, rng: Generator) -> None:
    """A whiteboard of 1.6 x 1.0 m."""
    _hang(place, pictures.whiteboard(rng, place.texels(1.0, 1.6, 1.3)), (1.0, 1.6), 1.3)


def pin_board(place: Placement, rng: Generator) -> None:
    """A cork board of 1.3 x 0.9 m."""
    _hang(place, pictures.pin_board(rng, place.texels(0.9, 1.3, 1.3)), (0.9, 1.3), 1.25)


def window(place: Placement, rng: Generator) -> None:
    """A window of 1.3 x 1.2 m that shines."""
    _hang(place, pictures.window(rng, place.texels(1.2, 1.3)), (1.2, 1.3), 1.55, glows=True)


def doorway(place: Placement, rng: Generator) -> None:
    """An open door of 0.95 x 2.05 m: what lies behind it, lit."""
    _hang(place, pictures.landscape(rng, place.texels(2.05, 0.95)), (2.05, 0.95), 1.025, glows=True)


def front_door(place: Placement, rng: Generator) -> None:
    """A closed door of 0.9 x 2 m."""
    colour = WOODS[int(rng.integers(len(WOODS)))]
    image = pictures.door(rng, place.texels(2.0, 0.9), place.texels_per_m, colour)
    _hang(place, image, (2.0, 0.9), 1.0)


def _hang(
    place: Placement,
    image: Image,
    size_m: tuple[float, float],
    middle_m: float,
    *,
    glows: bool = False,
    before_m: float = 0.008,
) -> None:
    """before_m: how far before the wall; never the same twice, lest pictures share a plane."""
    height_m, width_m = size_m
    top_m = middle_m + height_m / 2
    place.upright(-width_m / 2, -before_m, top_m, width_m, height_m, image, glows=glows)
