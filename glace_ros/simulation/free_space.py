"""Where a robot fits between the obstacles, and the way from one such place to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

_CELL_M = 0.05


class FreeSpace:
    """A grid over the floor; free are the cells at least `clearance_m` from every obstacle."""

    def __init__(self, obstacles_m: NDArray[np.float64], clearance_m: float) -> None:
        """obstacles_m: rectangles (n, 4) x0, y0, x1, y1; the outermost are the outer walls."""
        self._low_2 = obstacles_m[:, :2].min(axis=0)
        self._shape = tuple(
            int(n) for n in np.ceil((obstacles_m[:, 2:].max(axis=0) - self._low_2) / _CELL_M)
        )
        occupied = np.zeros(self._shape, dtype=bool)
        for x0, y0, x1, y1 in obstacles_m:
            (left, low), (right, high) = self._cell([x0, y0]), self._cell([x1, y1])
            occupied[left : right + 1, low : high + 1] = True
        self._clearance_m = distance_transform_edt(~np.pad(occupied, 1, constant_values=True))
        self._clearance_m = self._clearance_m[1:-1, 1:-1] * _CELL_M
        regions, _ = label(self._clearance_m >= clearance_m)
        largest = np.argmax(np.bincount(regions.ravel())[1:]) + 1
        self._free = regions == largest
        self._graph = self._connect()

    def clearance_m(self, place_2: NDArray[np.float64]) -> float:
        """Distance from a place to the nearest obstacle, to a cell's width."""
        return float(self._clearance_m[self._cell(place_2)])

    def nearest_free(self, place_2: NDArray[np.float64]) -> NDArray[np.float64]:
        """The free place (2,) nearest to a place."""
        cells_n2 = np.argwhere(self._free)
        places_n2 = self._centre(cells_n2)
        return np.asarray(places_n2[np.argmin(np.linalg.norm(places_n2 - place_2, axis=1))])

    def path(
        self, start_2: NDArray[np.float64], goal_2: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Places (n, 2) a cell apart from one free place to another, rather far from obstacles."""
        start, goal = (
            int(np.ravel_multi_index(self._cell(p), self._shape)) for p in (start_2, goal_2)
        )
        _, before = dijkstra(self._graph, indices=start, return_predecessors=True)
        cells = [goal]
        while cells[-1] != start:
            cells.append(int(before[cells[-1]]))
        places_n2 = self._centre(np.stack(np.unravel_index(cells[::-1], self._shape), axis=1))
        # A grid knows eight directions only: smooth its corners away, but not its ends. (Not with
        # scipy's uniform_filter1d: its running sum rounds otherwise, and every drive would change.)
        padded = np.pad(places_n2, ((4, 4), (0, 0)), mode="edge")
        smooth = np.stack([padded[i : i + len(places_n2)] for i in range(9)]).mean(axis=0)
        return np.concatenate([places_n2[:1], smooth[1:-1], places_n2[-1:]])

    def _cell(self, place_2: NDArray[np.float64] | list[float]) -> tuple[int, int]:
        column, row = np.floor((np.asarray(place_2) - self._low_2) / _CELL_M).astype(int)
        return (
            int(np.clip(column, 0, self._shape[0] - 1)),
            int(np.clip(row, 0, self._shape[1] - 1)),
        )

    def _centre(self, cells_n2: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(self._low_2 + (cells_n2 + 0.5) * _CELL_M)

    def _connect(self) -> coo_array:
        """Edges between free neighbours; those near obstacles count as longer."""
        index = np.arange(self._free.size).reshape(self._shape)
        starts, stops, lengths = [], [], []
        for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
            rows = slice(0, self._shape[0] - dx)
            low = slice(max(0, -dy), self._shape[1] - max(0, dy))
            beside = slice(max(0, dy), self._shape[1] - max(0, -dy))
            one, other = (rows, low), (slice(dx, None), beside)
            both = self._free[one] & self._free[other]
            near = np.minimum(self._clearance_m[one], self._clearance_m[other])[both]
            starts.append(index[one][both])
            stops.append(index[other][both])
            lengths.append(np.hypot(dx, dy) * (1.0 + 0.15 / near**2))
        edges = (np.concatenate(starts), np.concatenate(stops))
        size = (self._free.size, self._free.size)
        graph = coo_array((np.concatenate(lengths), edges), shape=size)
        return (graph + graph.T).tocsr()
