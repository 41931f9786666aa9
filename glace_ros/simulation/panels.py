"""What the building is made of: flat, textured rectangles, and boxes made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Panel:
    """A rectangle in the map frame (metres), seen from the side of `normal_3`.

    corner_3: its upper left corner as the onlooker sees it.
    across_3: its upper edge, to the onlooker's right.
    down_3: its left edge.
    texture_hwc: uint8 RGB; the first row runs along the upper edge.
    glows: shines by itself (lamp, screen, window), so that shadows leave it alone.
    """

    corner_3: NDArray[np.float64]
    across_3: NDArray[np.float64]
    down_3: NDArray[np.float64]
    texture_hwc: Image
    glows: bool = False

    @property
    def normal_3(self) -> NDArray[np.float64]:
        """Unit vector toward the onlooker."""
        normal_3 = np.cross(self.down_3, self.across_3)
        return np.asarray(normal_3 / np.linalg.norm(normal_3))

    @property
    def size_m(self) -> tuple[float, float]:
        """Height and width."""
        return float(np.linalg.norm(self.down_3)), float(np.linalg.norm(self.across_3))

    def points(self, rows_n: ArrayLike, columns_n: ArrayLike) -> NDArray[np.float64]:
        """Points (n, 3) at fractions in [0, 1] of the way down and across."""
        rows_n1, columns_n1 = np.reshape(rows_n, (-1, 1)), np.reshape(columns_n, (-1, 1))
        return self.corner_3 + rows_n1 * self.down_3 + columns_n1 * self.across_3


@dataclass(eq=False)
class Scene:
    """Panels, and the places that a robot cannot drive through.

    panels: what is seen.
    obstacles: rectangles (x0, y0, x1, y1) on the floor, metres.
    """

    panels: list[Panel] = field(default_factory=list)
    obstacles: list[tuple[float, float, float, float]] = field(default_factory=list)

    def rectangle(
        self,
        corner_3: ArrayLike,
        across_3: ArrayLike,
        down_3: ArrayLike,
        texture_hwc: Image,
        *,
        glows: bool = False,
    ) -> None:
        """Adds one panel; see `Panel`."""
        corner, across, down = (
            np.asarray(v, dtype=np.float64) for v in (corner_3, across_3, down_3)
        )
        self.panels.append(Panel(corner, across, down, texture_hwc, glows))


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a room or a piece of furniture stands: an origin on the floor and a heading.

    Its own frame: x to the right and y away from somebody who stands before it and looks at it;
    `turns` quarter turns counter-clockwise take that frame to the map's axes.
    """

    scene: Scene
    x_m: float
    y_m: float
    turns: int = 0
    texels_per_m: float = 220.0

    def vector(self, x_m: float, y_m: float, z_m: float) -> NDArray[np.float64]:
        """A direction of the own frame, in the map frame."""
        cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.turns % 4]
        return np.array([cosine * x_m - sine * y_m, sine * x_m + cosine * y_m, z_m], dtype=float)

    def point(self, x_m: float, y_m: float, z_m: float) -> NDArray[np.float64]:
        """A point of the own frame, in the map frame."""
        return np.asarray(self.vector(x_m, y_m, z_m) + np.array([self.x_m, self.y_m, 0.0]))

    def at(self, x_m: float, y_m: float, turns: int = 0) -> Placement:
        """Another placement, given in this one's frame."""
        x_map_m, y_map_m, _ = self.point(x_m, y_m, 0.0)
        return Placement(
            self.scene, float(x_map_m), float(y_map_m), self.turns + turns, self.texels_per_m
        )

    def texels(self, height_m: float, width_m: float, density: float = 1.0) -> tuple[int, int]:
        """Size in pixels of a texture for a panel of that size."""
        scale = self.texels_per_m * density
        return max(8, round(height_m * scale)), max(8, round(width_m * scale))

    def upright(
        self,
        left_m: float,
        y_m: float,
        top_m: float,
        width_m: float,
        height_m: float,
        texture_hwc: Image,
        *,
        glows: bool = False,
    ) -> None:
        """Adds a vertical panel that faces -y (toward the onlooker).

        left_m: x of its left edge.
        y_m: y of all of it.
        top_m: height of its upper edge.
        width_m, height_m: its size.
        texture_hwc: uint8 RGB, stretched to that size.
        glows: whether it shines by itself.
        """
        self.scene.rectangle(
            self.point(left_m, y_m, top_m),
            self.vector(width_m, 0, 0),
            self.vector(0, 0, -height_m),
            texture_hwc,
            glows=glows,
        )

    def box(
        self,
        low_3: tuple[float, float, float],
        high_3: tuple[float, float, float],
        material: Callable[[tuple[int, int]], Image],
        front: Image | None = None,
        *,
        front_glows: bool = False,
        solid: bool = True,
    ) -> None:
        """Adds a box.

        low_3: its corner of least x, y, z in metres, in the own frame.
        high_3: the opposite corner.
        material: makes an image of (height, width) pixels for each face.
        front: image of the face to -y; None: of the material too.
        front_glows: whether that face shines by itself.
        solid: whether a robot has to drive around it.
        """
        (x0, y0, z0), (x1, y1, z1) = low_3, high_3
        width_m, depth_m, height_m = x1 - x0, y1 - y0, z1 - z0
        sides = (
            (x0, y0, 0, width_m, front, front_glows),
            (x1, y0, 1, depth_m, None, False),
            (x1, y1, 2, width_m, None, False),
            (x0, y1, 3, depth_m, None, False),
        )
        for x, y, turns, length_m, picture, glows in sides:
            face = material(self.texels(height_m, length_m)) if picture is None else picture
            self.at(x, y, turns).upright(0, 0, z1, length_m, height_m, face, glows=glows)
        self.scene.rectangle(
            self.point(x0, y1, z1),
            self.vector(width_m, 0, 0),
            self.vector(0, -depth_m, 0),
            material(self.texels(depth_m, width_m)),
        )
        if z0 > 0.02:
            self.scene.rectangle(
                self.point(x0, y0, z0),
                self.vector(width_m, 0, 0),
                self.vector(0, depth_m, 0),
                material(self.texels(depth_m, width_m)),
            )
        if solid:
            (ax, ay, _), (bx, by, _) = self.point(x0, y0, 0), self.point(x1, y1, 0)
            self.scene.obstacles.append((min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)))
