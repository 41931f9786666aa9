"""Tracks: the keypoints of several views that are one point of the scene, and where that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.mapping.pose_refinement.cameras import LEAST_DEPTH_M

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.cameras import Cameras

_ROUNDS = 8
"""Of reweighting in a triangulation."""
_AT_ONCE = 50_000
"""Matches that are joined."""


class PairMatches(NamedTuple):
    """Keypoints of two views that may be the same.

    first, second: the views.
    first_p, second_p: the patches of each, int64.
    cosine_p: of their descriptors.
    """

    first: int
    second: int
    first_p: NDArray[np.int64]
    second_p: NDArray[np.int64]
    cosine_p: NDArray[np.float32]


class Tracks(NamedTuple):
    """Observations, each of one track; a track has one observation of a view at most.

    view_n, patch_n: which view's which patch, int64.
    track_n: of which track, int64, from 0 without gaps.
    pixels_n2: where, float64, of the recorded image at working size.
    """

    view_n: NDArray[np.int64]
    patch_n: NDArray[np.int64]
    track_n: NDArray[np.int64]
    pixels_n2: NDArray[np.float64]

    @property
    def track_count(self) -> int:
        """How many tracks there are."""
        return int(self.track_n.max()) + 1 if len(self.track_n) else 0

    def only(self, keep_n: NDArray[np.bool_]) -> tuple[Tracks, NDArray[np.int64]]:
        """These observations, their tracks numbered anew; and the old number of each track (k,)."""
        old_k, track_m = np.unique(self.track_n[keep_n], return_inverse=True)
        return (
            Tracks(self.view_n[keep_n], self.patch_n[keep_n], track_m, self.pixels_n2[keep_n]),
            old_k,
        )


def tracks_of(
    matches: Sequence[PairMatches],
    pixels: Sequence[NDArray[np.float64]],
    min_views: int,
) -> Tracks:
    """Joins matches, the most similar first, as long as no track has a view twice: one wrong match
    cannot make one track of two points.

    pixels: of all patches of each view.
    """
    offsets_v = np.concatenate([[0], np.cumsum([len(pixels_n2) for pixels_n2 in pixels])])
    if not any(len(pair.first_p) for pair in matches):
        none = np.empty(0, np.int64)
        return Tracks(none, none, none, np.empty((0, 2)))
    first_m = np.concatenate([offsets_v[pair.first] + pair.first_p for pair in matches])
    second_m = np.concatenate([offsets_v[pair.second] + pair.second_p for pair in matches])
    order_m = np.argsort(-np.concatenate([pair.cosine_p for pair in matches]), kind="stable")
    nodes_o, inverse = np.unique(
        np.concatenate([first_m[order_m], second_m[order_m]]), return_inverse=True
    )
    view_o = np.asarray(np.searchsorted(offsets_v, nodes_o, side="right") - 1, np.int64)
    root_o = _joined(view_o, inverse[: len(order_m)], inverse[len(order_m) :])
    _, track_o, length_k = np.unique(root_o, return_inverse=True, return_counts=True)
    keep_o = length_k[track_o] >= min_views
    _, track_n = np.unique(track_o[keep_o], return_inverse=True)
    view_n = view_o[keep_o]
    patch_n = nodes_o[keep_o] - offsets_v[view_n]
    all_pixels = np.concatenate(list(pixels))
    return Tracks(view_n, patch_n, track_n, all_pixels[nodes_o[keep_o]])


def _joined(
    view_o: NDArray[np.int64], first_m: NDArray[np.int64], second_m: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The root of each node. A tree of one node needs no set of its views."""
    views = view_o.tolist()
    of_tree: dict[int, set[int]] = {}
    parent = list(range(len(views)))
    for a, b in _some_by_some(first_m, second_m):
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if a == b:
            continue
        seen_a, seen_b = of_tree.get(a) or {views[a]}, of_tree.get(b) or {views[b]}
        if seen_a.isdisjoint(seen_b):
            parent[b] = a
            if len(seen_a) < len(seen_b):
                seen_a, seen_b = seen_b, seen_a
            seen_a |= seen_b  # as a new set each time it would be a quarter slower
            of_tree[a] = seen_a
            of_tree.pop(b, None)
    root_o = np.array(parent)
    while not np.array_equal(further_o := root_o[root_o], root_o):
        root_o = further_o
    return root_o


