"""Landmark tracks: where the views see each landmark, to a part of a pixel, and so where it is.

A keypoint tells which landmark a view sees. Where exactly, tells a picture of the landmark, cut
out of the view that sees it best and aligned in all others: keypoints of XFeat lie 1.3 px from the
point that they agree on (office recording), aligned pictures 0.4 px. The map keeps the pictures, so
that a robot's image is aligned to them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from glace_ros.features.template_alignment import TEMPLATE_PX, align_templates, cut_templates
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.parallel import few_at_once, in_parallel
from glace_ros.mapping.pose_refinement.cameras import LEAST_DEPTH_M, Cameras
from glace_ros.mapping.pose_refinement.rolling_shutter import motion_by_row, tracks_at_middle
from glace_ros.mapping.pose_refinement.tracks import (
    Tracks,
    shortened,
    triangulate,
    trustworthy,
)
from glace_ros.maps.landmark_templates import LandmarkTemplates, as_kept, image_from_template
from glace_ros.maps.landmarks import Landmarks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.views.mapping_views import MappingViews

    Greys = Iterable[tuple[int, NDArray[np.uint8]]]

_NEAREST = 3
"""Keypoints of a view that are held against a landmark."""
_AT_ONCE = 16
"""Images that are worked on together."""
_BY_DISTANCE = 0.1
"""How good a view is for a landmark's picture: the cosine of how obliquely it looks at it, less
this for each pixel that its keypoint lies off."""


@dataclass(frozen=True)
class LandmarkTrackConfig:
    """Which views see a landmark, and what is believed of them."""

    reach_px: float = 8.0
    """From a landmark's projection to a keypoint of it."""
    min_cosine: float = 0.75
    """Of the keypoint's descriptor and the landmark's."""
    most_oblique_deg: float = 60.0
    """From where the mapping cameras saw it, in the mean, to where this one does."""
    most_views: int = 20
    """Of a landmark."""
    keypoint_px: float = 2.0
    """From which on a keypoint counts less, twice that not at all."""
    template_px: float = 1.2
    """The same of an aligned picture."""
    min_likeness: float = 0.85
    """Normalised cross-correlation of an aligned picture."""
    most_moved_px: float = 4.0
    """From a landmark's projection to where its picture is aligned."""
    min_views: int = 3
    """That agree."""
    templates: int = 9_500
    """Of a map of few views: more make it larger, and poses hardly more exact."""
    per_view: int = 30
    """So many for each of many views."""
    min_parallax_deg: float = 1.2
    """Between the two outermost of these."""


class ViewsShutter(NamedTuple):
    """How the rows of all views were exposed.

    velocities_v6: of the cameras about their own axes, rotation (rad/s) and position (m/s).
    readout_s: from the first row of an image to the last.
    """

    velocities_v6: NDArray[np.float64]
    readout_s: float


class TrackedViews(NamedTuple):
    """All mapping views.

    descriptors: of each view's keypoints (n, C), unit norm.
    pixels: where these are (n, 2).
    cameras: of the views, from the map's origin.
    rows_v: pixel rows of an image.
    shutter: of the images.
    """

    descriptors: Sequence[torch.Tensor]
    pixels: Sequence[NDArray[np.float64]]
    cameras: Cameras
    rows_v: NDArray[np.float64]
    shutter: ViewsShutter

    def at_middle(self, tracks: Tracks, depth_n: NDArray[np.float64]) -> Tracks:
        """Observations as they would be, had all rows been exposed with the middle one."""
        motions = motion_by_row(tracks, self.shutter.velocities_v6, self.rows_v)
        depth_n = np.maximum(depth_n, LEAST_DEPTH_M)
        return tracks_at_middle(tracks, depth_n, self.cameras, motions, self.shutter.readout_s)


def tracked_views(
    views: MappingViews, origin_3: NDArray[np.float64], shutter: ViewsShutter
) -> TrackedViews:
    """Of encoded views; origin_3: of the map."""
    intrinsics_v4 = np.stack([view.intrinsics_4.double().numpy() for view in views])
    poses = [
        Pose(pose.rotation_33, pose.translation_3 - origin_3) for pose in views.map_from_camera
    ]
    return TrackedViews(
        [view.features.descriptors_nC for view in views],
        [view.features.pixels_n2.double().numpy() for view in views],
        Cameras.of(poses, intrinsics_v4), 2 * intrinsics_v4[:, 3], shutter,
    )  # fmt: skip


