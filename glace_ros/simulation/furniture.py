"""Furniture and pictures: each function adds one piece to the scene of its placement.

A piece is centred on x = 0, has its back at y = 0 (the wall) and faces -y. Sizes in metres.
`things` draws what people leave on it, where that is to differ between pieces that are alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.simulation import lettering, pictures, textures

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from glace_ros.simulation.panels import Placement
    from glace_ros.simulation.textures import Colour, Image

    Material = Callable[[tuple[int, int]], Image]

WOODS: tuple[Colour, ...] = (
    (168, 118, 74), (122, 78, 48), (196, 158, 112), (96, 66, 46), (208, 196, 178),
)  # fmt: skip
CLOTHS: tuple[tuple[Colour, Colour], ...] = (
    ((92, 110, 130), (196, 178, 150)),
    ((138, 62, 58), (220, 190, 140)),
    ((74, 104, 82), (208, 200, 160)),
    ((120, 108, 96), (58, 62, 80)),
    ((186, 166, 130), (120, 70, 50)),
)


def wooden(place: Placement, rng: Generator) -> Material:
    """One kind of wood, a new board for each face."""
    colour = WOODS[int(rng.integers(len(WOODS)))]
    return lambda shape_px: textures.wood(rng, shape_px, place.texels_per_m, colour)


def clothed(rng: Generator) -> Material:
    """One kind of cloth, a new cut for each face."""
    colour, other = CLOTHS[int(rng.integers(len(CLOTHS)))]
    return lambda shape_px: textures.fabric(rng, shape_px, colour, other)


def sofa(place: Placement, rng: Generator, width_m: float = 1.9) -> None:
    """Seat, back, arms and two odd cushions."""
    cloth, half = clothed(rng), width_m / 2
    place.box((-half, -0.85, 0.08), (half, 0.0, 0.42), cloth)
    place.box((-half, -0.25, 0.42), (half, 0.0, 0.82), cloth, solid=False)
    for side in (-1, 1):
        low, high = sorted((side * half, side * (half - 0.2)))
        place.box((low, -0.85, 0.42), (high, -0.25, 0.6), cloth, solid=False)
        middle = side * rng.uniform(0.3, 0.5)
        cushion = clothed(rng)
        place.box((middle - 0.2, -0.42, 0.42), (middle + 0.2, -0.26, 0.74), cushion, solid=False)


def book_case(
    place: Placement,
    rng: Generator,
    width_m: float,
    height_m: float,
    things: Generator | None = None,
) -> None:
    """A case 32 cm deep, full of books."""
    colour = WOODS[int(rng.integers(len(WOODS)))]
    shape_px = place.texels(height_m, width_m, 1.3)
    front = pictures.book_shelf(things or rng, shape_px, 1.3 * place.texels_per_m, colour)
    half = width_m / 2
    place.box((-half, -0.32, 0.0), (half, 0.0, height_m), wooden(place, rng), front)
    _clutter(place, things or rng, (-half + 0.1, half - 0.1), (-0.28, -0.04), height_m)


def _clutter(
    place: Placement,
    rng: Generator,
    x_range_m: tuple[float, float],
    y_range_m: tuple[float, float],
    z_m: float,
) -> None:
    """Boxes of bright print left on top of something."""
    at_m = x_range_m[0]
    while at_m < x_range_m[1] - 0.12:
        width_m, height_m = rng.uniform(0.1, 0.3), rng.uniform(0.06, 0.3)
        right_m = min(at_m + width_m, x_range_m[1])
        depth_m = rng.uniform(0.5, 1.0) * (y_range_m[1] - y_range_m[0])
        place.box(
            (at_m, y_range_m[1] - depth_m, z_m),
            (right_m, y_range_m[1], z_m + height_m),
            lambda shape_px: pictures.poster(rng, shape_px),
            solid=False,
        )
        at_m = right_m + rng.uniform(0.03, 0.3)


def cabinet(
    place: Placement,
    rng: Generator,
    size_m: tuple[float, float, float],
    *,
    solid: bool = True,
    things: Generator | None = None,
) -> None:
    """A chest (width, depth, height) with drawers, and things on it."""
    width_m, depth_m, height_m = size_m
    half, material = width_m / 2, wooden(place, rng)
    front = material(place.texels(height_m, width_m))
    rows, columns = front.shape[:2]
    drawers = max(1, round(height_m / 0.28))
    for drawer in range(drawers):
        top, bottom = (drawer * rows // drawers + 2, (drawer + 1) * rows // drawers - 3)
        front[[top, bottom]] //= 4
        front[top:bottom, [3, columns // 2, columns - 4]] //= 3
        for side in (0.25, 0.75):
            knob = slice(max(0, int(side * columns) - 5), int(side * columns) + 5)
            middle = (top + bottom) // 2
            front[max(0, middle - 2) : middle + 2, knob] = (70, 66, 60)
    place.box((-half, -depth_m, 0.0), (half, 0.0, height_m), material, front, solid=solid)
    shelf_m = (-depth_m + 0.05, -0.04)
    _clutter(place, things or rng, (-half + 0.05, half - 0.05), shelf_m, height_m)


def television(place: Placement, rng: Generator) -> None:
    """A television on a low chest."""
    cabinet(place, rng, (1.5, 0.42, 0.45))
    picture = pictures.landscape(rng, place.texels(0.62, 1.1, 1.5))
    place.box(
        (-0.55, -0.24, 0.78), (0.55, -0.18, 1.4), _black, picture, front_glows=True, solid=False
    )


def _black(shape_px: tuple[int, int]) -> Image:
    return np.full((*shape_px, 3), 26, dtype=np.uint8)


def desk(
    place: Placement, rng: Generator, width_m: float = 1.5, things: Generator | None = None
) -> None:
    """A desk with drawers to one side, a monitor, papers, and a chair before it."""
    half, material = width_m / 2, wooden(place, rng)
    place.box((-half, -0.7, 0.70), (half, 0.0, 0.74), material)
    place.box((half - 0.45, -0.65, 0.0), (half - 0.03, -0.03, 0.70), material, solid=False)
    place.box((-half + 0.02, -0.68, 0.0), (-half + 0.07, -0.02, 0.70), material, solid=False)
    monitor = pictures.screen(things or rng, place.texels(0.36, 0.6, 1.8))
    place.box(
        (-0.35, -0.24, 0.84), (0.25, -0.2, 1.2), _black, monitor, front_glows=True, solid=False
    )
    place.box((-0.1, -0.23, 0.74), (0.0, -0.2, 0.84), _black, solid=False)
    _clutter(place, things or rng, (0.3, half), (-0.5, -0.1), 0.74)
    cloth = clothed(rng)
    place.box((-0.4, -0.98, 0.42), (0.06, -0.54, 0.5), cloth)
    place.box((-0.4, -1.02, 0.5), (0.06, -0.96, 0.98), cloth, solid=False)
    place.box((-0.2, -0.8, 0.0), (-0.14, -0.74, 0.42), _black, solid=False)


def bed(place: Placement, rng: Generator) -> None:
    """A bed with its head to the wall, a patterned cover and pillows."""
    material = wooden(place, rng)
    place.box((-0.7, -2.0, 0.05), (0.7, 0.0, 0.28), material)
    place.box((-0.7, -0.06, 0.28), (0.7, 0.0, 0.95), material, solid=False)
    place.box((-0.68, -1.98, 0.28), (0.68, -0.06, 0.5), clothed(rng), solid=False)
    for x_m in (-0.58, 0.08):
        place.box((x_m, -0.5, 0.5), (x_m + 0.5, -0.12, 0.62), clothed(rng), solid=False)


def boxes(place: Placement, rng: Generator) -> None:
    """Two cardboard boxes with labels, one on the other."""
    low_m = 0.0
    for half_m in (0.26, 0.2):
        height_m = rng.uniform(0.28, 0.4)
        low_3 = (-half_m, -2 * half_m, low_m)
        high_3 = (half_m, 0.0, low_m + height_m)
        place.box(low_3, high_3, lambda shape_px: _cardboard(rng, shape_px), solid=low_m == 0)
        low_m += height_m


def _cardboard(rng: Generator, shape_px: tuple[int, int]) -> Image:
    image = textures.plaster(rng, shape_px, 220.0, (176, 136, 92))
    height, width = shape_px
    label = pictures.poster(rng, (max(16, height // 3), max(16, width // 3)))
    top, left = int(rng.uniform(0.1, 0.55) * height), int(rng.uniform(0.1, 0.55) * width)
    lettering.paste(image, label, top, left)
    image[max(0, height // 2 - 4) : height // 2 + 4] = (206, 184, 142)
    return image


def coats(place: Placement, rng: Generator, width_m: float = 1.2) -> None:
    """Coats on hooks, above a bench."""
    half = width_m / 2
    place.box((-half, -0.34, 0.38), (half, 0.0, 0.44), wooden(place, rng))
    for shoe_m in np.arange(-half + 0.05, half - 0.3, 0.33).tolist():
        shoe = clothed(rng)
        place.box((shoe_m, -0.3, 0.0), (shoe_m + 0.2, -0.05, 0.13), shoe, solid=False)
    left_m = -half
    while left_m < half - 0.25:
        right_m = left_m + rng.uniform(0.22, 0.38)
        low_m = rng.uniform(0.62, 0.85)
        place.box((left_m, -0.16, low_m), (right_m, -0.02, 1.6), clothed(rng), solid=False)
        left_m = right_m + 0.04


def lamp(place: Placement, height_m: float) -> None:
    """A lamp of 0.3 x 0.3 m that shines down from a height."""
    lit = np.full((24, 24, 3), 250, dtype=np.uint8)
    corner_3 = place.point(-0.15, -0.15, height_m)
    across_3, down_3 = place.vector(0.3, 0, 0), place.vector(0, 0.3, 0)
    place.scene.rectangle(corner_3, across_3, down_3, lit, glows=True)


def rug(place: Placement, rng: Generator, size_m: tuple[float, float]) -> None:
    """A rug (height, width) on the floor around the placement's origin."""
    height_m, width_m = size_m
    cloths = [colour for pair in CLOTHS for colour in pair]
    colours = [cloths[int(i)] for i in rng.permutation(len(cloths))[:5]]
    place.scene.rectangle(
        place.point(-width_m / 2, height_m / 2, 0.006),
        place.vector(width_m, 0, 0),
        place.vector(0, -height_m, 0),
        textures.carpet(rng, place.texels(*size_m, 1.2), colours),
    )
