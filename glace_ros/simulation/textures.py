"""Surfaces of a building with the irregular detail of photographs: no two spots look alike.

Every function draws an image uint8 (height, width, 3), RGB, from a random generator, so that a
seed fixes all of it. Sizes are in pixels (`shape_px` = height, width); `texels_per_m` says how many
of them make a metre, where a pattern has a natural size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Colour = tuple[float, float, float]


def fractal_noise(
    rng: Generator,
    shape_px: tuple[int, int],
    coarsest_px: float,
    octaves: int = 6,
    persistence: float = 0.6,
    stretch: float = 1.0,
) -> NDArray[np.float32]:
    """Noise (height, width) of mean 0 and deviation 1, like clouds or plaster.

    rng: its source.
    shape_px: height and width.
    coarsest_px: size of its largest blobs; each octave halves it.
    octaves: how many sizes of blobs, at most.
    persistence: weight of each octave, relative to the one before.
    stretch: how much longer the blobs are in x, for grain.
    """
    height, width = shape_px
    total = np.zeros(shape_px, dtype=np.float32)
    for octave in range(octaves):
        cell_px = max(coarsest_px / 2**octave, 1.0)
        grid = (math.ceil(height / cell_px) + 2, math.ceil(width / (cell_px * stretch)) + 2)
        coarse = rng.standard_normal(grid, dtype=np.float32)
        fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        total += persistence**octave * fine
        if cell_px <= 1.0:
            break
    return np.asarray((total - total.mean()) / (total.std() + 1e-6), dtype=np.float32)


def as_image(values_hwc: NDArray[np.float32]) -> Image:
    """Float intensities in [0, 255] as uint8, clipped."""
    return np.clip(values_hwc, 0.0, 255.0).astype(np.uint8)


def toned(colour: Colour, tone_hw: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colour times a tone per pixel, float32 (height, width, 3)."""
    return np.asarray(tone_hw[..., None] * np.array(colour, dtype=np.float32))


def scratch(
    rng: Generator, tone_hw: NDArray[np.float32], count: int, length_px: float, depth: float
) -> None:
    """Draws `count` crooked scratches, cracks or scuffs into a tone, in place."""
    height, width = tone_hw.shape
    for _ in range(count):
        start_2 = rng.uniform(0, [width, height])
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, 10))
        step_px = length_px * rng.uniform(0.3, 1.0) / 10
        points_n2 = start_2 + np.cumsum(step_px * np.stack([np.cos(turns), np.sin(turns)], 1), 0)
        row, column = (int(start_2[1]) % height, int(start_2[0]) % width)
        value = float(tone_hw[row, column]) * (1.0 + depth * rng.uniform(-1.0, 0.5))
        points = np.round(points_n2 * 16).astype(np.int32)[None]
        cv2.polylines(tone_hw, [*points], False, value, int(rng.integers(1, 3)), cv2.LINE_AA, 4)


def plaster(
    rng: Generator, shape_px: tuple[int, int], texels_per_m: float, colour: Colour
) -> Image:
    """A painted wall: stains, roller marks, cracks and scuffs."""
    tone = 1.0 + 0.05 * fractal_noise(rng, shape_px, texels_per_m, 4)
    tone += 0.035 * fractal_noise(rng, shape_px, 0.06 * texels_per_m, 4, 0.8)
    area_m2 = shape_px[0] * shape_px[1] / texels_per_m**2
    scratch(rng, tone, int(14 * area_m2), 0.35 * texels_per_m, 0.45)
    for _ in range(int(20 * area_m2)):  # chips and dirt: small corners that a detector finds again
        centre = tuple(int(c) for c in rng.uniform(0, shape_px[::-1]))
        axes = tuple(int(a) for a in 1 + rng.uniform(0.0, 0.022 * texels_per_m, 2))
        cv2.ellipse(tone, centre, axes, rng.uniform(0, 180), 0, 360, rng.uniform(0.45, 1.2), -1)
    return as_image(toned(colour, tone))


