"""Light baked into the textures: lamps with soft shadows, and the dark of corners.

Light depends on the place alone, not on the onlooker; so rays compute it once, on a coarse grid
over each panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from glace_ros.simulation.ray_caster import RayCaster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.simulation.panels import Panel

_GRID_M = 0.16
"""From point to point of a panel for which the light is computed; in between it is interpolated."""
_CORNER_RAYS = 20
"""Directions in which something near is looked for at each point."""
_CORNER_REACH_M = 1.0
"""What is farther away darkens no corner."""
_RAYS_PER_LAMP = 4
"""To random places of the lamp, so that shadows are soft."""


@dataclass(frozen=True)
class Light:
    """How light a day is. What glows looks the same on every day; a lamp that is off is grey."""

    sky: float = 0.55
    """Light from everywhere, which only corners lack."""
    lamps: float = 2.6
    """Strength of each lamp."""
    lamps_off: float = 0.0
    """Ratio of the lamps that are off."""
    tint_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gain of each colour."""


DAYLIGHT = Light(sky=0.8, lamps=1.4, lamps_off=0.5, tint_rgb=(0.92, 1.0, 1.1))
"""Another day: more light through windows, half of the lamps off, bluer."""


def lit_textures(
    panels: Sequence[Panel], seed: int, light: Light | None = None
) -> list[NDArray[np.uint8]]:
    """Each panel's texture (height, width, 3) under the light that reaches it.

    The panels that glow and face down are the lamps.
    """
    light = light or Light()
    rng = np.random.default_rng(seed)
    grids = [_grid_shape(panel) for panel in panels]
    points_n3 = np.concatenate([_grid(p, g) for p, g in zip(panels, grids, strict=True)])
    counts = [rows * columns for rows, columns in grids]
    normals_n3 = np.repeat(np.stack([p.normal_3 for p in panels]), counts, axis=0)
    caster = RayCaster(panels)
    lamps = [index for index, p in enumerate(panels) if p.glows and p.normal_3[2] < -0.9]
    off = np.random.default_rng([seed, 505]).permutation(lamps)[: int(light.lamps_off * len(lamps))]
    light_n = light.sky * _openness(caster, points_n3, normals_n3, rng)
    for lamp in lamps:
        if lamp not in off:
            lit_n = _lamp_light(caster, panels[lamp], points_n3, normals_n3, rng, light.lamps)
            light_n += lit_n
    pieces = np.split(light_n.astype(np.float32), np.cumsum(counts)[:-1])
    tint_3 = np.array(light.tint_rgb, dtype=np.float32)
    return [
        panel.texture_hwc // (1 + (index in off))
        if panel.glows
        else _shaded(panel.texture_hwc, piece.reshape(grid), tint_3)
        for index, (panel, piece, grid) in enumerate(zip(panels, pieces, grids, strict=True))
    ]


def _grid_shape(panel: Panel) -> tuple[int, int]:
    rows, columns = (int(np.clip(np.ceil(size / _GRID_M), 2, 80)) for size in panel.size_m)
    return rows, columns


def _grid(panel: Panel, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Points (rows * columns, 3) at the middles of the grid's cells, just before the panel."""
    rows, columns = ((np.arange(n) + 0.5) / n for n in grid)
    row_n, column_n = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    return panel.points(row_n, column_n) + 0.004 * panel.normal_3


def _openness(
    caster: RayCaster,
    points_n3: NDArray[np.float64],
    normals_n3: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(n,) ratio of the directions, weighted by their cosine, in which nothing is near."""
    open_n = np.zeros(len(points_n3))
    for _ in range(_CORNER_RAYS):
        sphere_n3 = rng.standard_normal((len(points_n3), 3))
        sphere_n3 /= np.linalg.norm(sphere_n3, axis=1, keepdims=True)
        directions_n3 = normals_n3 + 0.999 * sphere_n3  # cosine-weighted about the normal
        directions_n3 /= np.linalg.norm(directions_n3, axis=1, keepdims=True)
        reach_n = _CORNER_REACH_M * rng.uniform(0.1, 1.0, len(points_n3)).astype(np.float32)
        open_n += ~caster.blocked(points_n3, directions_n3, reach_n)
    return open_n / _CORNER_RAYS


def _lamp_light(
    caster: RayCaster,
    lamp: Panel,
    points_n3: NDArray[np.float64],
    normals_n3: NDArray[np.float64],
    rng: np.random.Generator,
    strength: float,
) -> NDArray[np.float64]:
    light_n = np.zeros(len(points_n3))
    for row, column in rng.uniform(0, 1, (_RAYS_PER_LAMP, 2)):
        # 3 cm below the lamp, which would shade itself otherwise
        toward_n3 = lamp.points(row, column) - [0, 0, 0.03] - points_n3
        distance_n = np.linalg.norm(toward_n3, axis=1)
        toward_n3 /= distance_n[:, None]
        cosine_n = np.maximum(np.einsum("nk,nk->n", toward_n3, normals_n3), 0.0)
        free_n = ~caster.blocked(points_n3, toward_n3, distance_n.astype(np.float32))
        light_n += free_n * cosine_n * strength / (0.8 + distance_n**2)
    return light_n / _RAYS_PER_LAMP


def _shaded(
    texture_hwc: NDArray[np.uint8], light_hw: NDArray[np.float32], tint_3: NDArray[np.float32]
) -> NDArray[np.uint8]:
    height, width = texture_hwc.shape[:2]
    smooth_hw = cv2.blur(light_hw, (3, 3), borderType=cv2.BORDER_REPLICATE)
    gain_hw = cv2.resize(smooth_hw, (width, height), interpolation=cv2.INTER_LINEAR)
    gain_hw = np.clip(gain_hw, 0.04, 1.6) ** np.float32(1 / 1.8)  # textures are gamma-encoded
    return np.clip(texture_hwc * (gain_hw[..., None] * tint_3), 0, 255).astype(np.uint8)
