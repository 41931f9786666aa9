"""Where rays meet the building: trimesh's Embree intersector finds the panel, algebra the point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import trimesh
from trimesh.ray.ray_pyembree import RayMeshIntersector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.simulation.panels import Panel

    Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Hits:
    """The first panel along each of n rays.

    panel_n: its index, or -1 where a ray leaves the building.
    distance_n: in lengths of the ray's direction.
    row_n, column_n: fractions in [0, 1] of the panel's height and width.
    cosine_n: of the angle between the ray and the panel's normal, not negative.
    """

    panel_n: NDArray[np.int64]
    distance_n: Floats
    row_n: Floats
    column_n: Floats
    cosine_n: Floats


class RayCaster:
    """Casts rays into a set of panels."""

    def __init__(self, panels: Sequence[Panel]) -> None:
        corners_p43 = np.stack([panel.points([0, 0, 1, 1], [0, 1, 1, 0]) for panel in panels])
        quads_p4 = np.arange(4 * len(panels)).reshape(-1, 4)
        self._faces_f3 = quads_p4[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
        self._corners_p43 = corners_p43
        self._embree = self._intersector()
        self._corner_p3 = corners_p43[:, 0]
        self._normal_p3 = np.stack([panel.normal_3 for panel in panels])
        self._down_p3 = np.stack([p.down_3 / (p.down_3 @ p.down_3) for p in panels])
        self._across_p3 = np.stack([p.across_3 / (p.across_3 @ p.across_3) for p in panels])

    def _intersector(self) -> RayMeshIntersector:
        mesh = trimesh.Trimesh(self._corners_p43.reshape(-1, 3), self._faces_f3, process=False)
        return RayMeshIntersector(mesh, scale_to_box=False)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: Embree's own structure stays here and is made anew there."""
        return {name: value for name, value in self.__dict__.items() if name != "_embree"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._embree = self._intersector()

    def first_panels(
        self, origins_n3: NDArray[np.float64], directions_n3: NDArray[np.float64] | Floats
    ) -> NDArray[np.int64]:
        """Index of the first panel along each ray, or -1."""
        faces_n = self._embree.intersects_first(origins_n3, directions_n3)
        return np.asarray(np.where(faces_n < 0, -1, faces_n // 2), dtype=np.int64)

    def cast(self, origin_3: NDArray[np.float64], directions_n3: Floats) -> Hits:
        """Rays from one point; directions of any length."""
        origins_n3 = np.broadcast_to(origin_3, directions_n3.shape)
        panel_n = self.first_panels(origins_n3, directions_n3)
        from_corner_p3 = origin_3 - self._corner_p3
        x_n, y_n, z_n = directions_n3.T.copy()

        def along(axis_p3: NDArray[np.float64]) -> tuple[Floats, Floats]:
            """The ray's start and its slope along each panel's axis."""
            start_p = np.sum(from_corner_p3 * axis_p3, axis=1).astype(np.float32)
            x_p, y_p, z_p = axis_p3.astype(np.float32).T.copy()
            slope_n = x_n * x_p[panel_n] + y_n * y_p[panel_n] + z_n * z_p[panel_n]
            return start_p[panel_n], slope_n

        height_n, sinking_n = along(self._normal_p3)
        distance_n = -height_n / np.where(sinking_n == 0.0, np.float32(-1e-12), sinking_n)
        row_start_n, row_slope_n = along(self._down_p3)
        column_start_n, column_slope_n = along(self._across_p3)
        return Hits(
            panel_n,
            distance_n,
            row_start_n + distance_n * row_slope_n,
            column_start_n + distance_n * column_slope_n,
            np.abs(sinking_n) / np.sqrt(x_n**2 + y_n**2 + z_n**2),
        )

    def blocked(
        self, points_n3: NDArray[np.float64], directions_n3: NDArray[np.float64], within_n: Floats
    ) -> NDArray[np.bool_]:
        """Whether anything stands within that distance of each point, along its unit direction."""
        panel_n = self.first_panels(points_n3, directions_n3)
        normal_n3 = self._normal_p3[panel_n]
        gap_n = np.einsum("nk,nk->n", self._corner_p3[panel_n] - points_n3, normal_n3)
        sinking_n = np.einsum("nk,nk->n", directions_n3, normal_n3)
        distance_n = gap_n / np.where(sinking_n == 0.0, 1e-12, sinking_n)
        return np.asarray((panel_n >= 0) & (distance_n < within_n))