def _some_by_some(
    first_m: NDArray[np.int64], second_m: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Both side by side. As objects of Python all of them would take five times their memory."""
    for start in range(0, len(first_m), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        yield from zip(first_m[some].tolist(), second_m[some].tolist(), strict=True)


def triangulate(tracks: Tracks, cameras: Cameras, error_px: float) -> NDArray[np.float64]:
    """Points (k, 3) of all tracks: least squares of distances to rays, reweighted by depth and by
    reprojection error, as `mapping/views/triangulation.py` does it for one view's patches.

    error_px: from which on an observation counts less.
    """
    count, track_n = tracks.track_count, tracks.track_n
    rays_n3 = cameras.rays(tracks.view_n, tracks.pixels_n2)
    origin_3 = cameras.centres_v3.mean(axis=0)
    across_n33 = np.eye(3) - rays_n3[:, :, None] * rays_n3[:, None, :]
    centres_n3 = cameras.centres_v3[tracks.view_n] - origin_3
    across_c_n3 = np.einsum("nij,nj->ni", across_n33, centres_n3)
    weight_n = np.ones(len(track_n))
    points_k3 = np.zeros((count, 3))
    for step in range(_ROUNDS):
        matrix_k33, right_k3 = np.empty((count, 3, 3)), np.empty((count, 3))
        weight_n /= np.bincount(track_n, weight_n, count)[track_n].clip(1e-12)
        for row in range(3):
            right_k3[:, row] = np.bincount(track_n, weight_n * across_c_n3[:, row], count)
            for column in range(3):
                summed_k = np.bincount(track_n, weight_n * across_n33[:, row, column], count)
                matrix_k33[:, row, column] = summed_k
        # the small ridge keeps parallel rays solvable; the parallax test drops their points
        matrix_k33 += 1e-9 * np.eye(3)
        points_k3 = np.linalg.solve(matrix_k33, right_k3[..., None])[..., 0] + origin_3
        error_n, depth_n = cameras.reprojection(tracks, points_k3)
        scale_px = max(error_px, 4 * error_px / 2**step)
        weight_n = 1.0 / (1.0 + (error_n / scale_px) ** 2) ** 2
        weight_n /= np.maximum(depth_n, LEAST_DEPTH_M) ** 2
    return points_k3


def trustworthy(
    tracks: Tracks,
    points_k3: NDArray[np.float64],
    cameras: Cameras,
    error_px: float,
    min_views: int,
    min_parallax_deg: float,
) -> NDArray[np.bool_]:
    """Which observations (n,) lie within the error, of tracks that enough of them see from
    directions that differ enough.
    """
    error_n, depth_n = cameras.reprojection(tracks, points_k3)
    keep_n = (error_n < error_px) & (depth_n > LEAST_DEPTH_M)
    finite_k = np.asarray(np.isfinite(points_k3).all(axis=1))
    keep_n &= finite_k[tracks.track_n]
    track_n, count = tracks.track_n, tracks.track_count
    rays_n3 = np.asarray(points_k3[track_n] - cameras.centres_v3[tracks.view_n], np.float64)
    rays_n3 = rays_n3 / np.linalg.norm(rays_n3, axis=1, keepdims=True).clip(1e-9)
    kept_n = track_n[keep_n]
    mean_k3 = np.stack([np.bincount(kept_n, rays_n3[keep_n, i], count) for i in range(3)], axis=1)
    mean_k3 = mean_k3 / np.linalg.norm(mean_k3, axis=1, keepdims=True).clip(1e-9)
    from_mean_n = np.arccos(np.clip((rays_n3 * mean_k3[track_n]).sum(axis=1), -1.0, 1.0))
    widest_k = np.zeros(count)
    np.maximum.at(widest_k, kept_n, from_mean_n[keep_n])
    good_k = np.bincount(kept_n, minlength=count) >= min_views
    good_k &= 2 * widest_k > np.radians(min_parallax_deg)
    return np.asarray(keep_n & good_k[track_n])


def shortened(tracks: Tracks, most_views: int) -> NDArray[np.bool_]:
    """Which observations (n,) to keep so that no track has more, evenly from its first view to its
    last. What adjusting a track costs grows with the cube of its views, its memory with the square.
    """
    order_n = np.lexsort((tracks.view_n, tracks.track_n))
    track_n = tracks.track_n[order_n]
    length_k = np.bincount(track_n, minlength=tracks.track_count)
    starts_k = np.concatenate([[0], np.cumsum(length_k)[:-1]])
    rank_n = np.arange(len(track_n)) - starts_k[track_n]
    length_n = np.maximum(length_k[track_n], most_views)
    step_n = rank_n * most_views // length_n
    keep_n = np.empty(len(track_n), dtype=bool)
    keep_n[order_n] = (rank_n == 0) | (step_n != (rank_n - 1) * most_views // length_n)
    return keep_n


def thinned(tracks: Tracks, per_view: int) -> NDArray[np.bool_]:
    """Which observations (n,) to keep so that each view has about `per_view`: the longest tracks
    first, and no track that two views which still need it do not see.
    """
    length_k = np.bincount(tracks.track_n, minlength=tracks.track_count)
    order_n = np.argsort(tracks.track_n, kind="stable")
    starts_k = np.concatenate([[0], np.cumsum(length_k)])
    view_n = tracks.view_n[order_n]
    have_v = np.zeros(int(tracks.view_n.max(initial=0)) + 1, dtype=np.int64)
    keep_k = np.zeros(tracks.track_count, dtype=bool)
    for track in np.argsort(-length_k, kind="stable").tolist():
        views = view_n[starts_k[track] : starts_k[track + 1]]
        if (have_v[views] < per_view).sum() >= 2:
            keep_k[track] = True
            have_v[views] += 1
    return keep_k[tracks.track_n]
