"""Pairs of views, and views that show nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.drifting_drive import record, room, rounds

from glace_ros.mapping.pose_refinement.pair_matching import (
    _PAIRS_AT_ONCE,
    match_pairs,
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
