"""Tracks: what is joined, where its points are, and what is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement import tracks as tracks_module
from glace_ros.mapping.pose_refinement.cameras import Cameras
from glace_ros.mapping.pose_refinement.tracks import (
    PairMatches,
    Tracks,
    shortened,
    thinned,
    tracks_of,
    triangulate,
    trustworthy,
)

INTRINSICS_4 = np.array([200.0, 210.0, 160.0, 120.0])


def pair(first: int, second: int, *matches: tuple[int, int, float]) -> PairMatches:
    first_p, second_p, cosine_p = (np.array(column) for column in zip(*matches, strict=True))
    return PairMatches(first, second, first_p, second_p, cosine_p)


def pixels_of(*patches: int) -> list[np.ndarray]:
    """Of views with so many patches; no two are the same."""
    rng = np.random.default_rng(0)
    return [rng.uniform(0, 300, (count, 2)) for count in patches]


def as_sets(tracks: Tracks) -> set[frozenset[tuple[int, int]]]:
    found: dict[int, set[tuple[int, int]]] = {}
    for view, patch, track in zip(tracks.view_n, tracks.patch_n, tracks.track_n, strict=True):
        found.setdefault(int(track), set()).add((int(view), int(patch)))
    return {frozenset(track) for track in found.values()}


def test_matches_become_a_track_across_views():
    matches = [pair(0, 1, (4, 2, 0.9)), pair(1, 2, (2, 0, 0.8)), pair(0, 2, (1, 3, 0.95))]
    pixels = pixels_of(5, 5, 5)
    tracks = tracks_of(matches, pixels, 3)
    assert as_sets(tracks) == {frozenset({(0, 4), (1, 2), (2, 0)})}
    for view, patch, pixel_2 in zip(tracks.view_n, tracks.patch_n, tracks.pixels_n2, strict=True):
        assert (pixel_2 == pixels[view][patch]).all()
    assert tracks_of(matches, pixels, 2).track_count == 2


@pytest.mark.parametrize("order", [1, -1])
def test_the_most_similar_match_is_joined_first(order):
    """Two patches of view 1 claim the same of view 0; the worse one, and it alone, goes without."""
    matches = [pair(0, 1, (0, 0, 0.8), (0, 1, 0.9)), pair(1, 2, (0, 0, 0.85), (1, 1, 0.85))]
    tracks = tracks_of(matches[::order], pixels_of(2, 2, 2), 2)
    assert as_sets(tracks) == {frozenset({(0, 0), (1, 1), (2, 1)}), frozenset({(1, 0), (2, 0)})}


def test_it_does_not_matter_how_many_matches_are_joined_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    matches = [
        pair(a, b, *zip(range(30), rng.permutation(30), rng.uniform(0.5, 1.0, 30), strict=True))
        for a in range(5)
        for b in range(a)
    ]
    at_once = tracks_of(matches, pixels_of(*[30] * 5), 2)
    monkeypatch.setattr(tracks_module, "_AT_ONCE", 7)
    some_by_some = tracks_of(matches, pixels_of(*[30] * 5), 2)
    assert at_once.track_count > 30
    for part, expected in zip(some_by_some, at_once, strict=True):
        assert (part == expected).all()


def test_nothing_matched_is_no_track():
    tracks = tracks_of([], pixels_of(2, 2), 2)
    assert tracks.track_count == 0
    assert not len(tracks.view_n)


@st.composite
def any_matches(draw):
    """Of five views with four patches each, whatever it may be."""
    some = draw(
        st.lists(
            st.tuples(*[st.integers(0, 4)] * 2, *[st.integers(0, 3)] * 2, st.floats(0.5, 1.0)),
            max_size=40,
        )
    )
    return [pair(a, b, (i, j, cosine)) for a, b, i, j, cosine in some if a != b]


@settings(deadline=None, max_examples=150)
@given(any_matches(), st.integers(2, 3))
def test_no_track_has_a_view_twice(matches, min_views):
    tracks = tracks_of(matches, pixels_of(4, 4, 4, 4, 4), min_views)
    patches = list(zip(tracks.view_n.tolist(), tracks.patch_n.tolist(), strict=True))
    assert len(set(patches)) == len(patches)  # and no patch is of two tracks
    for track in as_sets(tracks):
        views = [view for view, _ in track]
        assert len(set(views)) == len(views) >= min_views
    assert sorted(set(tracks.track_n.tolist())) == list(range(tracks.track_count))


@settings(deadline=None, max_examples=80)
@given(any_matches())
def test_only_what_a_view_twice_stands_against_stays_apart(matches):
    """Whatever matches and is of two tracks in the end, could not have been one."""
    tracks = tracks_of(matches, pixels_of(4, 4, 4, 4, 4), 2)
    of_patch = {patch: track for track in as_sets(tracks) for patch in track}
    for first, second, (i,), (j,), _ in matches:
        one = of_patch.get((first, i), frozenset({(first, i)}))
        other = of_patch.get((second, j), frozenset({(second, j)}))
        if one != other:
            assert {view for view, _ in one} & {view for view, _ in other}


def exact(origin_3=(0.0, 0.0, 0.0), points: int = 20):
    """(tracks, cameras, points (k, 3)): each of six cameras sees all of them without noise."""
    rng = np.random.default_rng(3)
    origin_3 = np.array(origin_3)
    poses = [
        Pose.from_rotation_vector(origin_3 + [0.4 * view, 0.1 * view, 0], 0.05 * rng.normal(size=3))
        for view in range(6)
    ]
    points_k3 = origin_3 + rng.uniform([-1, -1, 3], [3, 1, 6], (points, 3))
    view_n = np.repeat(np.arange(6), points)
    track_n = np.tile(np.arange(points), 6)
    cameras = Cameras.of(poses, np.tile(INTRINSICS_4, (6, 1)))
    in_camera = [pose.inverse().transform(points_k3) for pose in poses]
    pixels_n2 = np.concatenate([
        xyz_n3[:, :2] / xyz_n3[:, 2:] * INTRINSICS_4[:2] + INTRINSICS_4[2:] for xyz_n3 in in_camera
    ])  # fmt: skip
    return Tracks(view_n, track_n, track_n, pixels_n2), cameras, points_k3


@pytest.mark.parametrize(
    ("origin_3", "metres"), [((0, 0, 0), 1e-6), ((5e5, 5.4e6, 300.0), 1e-4)], ids=["near", "UTM"]
)
def test_triangulation_without_noise_is_exact(origin_3, metres):
    tracks, cameras, points_k3 = exact(origin_3)
    assert np.abs(triangulate(tracks, cameras, 4.0) - points_k3).max() < metres
    error_n, depth_n = cameras.reprojection(tracks, points_k3)
    assert error_n.max() < 1e-3
    assert (depth_n > 2).all()


def test_one_wrong_observation_moves_no_point_and_is_not_trusted():
    tracks, cameras, points_k3 = exact()
    wrong = np.flatnonzero((tracks.track_n == 7) & (tracks.view_n == 2))[0]
    tracks.pixels_n2[wrong] += [60.0, 25.0]
    found_k3 = triangulate(tracks, cameras, 4.0)
    assert np.abs(found_k3[7] - points_k3[7]).max() < 0.02
    good_n = trustworthy(tracks, found_k3, cameras, 4.0, 3, 1.0)
    assert np.flatnonzero(~good_n).tolist() == [wrong]


def test_points_without_parallax_behind_cameras_or_of_few_views_are_not_trusted():
    tracks, cameras, points_k3 = exact()
    points_k3 = points_k3.copy()
    assert trustworthy(tracks, points_k3, cameras, 4.0, 3, 1.0).all()
    assert not trustworthy(tracks, points_k3, cameras, 4.0, 7, 1.0).any()
    assert not trustworthy(tracks, points_k3, cameras, 4.0, 3, 60.0).any()
    points_k3[4] = np.nan
    centre_3 = cameras.centres_v3.mean(axis=0)
    points_k3[5] = centre_3 - 1e6 * (points_k3[5] - centre_3)  # projects to about the same pixel
    good_n = trustworthy(tracks, points_k3, cameras, 1e9, 3, 0.0)
    assert set(tracks.track_n[~good_n].tolist()) == {4, 5}


def test_the_widest_pair_of_rays_is_between_a_degree_s_halves():
    """Two cameras 1 m apart see a point 28.6 m ahead under 2 degrees."""
    cameras = Cameras.of([Pose.from_planar(x, 0, 0) for x in (-0.5, 0.5)],
                         np.tile(INTRINSICS_4, (2, 1)))  # fmt: skip
    two = np.array([0, 1])
    tracks = Tracks(two, two * 0, two * 0, np.zeros((2, 2)))
    point_13 = np.array([[0.0, 0.0, 0.5 / np.tan(np.radians(1.0))]])
    assert trustworthy(tracks, point_13, cameras, 1e9, 2, 1.95).all()
    assert not trustworthy(tracks, point_13, cameras, 1e9, 2, 2.05).any()


@settings(deadline=None, max_examples=100)
@given(any_matches(), st.integers(1, 4))
def test_thinning_leaves_enough_of_each_view(matches, per_view):
    """What was left out, at most one of its views wanted."""
    tracks = tracks_of(matches, pixels_of(4, 4, 4, 4, 4), 2)
    keep_n = thinned(tracks, per_view)
    for track in range(tracks.track_count):  # whole tracks, or none of one
        assert len(set(keep_n[tracks.track_n == track].tolist())) == 1
    have_v = np.bincount(tracks.view_n[keep_n], minlength=5)
    for track in set(tracks.track_n[~keep_n].tolist()):
        views = tracks.view_n[tracks.track_n == track]
        assert (have_v[views] >= per_view).sum() >= len(views) - 1


def test_thinning_takes_the_longest_tracks_first():
    view_n = np.array([0, 1, 0, 1, 2, 0, 1])
    track_n = np.array([0, 0, 1, 1, 1, 2, 2])
    tracks = Tracks(view_n, view_n * 0, track_n, np.zeros((7, 2)))
    assert set(track_n[thinned(tracks, 1)].tolist()) == {1}
    assert set(track_n[thinned(tracks, 2)].tolist()) == {0, 1}
    assert thinned(tracks, 3).all()
    kept, old_k = tracks.only(track_n != 0)
    assert old_k.tolist() == [1, 2]
    assert kept.track_n.tolist() == [0, 0, 0, 1, 1]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(2, 12), st.randoms())
def test_shortened_tracks_keep_views_all_along(lengths, most, random):
    rows = [(track, view) for track, count in enumerate(lengths) for view in range(count)]
    random.shuffle(rows)
    track_n, view_n = np.array(rows).T
    keep_n = shortened(Tracks(view_n, view_n * 0, track_n, np.zeros((len(rows), 2))), most)
    for track, count in enumerate(lengths):
        kept = np.sort(view_n[keep_n & (track_n == track)])
        assert len(kept) == min(count, most)
        assert kept[0] == 0
        assert np.diff([*kept, count]).max() <= -(-count // min(count, most))
