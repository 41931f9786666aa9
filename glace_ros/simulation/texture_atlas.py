"""All textures at all scales in one picture: one lookup colours an image without aliasing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_WIDTH_PX = 8192
_LEVELS = 7
_BORDER_PX = 2


class TextureAtlas:
    """Mip-mapped textures: level l halves the resolution l times."""

    def __init__(self, textures: Sequence[NDArray[np.uint8]]) -> None:
        pieces = [level for texture in textures for level in _pyramid(texture)]
        corners = _shelves([(piece.shape[0], piece.shape[1]) for piece in pieces])
        height_px = max(y + piece.shape[0] for (_, y), piece in zip(corners, pieces, strict=True))
        self._atlas_hwc = np.zeros((height_px, _WIDTH_PX, 3), dtype=np.uint8)
        for (x, y), piece in zip(corners, pieces, strict=True):
            self._atlas_hwc[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
        sizes_e2 = np.array([piece.shape[1::-1] for piece in pieces], dtype=np.float32)
        self._width_e, self._height_e = (sizes_e2 - 2 * _BORDER_PX).T.copy()
        # a texture's edge is half a pixel before the centre of its first pixel
        starts_e2 = np.array(corners, dtype=np.float32) + np.float32(_BORDER_PX - 0.5)
        self._left_e, self._top_e = starts_e2.T.copy()

    def colours(
        self, texture_n: NDArray[np.int64], row_n: Floats, column_n: Floats, level_n: Floats
    ) -> Floats:
        """Colours (n, 3) in [0, 255] at fractions of textures, at fractional levels."""
        row_n, column_n = np.clip(row_n, 0, 1), np.clip(column_n, 0, 1)
        level_n = np.clip(level_n, 0.0, _LEVELS - 1.001)
        lower_n = level_n.astype(np.int64)
        entry_n = texture_n * _LEVELS + lower_n
        colours_n3 = self._lookup(entry_n, row_n, column_n)
        between = np.flatnonzero(level_n > lower_n)
        upper_m3 = self._lookup(entry_n[between] + 1, row_n[between], column_n[between])
        mix_m1 = (level_n - lower_n)[between, None].astype(np.float32)
        colours_n3[between] += mix_m1 * (upper_m3 - colours_n3[between])
        return colours_n3

    def _lookup(self, entry_n: NDArray[np.int64], row_n: Floats, column_n: Floats) -> Floats:
        x_n = self._left_e[entry_n] + column_n * self._width_e[entry_n]
        y_n = self._top_e[entry_n] + row_n * self._height_e[entry_n]
        # OpenCV wants maps with fewer than 32768 rows, and not empty
        columns = 256
        padding = -len(x_n) % columns if len(x_n) else columns
        map_x, map_y = (np.pad(v, (0, padding)).reshape(-1, columns) for v in (x_n, y_n))
        found = cv2.remap(self._atlas_hwc, map_x, map_y, cv2.INTER_LINEAR)
        return found.reshape(-1, 3)[: len(x_n)].astype(np.float32)


def _pyramid(texture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The texture at all levels, each within a border that repeats its edge."""
    levels = []
    for level in range(_LEVELS):
        size = (max(1, texture.shape[1] >> level), max(1, texture.shape[0] >> level))
        scaled = cv2.resize(texture, size, interpolation=cv2.INTER_AREA) if level else texture
        border = (_BORDER_PX,) * 4
        bordered = cv2.copyMakeBorder(scaled, *border, borderType=cv2.BORDER_REPLICATE)
        levels.append(np.asarray(bordered, dtype=np.uint8))
    return levels


def _shelves(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Corners (x, y) for rectangles (height, width), laid row by row, the tallest first."""
    corners = [(0, 0)] * len(sizes)
    x = y = shelf_px = 0
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i][0]):
        height, width = sizes[index]
        if x + width > _WIDTH_PX:
            x, y, shelf_px = 0, y + shelf_px, 0
        corners[index] = (x, y)
        x, shelf_px = x + width, max(shelf_px, height)
    return corners