class _Placed(NamedTuple):
    """Where tracks put their points.

    tracks: as a global shutter would have seen them.
    points_k3: metres from the map's origin.
    agree_n: which observations do, of points that enough of them see.
    error_n: from each observation to its point, px.
    """

    tracks: Tracks
    points_k3: NDArray[np.float64]
    agree_n: NDArray[np.bool_]
    error_n: NDArray[np.float64]

    @staticmethod
    def by(
        tracks: Tracks,
        near_k3: NDArray[np.float64],
        views: TrackedViews,
        error_px: float,
        config: LandmarkTrackConfig,
    ) -> _Placed:
        """near_k3: about where the points are; error_px: from which on an observation counts
        less, twice that not at all.
        """
        _, depth_n = views.cameras.reprojection(tracks, near_k3)
        tracks = views.at_middle(tracks, depth_n)
        points_k3 = triangulate(tracks, views.cameras, error_px)
        error_n, _ = views.cameras.reprojection(tracks, points_k3)
        agree_n = trustworthy(
            tracks, points_k3, views.cameras, 2 * error_px, config.min_views,
            config.min_parallax_deg,
        )  # fmt: skip
        return _Placed(tracks, points_k3, agree_n, error_n)


class _Pictures(NamedTuple):
    """What is known of the landmarks' templates.

    first_t: of each, the observation that it is cut out at.
    of_k: of each track, the number of its template; -1: it has none.
    directions_t3: from the landmark to where it was seen from.
    sizes_t: metres by pixel.
    """

    first_t: NDArray[np.int64]
    of_k: NDArray[np.int64]
    directions_t3: NDArray[np.float64]
    sizes_t: NDArray[np.float64]


def place_landmarks(
    landmarks: Landmarks, views: TrackedViews, greys: Greys, config: LandmarkTrackConfig
) -> Landmarks:
    """The landmarks where their tracks put them, those first that have a template.

    landmarks: of triangulated keypoints.
    greys: gives the number of each view and its image, undistorted, at working size; twice.
    """
    points_l3 = landmarks.points_l3.cpu().numpy().astype(np.float64)
    directions_l3 = landmarks.directions_l3.cpu().numpy().astype(np.float64)
    tracks, number_k = _keypoint_tracks(landmarks, points_l3, directions_l3, views, config)
    if not len(number_k):
        return landmarks
    placed = _Placed.by(tracks, points_l3[number_k], views, config.keypoint_px, config)
    moved_k = np.bincount(tracks.track_n, placed.agree_n, len(number_k)) > 0
    points_l3[number_k[moved_k]] = placed.points_k3[moved_k]
    pictures = _pictures(placed, directions_l3[number_k], views)
    templates_ttt = _cut(tracks, placed, pictures, views, greys)
    tracks, good_n = _aligned(tracks, placed, pictures, templates_ttt, views, greys, config)
    tracks, old_k = tracks.only(good_n)
    if not len(old_k):
        return _with_templates(landmarks, points_l3, number_k[:0], templates_ttt[:0], np.empty(0))
    sharp = _Placed.by(tracks, placed.points_k3[old_k], views, config.template_px, config)
    # a template that its own landmark is not on shows something else
    first_n = np.isin(np.flatnonzero(good_n), pictures.first_t)
    kept_k = np.bincount(tracks.track_n, first_n & sharp.agree_n, len(old_k)) > 0
    number_t, picture_t = number_k[old_k[kept_k]], pictures.of_k[old_k[kept_k]]
    points_l3[number_t] = sharp.points_k3[kept_k]
    # by chance: those that most views see are far away, and tell little of where a camera is
    chosen_t = np.random.default_rng(0).permutation(len(number_t))
    chosen_t = chosen_t[: max(config.templates, config.per_view * len(views.pixels))]
    number_t, picture_t = number_t[chosen_t], picture_t[chosen_t]
    return _with_templates(
        landmarks, points_l3, number_t, templates_ttt[picture_t], pictures.sizes_t[picture_t]
    )


