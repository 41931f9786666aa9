"""Pairs of views, and views that show nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.drifting_drive import record, room, rounds

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.cameras import Cameras
from glace_ros.mapping.pose_refinement.pair_matching import (
    _PAIRS_AT_ONCE,
    match_pairs,
    near_epipolar,
    pairs_along_way,
)


def test_pairs_along_the_way_stay_within_a_stretch():
    stretches_v = np.array([0, 0, 0, 1, 1])
    assert pairs_along_way(stretches_v, 1) == [(0, 1), (1, 2), (3, 4)]
    assert pairs_along_way(stretches_v, 9) == [(0, 1), (0, 2), (1, 2), (3, 4)]


def test_pairs_matched_together_are_those_matched_alone_laid_into_one_array():
    """Arrays of their own, left between what matching frees, would cost far more than they hold."""
    truth = rounds(12, 0.05)
    views = record(room(1), truth, truth, np.random.default_rng(0))
    views[3] = replace(
        views[3], descriptors_nC=views[3].descriptors_nC[:0], pixels_n2=np.empty((0, 2))
    )
    poses = [view.recorded for view in views]
    pairs = pairs_along_way(np.zeros(len(views), int), 6)
    assert len(pairs) > _PAIRS_AT_ONCE
    matches = match_pairs(views, poses, pairs, 8.0, 0.75)
    alone = [match_pairs(views, poses, [pair], 8.0, 0.75)[0] for pair in pairs]
    assert [(pair.first, pair.second) for pair in matches] == pairs
    assert sum(len(pair.first_p) for pair in matches) > 1000
    for pair, other in zip(matches, alone, strict=True):
        for part, expected in zip(pair[2:], other[2:], strict=True):
            assert part.dtype == expected.dtype
            assert (part == expected).all()
    arrays = {id(part.base) for pair in matches for part in pair[2:]}
    assert len(arrays) == 3 * -(-len(pairs) // _PAIRS_AT_ONCE)


def test_matches_of_all_pairs_are_held_against_the_lines_of_other_poses():
    """A camera that is turned by 2 degrees keeps few of its matches, the others keep theirs."""
    truth = rounds(12, 0.05)
    views = record(room(1), truth, truth, np.random.default_rng(0), noise_px=0.0)
    poses = [view.recorded for view in views]
    pairs = pairs_along_way(np.zeros(len(views), int), 6)
    matches = match_pairs(views, poses, pairs, 8.0, 0.75)
    matches[5] = matches[5]._replace(**dict.fromkeys(("first_p", "second_p"), np.empty(0, int)))
    matches[5] = matches[5]._replace(cosine_p=np.empty(0, np.float32))
    turned = Pose.from_rotation_vector(np.zeros(3), np.radians([2.0, 0.0, 0.0]))
    moved = [*poses[:-1], poses[-1] @ turned]
    cameras = Cameras.of(moved, np.stack([view.intrinsics_4 for view in views]))
    near = near_epipolar(matches, views, cameras, 1.0)
    assert [(pair.first, pair.second) for pair in near] == pairs
    for pair, other in zip(near, matches, strict=True):
        kept = set(zip(pair.first_p.tolist(), pair.second_p.tolist(), pair.cosine_p, strict=True))
        all_p = list(
            zip(other.first_p.tolist(), other.second_p.tolist(), other.cosine_p, strict=True)
        )
        assert kept == {match for match in all_p if _off_px(match, pair, views, moved) < 1.0}
        if pair.second == len(views) - 1:
            assert len(kept) < 0.5 * len(all_p)
        elif all_p:
            assert len(kept) > 0.9 * len(all_p)


def _off_px(match, pair, views, poses) -> float:
    """From the second pixel's ray to the plane of the first one's and both cameras."""
    rays = []
    for view, patch in ((pair.first, match[0]), (pair.second, match[1])):
        fx, fy, cx, cy = views[view].intrinsics_4
        u, v = views[view].pixels_n2[patch]
        ray_3 = poses[view].rotation_33 @ [(u - cx) / fx, (v - cy) / fy, 1.0]
        rays.append(ray_3 / np.linalg.norm(ray_3))
    baseline_3 = poses[pair.second].translation_3 - poses[pair.first].translation_3
    normal_3 = np.cross(baseline_3, rays[0])
    sine = abs(normal_3 @ rays[1]) / np.linalg.norm(normal_3)
    return float(sine * views[pair.second].intrinsics_4[0])


def test_a_view_that_shows_nothing_matches_nothing():
    truth = rounds(3, 0.05)
    views = record(room(1), truth, truth, np.random.default_rng(0))
    views[1] = replace(
        views[1], descriptors_nC=views[1].descriptors_nC[:0], pixels_n2=np.empty((0, 2))
    )
    poses = [view.recorded for view in views]
    matches = match_pairs(views, poses, [(0, 1), (1, 2), (0, 2)], 8.0, 0.75)
    assert [len(pair.first_p) for pair in matches[:2]] == [0, 0]
    assert len(matches[2].first_p) > 50
