"""Things with a face of their own: posters, book backs, screens, boards, windows, doors.

As in textures.py: each function draws an RGB image uint8 (height, width, 3) from a random
generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from glace_ros.simulation.lettering import paste, random_colour, write, write_lines
from glace_ros.simulation.textures import as_image, fractal_noise, toned, wood

if TYPE_CHECKING:
    from numpy.random import Generator

    from glace_ros.simulation.textures import Colour, Image


def landscape(rng: Generator, shape_px: tuple[int, int]) -> Image:
    """A photograph-like view: sky with clouds, ridges, trees and houses."""
    height, width = shape_px
    clouds = fractal_noise(rng, shape_px, 0.4 * width, 7)
    fade = np.linspace(0.75, 1.1, height, dtype=np.float32)[:, None]
    sky = (rng.uniform(140, 225), rng.uniform(160, 215), rng.uniform(190, 235))
    image = as_image(toned(sky, fade * (1.0 + 0.13 * clouds)))
    for ridge in range(4):
        level = height * (0.35 + 0.14 * ridge)
        profile = level + 0.07 * height * fractal_noise(rng, (1, width), 0.3 * width, 6)[0]
        below = np.arange(height)[:, None] > profile[None]
        grain = 1.0 + 0.28 * fractal_noise(rng, shape_px, 0.1 * width, 7, 0.75)
        ground = as_image(toned(_earth_colour(rng), grain))
        image[below] = ground[below]
    for _ in range(int(rng.integers(4, 12))):
        left, top = int(rng.uniform(0, width)), int(rng.uniform(0.35, 0.8) * height)
        right, bottom = (left + int(rng.uniform(0.05, 0.2) * width),
                         top + int(rng.uniform(0.05, 0.25) * height))  # fmt: skip
        cv2.rectangle(image, (left, top), (right, bottom), random_colour(rng), -1)
        for _ in range(4):
            x, y = int(rng.uniform(left, right)), int(rng.uniform(top, bottom))
            cv2.rectangle(image, (x, y), (x + 4, y + 6), random_colour(rng, 0, 255), -1)
    return image


def mural(rng: Generator, shape_px: tuple[int, int], texels_per_m: float) -> Image:
    """A painted wall: a landscape with a village of signs and shapes, no spot like another."""
    height, width = shape_px
    image = landscape(rng, shape_px)
    area_m2 = height * width / texels_per_m**2
    for _ in range(int(11 * area_m2)):
        left, top = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        size_px = texels_per_m * rng.uniform(0.05, 0.22)
        kind = rng.integers(3)
        if kind == 0:
            write(rng, image, left, top, 0.6 * size_px, random_colour(rng, 0, 255))
        elif kind == 1:
            tile = _abstract(rng, (max(8, int(size_px * 1.6)), max(8, int(size_px * 1.3))))
            paste(image, tile, top, left)
        else:
            corners = [left, top] + rng.normal(0, size_px, (int(rng.integers(3, 6)), 2))
            colour = random_colour(rng, 10, 245)
            cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    return as_image(image * (1.0 + 0.05 * fractal_noise(rng, shape_px, 8, 3, 0.8))[..., None])


def _earth_colour(rng: Generator) -> Colour:
    green = rng.uniform(55, 150)
    return green * rng.uniform(0.6, 1.25), green, green * rng.uniform(0.4, 1.0)


def _abstract(rng: Generator, shape_px: tuple[int, int]) -> Image:
    height, width = shape_px
    grain = 1.0 + 0.15 * fractal_noise(rng, shape_px, 0.5 * width, 7)
    image = as_image(toned(random_colour(rng, 60), grain))
    for _ in range(int(rng.integers(18, 40))):
        colour, centre = random_colour(rng, 0, 255), rng.uniform(0, [width, height])
        size = min(shape_px) * rng.uniform(0.04, 0.3)
        kind = rng.integers(3)
        if kind == 0:
            cv2.circle(image, tuple(centre.astype(int)), int(size * 0.6), colour,
                       int(rng.choice([-1, 3, 7])), cv2.LINE_AA)  # fmt: skip
        elif kind == 1:
            corners = centre + rng.normal(0, size, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        else:
            ends = centre + rng.normal(0, 2 * size, (2, 2))
            cv2.line(image, tuple(ends[0].astype(int)), tuple(ends[1].astype(int)), colour,
                     int(rng.integers(2, 9)), cv2.LINE_AA)  # fmt: skip
    return image


def poster(rng: Generator, shape_px: tuple[int, int]) -> Image:
    """A framed poster: a landscape, an abstract or a page of text, with a title."""
    height, width = shape_px
    kind = rng.integers(3)
    image = (landscape, _abstract, _notice)[kind](rng, shape_px)
    if kind != 2 and rng.random() < 0.8:
        for _ in range(int(rng.integers(1, 4))):
            size_px = rng.uniform(0.04, 0.11) * height
            left, base = int(rng.uniform(0.03, 0.4) * width), int(rng.uniform(0.15, 0.93) * height)
            write(rng, image, left, base, size_px, random_colour(rng, 0, 255))
    image = as_image(image * (1.0 + 0.05 * fractal_noise(rng, shape_px, 8, 3, 0.8))[..., None])
    frame_px = max(2, int(0.03 * min(shape_px)))
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), random_colour(rng, 10, 110), frame_px)
    return image


def _notice(rng: Generator, shape_px: tuple[int, int]) -> Image:
    height, width = shape_px
    paper = 1.0 + 0.04 * fractal_noise(rng, shape_px, 0.5 * width, 6)
    image = as_image(toned(random_colour(rng, 190, 250), paper))
    ink = random_colour(rng, 0, 110)
    write(rng, image, int(0.08 * width), int(0.16 * height), 0.09 * height, ink)
    middle = int(rng.uniform(0.35, 0.65) * height)
    box = (int(0.08 * width), int(0.2 * height), int(0.92 * width), middle)
    write_lines(rng, image, box, 0.035 * height, ink)
    picture = _abstract(rng, (max(4, int(0.9 * height) - middle), max(4, int(0.8 * width))))
    paste(image, picture, middle + int(0.03 * height), int(0.1 * width))
    return image


def book_shelf(
    rng: Generator, shape_px: tuple[int, int], texels_per_m: float, boards: Colour
) -> Image:
    """The front of a shelf: books of every width and colour with marked backs, and a few boxes."""
    height, width = shape_px
    image = wood(rng, shape_px, texels_per_m, boards)
    board_px = max(2, int(0.025 * texels_per_m))
    rows = max(1, round(height / (0.36 * texels_per_m)))
    for row in range(rows):
        top = board_px + row * (height - board_px) // rows
        bottom = (row + 1) * (height - board_px) // rows
        image[top:bottom, board_px : width - board_px] //= 4
        left = float(board_px)
        while left < width - 2 * board_px:
            thickness = texels_per_m * rng.uniform(0.014, 0.055)
            if rng.random() < 0.12:
                left += thickness * rng.uniform(0.5, 2.5)
                continue
            right = min(left + thickness, width - board_px)
            upper = int(top + (bottom - top) * rng.uniform(0.05, 0.4))
            _book(rng, image, (int(left), upper, int(right), bottom))
            left = right
    return as_image(image * (1.0 + 0.05 * fractal_noise(rng, shape_px, 6, 3, 0.8))[..., None])


def _book(rng: Generator, image: Image, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    colour = random_colour(rng, 15, 235)
    cv2.rectangle(image, (left, top), (right, bottom), colour, -1)
    cv2.line(image, (left, top), (left, bottom), (15, 12, 10), 1)
    for _ in range(int(rng.integers(1, 5))):
        y = int(rng.uniform(top, bottom))
        band = y + int(rng.uniform(1, max(2.0, 0.2 * (bottom - top))))
        cv2.rectangle(image, (left + 1, y), (right - 1, min(band, bottom)),
                      random_colour(rng, 0, 255), -1)  # fmt: skip


def screen(rng: Generator, shape_px: tuple[int, int]) -> Image:
    """A monitor that shows windows, lines of code and pictures."""
    height, width = shape_px
    image = landscape(rng, shape_px)
    for _ in range(3):
        left, top = int(rng.uniform(0.02, 0.45) * width), int(rng.uniform(0.02, 0.45) * height)
        right, bottom = left + int(0.5 * width), top + int(0.5 * height)
        cv2.rectangle(image, (left, top), (right, bottom), random_colour(rng, 5, 250), -1)
        box = (left + 4, top + 4, min(right, width), min(bottom, height))
        write_lines(rng, image, box, 0.035 * height, random_colour(rng, 0, 255))
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (18, 18, 20), max(3, width // 40))
    return image


def whiteboard(rng: Generator, shape_px: tuple[int, int]) -> Image:
    """A board full of writing, boxes and arrows."""
    height, width = shape_px
    tone = 1.0 + 0.02 * fractal_noise(rng, shape_px, 80, 5)
    image = as_image(toned((228, 230, 228), tone))
    inks: list[Colour] = [(20, 30, 140), (150, 20, 30), (15, 110, 50), (25, 25, 25)]
    for _ in range(34):
        ink = inks[int(rng.integers(len(inks)))]
        left, base = (int(v) for v in rng.uniform(0.03, 0.9, 2) * [width, height])
        if rng.random() < 0.6:
            write(rng, image, left, base, height * rng.uniform(0.025, 0.07), ink)
        else:
            far = (left + int(rng.normal(0, 0.15) * width), base + int(rng.normal(0, 0.2) * height))
            shape = cv2.rectangle if rng.random() < 0.4 else cv2.arrowedLine
            shape(image, (left, base), far, ink, 2)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (90, 92, 95), max(3, width // 60))
    return image


def pin_board(rng: Generator, shape_px: tuple[int, int]) -> Image:
    """Cork with cards and photographs pinned at all angles."""
    height, width = shape_px
    image = as_image(toned((168, 124, 78), 1.0 + 0.16 * fractal_noise(rng, shape_px, 10, 4, 0.9)))
    for _ in range(max(6, int(height * width / 9000))):
        size = (int(rng.uniform(50, 120)), int(rng.uniform(50, 120)))
        card = poster(rng, size)
        centre = rng.uniform(0.08, 0.92, 2) * [width, height]
        turn = cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), rng.normal(0, 9), 1.0)
        turn = np.column_stack([turn[:, :2], turn[:, 2] + centre - np.array(size[::-1]) / 2])
        mask = cv2.warpAffine(np.full(size, 255, np.uint8), turn, (width, height))
        pasted = cv2.warpAffine(card, turn, (width, height))
        image[mask > 127] = pasted[mask > 127]
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (96, 70, 42), max(4, width // 50))
    return image


def window(rng: Generator, shape_px: tuple[int, int]) -> Image:
    """A window in its frame, with the street outside."""
    height, width = shape_px
    image = as_image(landscape(rng, shape_px) * np.float32(1.12))
    bar = max(4, int(0.045 * min(shape_px)))
    frame = random_colour(rng, 170, 225)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), frame, 2 * bar)
    cv2.line(image, (width // 2, 0), (width // 2, height), frame, bar)
    cv2.line(image, (0, height // 3), (width, height // 3), frame, bar // 2)
    return image


def door(rng: Generator, shape_px: tuple[int, int], texels_per_m: float, colour: Colour) -> Image:
    """A panelled door with a handle and a sign."""
    height, width = shape_px
    image = np.ascontiguousarray(
        wood(rng, (width, height), texels_per_m, colour).transpose(1, 0, 2)
    )
    for top, bottom in ((0.06, 0.45), (0.52, 0.94)):
        corner = (int(0.14 * width), int(top * height))
        far = (int(0.86 * width), int(bottom * height))
        shade = tuple(0.55 * c for c in colour)
        cv2.rectangle(image, corner, far, shade, max(2, width // 50))
    cv2.circle(image, (int(0.9 * width), int(0.52 * height)), width // 30, (190, 180, 120), -1)
    sign = poster(rng, (max(8, height // 9), max(8, width // 3)))
    paste(image, sign, height // 4, width // 3)
    return image