def _with_templates(
    landmarks: Landmarks,
    points_l3: NDArray[np.float64],
    number_t: NDArray[np.int64],
    templates_ttt: NDArray[np.float32],
    sizes_t: NDArray[np.float64],
) -> Landmarks:
    """The landmarks at these points, those first that have a template."""
    others = np.setdiff1d(np.arange(len(points_l3)), number_t)
    order_l = torch.from_numpy(np.concatenate([number_t, others]))
    templates = LandmarkTemplates.of(templates_ttt, sizes_t) if len(number_t) else None
    return Landmarks(
        torch.from_numpy(points_l3).float()[order_l],
        landmarks.descriptors_lC.cpu()[order_l],
        landmarks.directions_l3.cpu()[order_l],
        templates,
    )


def _keypoint_tracks(
    landmarks: Landmarks,
    points_l3: NDArray[np.float64],
    directions_l3: NDArray[np.float64],
    views: TrackedViews,
    config: LandmarkTrackConfig,
) -> tuple[Tracks, NDArray[np.int64]]:
    """The keypoint of each landmark that each view sees, and the landmark (k,) of each track."""
    descriptors_lC = landmarks.descriptors_lC.cpu().numpy()
    cameras, facing = views.cameras, np.cos(np.radians(config.most_oblique_deg))

    def seen_by(view: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The landmarks (m,) that a view sees, and where (m, 2)."""
        from_camera_l3 = points_l3 - cameras.centres_v3[view]
        in_camera_l3 = from_camera_l3 @ cameras.rotations_v33[view]
        depth_l, k_4 = in_camera_l3[:, 2], cameras.intrinsics_v4[view]
        pixels_l2 = in_camera_l3[:, :2] / np.maximum(depth_l, LEAST_DEPTH_M)[:, None] * k_4[:2]
        pixels_l2 += k_4[2:]
        away_l = np.linalg.norm(from_camera_l3, axis=1)
        facing_l = -(from_camera_l3 * directions_l3).sum(axis=1) / np.maximum(away_l, 1e-9)
        (near_m,) = np.nonzero((depth_l > LEAST_DEPTH_M) & (facing_l > facing))
        none = np.empty(0, np.int64), np.empty((0, 2))
        count = len(views.pixels[view])
        if not len(near_m) or not count:
            return none
        off_mk, which_mk = cKDTree(views.pixels[view]).query(
            pixels_l2[near_m], k=_NEAREST, distance_upper_bound=config.reach_px
        )
        (some_m,) = np.nonzero(np.isfinite(off_mk[:, 0]))
        if not len(some_m):
            return none
        near_m, which_mk, off_mk = near_m[some_m], which_mk[some_m], off_mk[some_m]
        which_mk = np.minimum(which_mk, count - 1)
        known_mkC = views.descriptors[view].float().numpy()[which_mk]
        cosine_mk = np.einsum("mC,mkC->mk", descriptors_lC[near_m], known_mkC)
        cosine_mk[~np.isfinite(off_mk)] = -1.0
        best_m, row_m = cosine_mk.argmax(axis=1), np.arange(len(near_m))
        like_m = cosine_mk[row_m, best_m] > config.min_cosine
        return near_m[like_m], views.pixels[view][which_mk[row_m, best_m][like_m]]

    seen = in_parallel(seen_by, range(len(views.pixels)))
    view_n = np.repeat(np.arange(len(seen)), [len(number_m) for number_m, _ in seen])
    number_n = np.concatenate([number_m for number_m, _ in seen])
    pixels_n2 = np.concatenate([pixels_m2 for _, pixels_m2 in seen])
    number_k, track_n = np.unique(number_n, return_inverse=True)
    tracks = Tracks(view_n, np.zeros_like(view_n), track_n, pixels_n2)
    tracks, old_k = tracks.only(shortened(tracks, config.most_views))
    return tracks, number_k[old_k]


def _pictures(
    placed: _Placed, directions_k3: NDArray[np.float64], views: TrackedViews
) -> _Pictures:
    """Of each landmark that enough views agree on: seen from about where the others see it, and
    near its keypoint.
    """
    tracks, cameras = placed.tracks, views.cameras
    points_n3 = placed.points_k3[tracks.track_n]
    to_camera_n3 = cameras.centres_v3[tracks.view_n] - points_n3
    to_camera_n3 /= np.linalg.norm(to_camera_n3, axis=1, keepdims=True).clip(1e-9)
    worth_n = (to_camera_n3 * directions_k3[tracks.track_n]).sum(axis=1)
    worth_n -= _BY_DISTANCE * placed.error_n
    worth_n[~placed.agree_n] = -np.inf
    order_n = np.lexsort((-worth_n, tracks.track_n))
    picked_k, start_k = np.unique(tracks.track_n[order_n], return_index=True)
    first_k = order_n[start_k]
    good_k = placed.agree_n[first_k]
    first_t, picked_t = first_k[good_k], picked_k[good_k]
    of_k = np.full(len(placed.points_k3), -1)
    of_k[picked_t] = np.arange(len(picked_t))
    depth_n = cameras.reprojection(tracks, placed.points_k3)[1]
    focal_n = cameras.intrinsics_v4[tracks.view_n, 0]
    return _Pictures(first_t, of_k, directions_k3[picked_t], (depth_n / focal_n)[first_t])


def _cut(
    tracks: Tracks, placed: _Placed, pictures: _Pictures, views: TrackedViews, greys: Greys
) -> NDArray[np.float32]:
    """The templates (t, 12, 12), as a map gives them back."""
    templates_ttt = np.zeros((len(pictures.first_t), TEMPLATE_PX, TEMPLATE_PX), np.float32)
    view_t = tracks.view_n[pictures.first_t]

    def cut(view: int, grey_hw: NDArray[np.uint8]) -> None:
        (own_m,) = np.nonzero(view_t == view)
        if len(own_m):
            first_m = pictures.first_t[own_m]
            shape_m22 = _shapes(first_m, own_m, placed, pictures, views)
            templates_ttt[own_m] = cut_templates(
                grey_hw.astype(np.float32), tracks.pixels_n2[first_m], shape_m22
            )

    _on_each(greys, cut)
    return as_kept(templates_ttt)


def _aligned(
    tracks: Tracks,
    placed: _Placed,
    pictures: _Pictures,
    templates_ttt: NDArray[np.float32],
    views: TrackedViews,
    greys: Greys,
    config: LandmarkTrackConfig,
) -> tuple[Tracks, NDArray[np.bool_]]:
    """The tracks as aligned templates see them, and which observations (n,) these are."""
    template_n = pictures.of_k[tracks.track_n]
    centres_n2 = views.cameras.pixels(tracks, placed.points_k3)
    _, depth_n = views.cameras.reprojection(tracks, placed.points_k3)
    at_middle_n2 = views.at_middle(tracks._replace(pixels_n2=centres_n2), depth_n).pixels_n2
    exposed_n2 = 2.0 * centres_n2 - at_middle_n2
    aligned_n2, good_n = tracks.pixels_n2.copy(), np.zeros(len(template_n), dtype=bool)

    def align(view: int, grey_hw: NDArray[np.uint8]) -> None:
        (own_m,) = np.nonzero((tracks.view_n == view) & (template_n >= 0))
        which_m = template_n[own_m]
        found = align_templates(
            grey_hw.astype(np.float32), templates_ttt[which_m],
            _shapes(own_m, which_m, placed, pictures, views), exposed_n2[own_m],
        )  # fmt: skip
        moved_m = np.linalg.norm(found.pixels_n2 - exposed_n2[own_m], axis=1)
        good_n[own_m] = (found.likeness_n > config.min_likeness) & (moved_m < config.most_moved_px)
        aligned_n2[own_m] = found.pixels_n2

    _on_each(greys, align)
    # where it was cut out, a template is by definition
    good_n[pictures.first_t] = True
    aligned_n2[pictures.first_t] = tracks.pixels_n2[pictures.first_t]
    return tracks._replace(pixels_n2=aligned_n2), good_n


def _shapes(
    observation_m: NDArray[np.int64],
    template_m: NDArray[np.int64],
    placed: _Placed,
    pictures: _Pictures,
    views: TrackedViews,
) -> NDArray[np.float64]:
    """image_from_template (m, 2, 2) of these templates at these observations."""
    tracks = placed.tracks
    by_point_m23 = views.cameras.by_point(
        tracks.view_n[observation_m], placed.points_k3[tracks.track_n[observation_m]]
    )
    return image_from_template(
        pictures.directions_t3[template_m], pictures.sizes_t[template_m], by_point_m23
    )


def _on_each(greys: Greys, work: Callable[[int, NDArray[np.uint8]], None]) -> None:
    """On all cores, a few images at a time."""
    for _ in few_at_once(lambda image: work(*image), greys, _AT_ONCE):
        pass