def wallpaper(
    rng: Generator, shape_px: tuple[int, int], texels_per_m: float, colour: Colour, ink: Colour
) -> Image:
    """Paper strewn with leaves of every size and angle, over plaster."""
    image = plaster(rng, shape_px, texels_per_m, colour)
    area_m2 = shape_px[0] * shape_px[1] / texels_per_m**2
    for _ in range(int(34 * area_m2)):
        centre_2 = rng.uniform(0, shape_px[::-1])
        length_px = texels_per_m * rng.uniform(0.04, 0.13)
        shade = np.array(ink) * rng.uniform(0.55, 1.25)
        angle = rng.uniform(0, 2 * np.pi)
        for leaf_angle in angle + rng.uniform(-0.9, 0.9, int(rng.integers(1, 4))):
            _leaf(image, centre_2, length_px, float(leaf_angle), shade)
    return _grained(rng, image, 3.0)


def _leaf(
    image: Image,
    base_2: NDArray[np.float64],
    length_px: float,
    angle: float,
    shade: NDArray[np.float64],
) -> None:
    along = np.linspace(0, 1, 12)
    half = 0.22 * np.sin(np.pi * along**0.8)
    outline = np.concatenate([np.stack([along, half], 1), np.stack([along, -half], 1)[::-1]])
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = length_px * outline @ np.array([[cosine, sine], [-sine, cosine]]) + base_2
    colour = tuple(float(c) for c in shade)
    cv2.fillPoly(image, [np.round(turned * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
    tip = base_2 + length_px * np.array([cosine, sine])
    vein = tuple(float(c) * 0.7 for c in shade)
    cv2.line(image, _point(base_2), _point(tip), vein, 1, cv2.LINE_AA, 4)


def _point(xy_2: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(xy_2[0]) * 16), round(float(xy_2[1]) * 16)


def _grained(rng: Generator, image: Image, deviation: float) -> Image:
    grain = rng.standard_normal(image.shape[:2], dtype=np.float32)[..., None] * deviation
    return as_image(image + grain)


def brick(rng: Generator, shape_px: tuple[int, int], texels_per_m: float, colour: Colour) -> Image:
    """Bricks of 24 x 7.5 cm in bond, each with a shade, a size and chipped edges of its own."""
    height, width = shape_px
    row_px, brick_px = 0.085 * texels_per_m, 0.25 * texels_per_m
    tone = 0.75 + 0.03 * fractal_noise(rng, shape_px, 0.1 * texels_per_m, 5, 0.8)
    image = toned((196, 188, 176), tone)
    for row in range(math.ceil(height / row_px)):
        left = -brick_px * (0.5 * (row % 2) + rng.uniform(0, 0.06))
        while left < width:
            right = left + brick_px * rng.uniform(0.88, 1.1)
            corners = np.array([[left, 0], [right, 0], [right, row_px], [left, row_px]])
            corners += [0, row * row_px]
            gap = 0.011 * texels_per_m
            inset = np.array([[gap, gap], [-gap, gap], [-gap, -gap], [gap, -gap]]) * 0.5
            corners += inset + rng.normal(0, 0.003 * texels_per_m, (4, 2))
            hue = np.array(colour) * rng.uniform(0.55, 1.25) + rng.normal(0, 9, 3)
            shade = tuple(float(c) for c in hue)
            cv2.fillPoly(image, [np.round(corners * 16).astype(np.int32)], shade, cv2.LINE_AA, 4)
            left = right
    image *= (1.0 + 0.09 * fractal_noise(rng, shape_px, 0.05 * texels_per_m, 5, 0.8))[..., None]
    return as_image(image)


def wood(rng: Generator, shape_px: tuple[int, int], texels_per_m: float, colour: Colour) -> Image:
    """One board with its grain along x, knots and dents."""
    height, width = shape_px
    rings = fractal_noise(rng, shape_px, 0.09 * texels_per_m, 5, 0.65, stretch=9.0)
    y_h = np.arange(height, dtype=np.float32)[:, None] / (0.03 * texels_per_m)
    for _ in range(max(1, int(1.3 * height * width / texels_per_m**2 * 2))):
        x_px, y_px = rng.uniform(0, [width, height])
        size_px = texels_per_m * rng.uniform(0.01, 0.03)
        dx = (np.arange(width, dtype=np.float32)[None] - x_px) / (3.0 * size_px)
        dy = (np.arange(height, dtype=np.float32)[:, None] - y_px) / size_px
        rings += 2.8 * np.exp(-0.5 * (dx**2 + dy**2))
    tone = 1.0 + 0.06 * np.sin(2.2 * (y_h + 1.2 * rings)) + 0.04 * rings
    tone += 0.05 * fractal_noise(rng, shape_px, 4.0, 2, 0.7, stretch=6.0)
    tone = np.asarray(np.clip(tone, 0.35, 1.35), dtype=np.float32)
    scratch(rng, tone, int(12 * height * width / texels_per_m**2) + 1, 0.2 * texels_per_m, 0.4)
    return as_image(toned(colour, tone))


def plank_floor(
    rng: Generator, shape_px: tuple[int, int], texels_per_m: float, colour: Colour
) -> Image:
    """Planks of 14 cm cut from different boards, laid along x with joints here and there."""
    height, width = shape_px
    floor = np.zeros((height, width, 3), dtype=np.uint8)
    plank_px = max(int(0.14 * texels_per_m), 2)
    boards = [
        wood(rng, (plank_px, int(1.8 * texels_per_m)), texels_per_m, colour) for _ in range(14)
    ]
    for top in range(0, height, plank_px):
        left = -int(rng.uniform(0, 1.2) * texels_per_m)
        while left < width:
            length_px = int(rng.uniform(0.7, 1.7) * texels_per_m)
            board = boards[int(rng.integers(len(boards)))]
            board = board[:, :: int(rng.choice([-1, 1]))][:, :length_px]
            shaded = as_image(board * np.float32(rng.uniform(0.82, 1.08)))
            shaded[:1], shaded[:, :1] = shaded[:1] // 3, shaded[:, :1] // 3
            start, stop = max(left, 0), min(left + shaded.shape[1], width)
            rows = min(plank_px, height - top)
            if stop > start:
                floor[top : top + rows, start:stop] = shaded[:rows, start - left : stop - left]
            left += shaded.shape[1]
    tone = 1.0 + 0.05 * fractal_noise(rng, shape_px, 0.8 * texels_per_m, 6)
    scratch(rng, tone, int(5 * height * width / texels_per_m**2), 0.3 * texels_per_m, 0.4)
    return as_image(floor * tone[..., None])


def carpet(rng: Generator, shape_px: tuple[int, int], colours: list[Colour]) -> Image:
    """A woven rug: borders and a field of irregular tufts, diamonds and stripes."""
    height, width = shape_px
    image = toned(colours[0], 1.0 + 0.08 * fractal_noise(rng, shape_px, 60, 6, 0.8))
    for inset in range(3):
        edge = int((0.03 + 0.045 * inset) * min(height, width))
        shade = tuple(float(c) for c in colours[1 + inset % (len(colours) - 1)])
        cv2.rectangle(image, (edge, edge), (width - edge, height - edge), shade, 5 + 3 * inset)
    for _ in range(170):
        ink = np.array(colours[int(rng.integers(1, len(colours)))]) * rng.uniform(0.6, 1.3)
        centre = rng.uniform(0.16, 0.84, 2) * [width, height]
        size = min(height, width) * rng.uniform(0.012, 0.06, 2)
        diamond = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]) * size + centre
        if rng.random() < 0.4:
            diamond = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * size + centre
        fill = tuple(float(c) for c in ink)
        cv2.fillPoly(image, [np.round(diamond * 16).astype(np.int32)], fill, cv2.LINE_AA, 4)
    weave = rng.uniform(0.84, 1.12, shape_px).astype(np.float32)
    woven_hw = np.asarray(cv2.GaussianBlur(weave, (0, 0), 0.8), dtype=np.float32)
    return as_image(image * woven_hw[..., None])


def fabric(rng: Generator, shape_px: tuple[int, int], colour: Colour, other: Colour) -> Image:
    """Upholstery: a crooked check, folds, lint and stitches."""
    height, width = shape_px
    image = toned(colour, 1.0 + 0.12 * fractal_noise(rng, shape_px, 90, 7, 0.65))
    for axis, extent in ((0, height), (1, width)):
        at_px = 0.0
        while at_px < extent:
            at_px += rng.uniform(8, 55)
            rows = slice(int(at_px), int(at_px + rng.uniform(2, 9)))
            index = (rows, slice(None)) if axis == 0 else (slice(None), rows)
            image[index] = 0.55 * image[index] + 0.45 * np.array(other, np.float32)
    tone = np.ones(shape_px, dtype=np.float32)
    scratch(rng, tone, max(6, height * width // 2500), 40, 0.8)
    weave = rng.uniform(0.82, 1.15, shape_px).astype(np.float32)
    return as_image(image * (tone * weave)[..., None])
