"""Observations: what views see of points, from matched keypoints to what is adjusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.mapping.pose_refinement.pair_matching import match_pairs, near_epipolar
from glace_ros.mapping.pose_refinement.tracks import (
    Tracks,
    shortened,
    thinned,
    tracks_of,
    triangulate,
    trustworthy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.cameras import Cameras
    from glace_ros.mapping.pose_refinement.refinement_config import BundleConfig, KeypointConfig
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView
    from glace_ros.mapping.pose_refinement.tracks import PairMatches

_MEDIAN_OF_NORM = 1.177
"""Of the norm of two normal deviates of standard deviation 1 (Rayleigh)."""


class Observations(NamedTuple):
    """Of one kind of keypoints.

    tracks: who sees which point where.
    points_k3: of each track, metres.
    keypoints: how precise they are.
    """

    tracks: Tracks
    points_k3: NDArray[np.float64]
    keypoints: KeypointConfig


class MatchedKeypoints(NamedTuple):
    """One kind of keypoints of all views, and which of them may be the same.

    views: with these keypoints.
    keypoints: how many are wanted, and how precise they are.
    """

    views: Sequence[RefinementView]
    matches: list[PairMatches]
    keypoints: KeypointConfig

    @staticmethod
    def of(
        views: Sequence[RefinementView],
        map_from_camera: Sequence[Pose],
        pairs: Sequence[tuple[int, int]],
        epipolar_px: float,
        keypoints: KeypointConfig,
    ) -> MatchedKeypoints:
        """What matches in pairs of views, near the epipolar lines of these poses."""
        matches = match_pairs(views, map_from_camera, pairs, epipolar_px, keypoints.min_cosine)
        return MatchedKeypoints(views, matches, keypoints)

    def near(self, cameras: Cameras, epipolar_px: float) -> MatchedKeypoints:
        """Those of the matches that are near the epipolar lines of these cameras."""
        return self._replace(matches=near_epipolar(self.matches, self.views, cameras, epipolar_px))

    def observed(self, cameras: Cameras, error_px: float, config: BundleConfig) -> Observations:
        """Tracks that these cameras explain, enough of each view, and their points."""
        pixels = [view.pixels_n2 for view in self.views]
        tracks = tracks_of(self.matches, pixels, config.min_views)
        points_k3 = triangulate(tracks, cameras, error_px)
        good_n = trustworthy(
            tracks, points_k3, cameras, error_px, config.min_views, config.min_parallax_deg
        )
        tracks, old_k = tracks.only(good_n)
        points_k3 = points_k3[old_k]
        tracks, _ = tracks.only(shortened(tracks, config.most_views))
        bound = self.keypoints.most_observations // len(self.views)
        tracks, old_k = tracks.only(thinned(tracks, min(self.keypoints.observations, bound)))
        return Observations(tracks, points_k3[old_k], self.keypoints)


def reprojection_px(
    observations: Sequence[Observations], cameras: Cameras
) -> list[NDArray[np.float64]]:
    """From each observation to its point; an array (n,) for each kind."""
    return [cameras.reprojection(seen.tracks, seen.points_k3)[0] for seen in observations]


def noise_ratio(observations: Sequence[Observations], cameras: Cameras) -> float:
    """Of keypoints, by that which was assumed of them; 1 where there are none."""
    errors = reprojection_px(observations, cameras)
    assumed = [
        error_n / seen.keypoints.sigma_px
        for error_n, seen in zip(errors, observations, strict=True)
    ]
    of_all_n = np.concatenate(assumed)
    return float(np.median(of_all_n)) / _MEDIAN_OF_NORM if len(of_all_n) else 1.0
