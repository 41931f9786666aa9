"""What printed things share: muted colours, words that mean nothing, and a place in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from numpy.random import Generator

    from glace_ros.simulation.textures import Colour, Image

_LETTERS = "ABCDEFGHIKLMNOPRSTUVWXYZabdefghklmnopqrstuz0123456789"
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)


def random_colour(rng: Generator, low: float = 20, high: float = 235) -> Colour:
    """Any colour with channels between `low` and `high`, muted as printed colours are."""
    colour_3 = rng.uniform(low, high, 3)
    red, green, blue = colour_3 + rng.uniform(0.1, 0.8) * (colour_3.mean() - colour_3)
    return float(red), float(green), float(blue)


def random_word(rng: Generator, letters: int) -> str:
    """Letters that mean nothing, but that no other picture repeats."""
    return "".join(rng.choice(list(_LETTERS), letters))


def paste(image: Image, patch: Image, top: int, left: int) -> None:
    """Copies what fits of the patch into the image, its upper left corner at (top, left)."""
    region = image[top : top + patch.shape[0], left : left + patch.shape[1]]
    region[:] = patch[: region.shape[0], : region.shape[1]]


def write(
    rng: Generator, image: Image, left: int, base: int, height_px: float, ink: Colour
) -> None:
    """Writes one word of letters `height_px` tall with its lower left corner at (left, base)."""
    font = int(rng.choice(_FONTS))
    scale = height_px / 22.0
    thickness = max(1, round(height_px / 11))
    word = random_word(rng, int(rng.integers(2, 9)))
    cv2.putText(image, word, (left, base), font, scale, ink, thickness, cv2.LINE_AA)


def write_lines(
    rng: Generator, image: Image, box: tuple[int, int, int, int], height_px: float, ink: Colour
) -> None:
    """Fills the box (left, top, right, bottom) with lines of words."""
    left, top, right, bottom = box
    base = top + height_px * 1.3
    region = image[top:bottom, left:right].copy()
    while base < bottom:
        at = 0.0
        while at < (right - left) * rng.uniform(0.6, 1.0):
            write(rng, region, int(at), int(base - top), height_px, ink)
            at += height_px * rng.uniform(3.0, 7.0)
        base += height_px * 1.9
    image[top:bottom, left:right] = region
