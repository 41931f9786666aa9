"""Best and mutual matches, beside a search by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glace_ros.features.descriptor_matching import (
    best_in_parts,
    best_of_rows,
    entries_above,
    mutual_matches,
)

KINDS = st.sampled_from([torch.float32, torch.bfloat16])


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 2**31), st.booleans(), KINDS)
@settings(max_examples=100)
def test_best_of_rows_is_that_of_a_search_by_hand(rows, columns, seed, contiguous, kind):
    """Of negative cosines, too."""
    cosine_nm = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns))).to(kind)
    given_nm = cosine_nm if contiguous else cosine_nm.T.contiguous().T
    best_n, index_n = best_of_rows(given_nm)
    for row, values_m in enumerate(cosine_nm.tolist()):
        assert float(best_n[row]) == max(values_m)
        assert int(index_n[row]) == values_m.index(max(values_m))


@given(st.integers(0, 20), st.integers(1, 40), st.integers(1, 15), st.integers(0, 2**31), KINDS)
@settings(max_examples=60)
def test_the_best_in_parts_is_that_of_all_side_by_side(rows, columns, width, seed, kind):
    cosine_nm = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns))).to(kind)
    found = best_in_parts(iter(torch.split(cosine_nm, width, dim=1)), width)
    for of_parts, of_all in zip(found, best_of_rows(cosine_nm), strict=True):
        assert torch.equal(of_parts, of_all)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 2**31), st.floats(0.0, 1.0), KINDS)
@settings(max_examples=100)
def test_entries_above_are_those_of_a_search_by_hand(rows, columns, seed, least, kind):
    cosine_nm = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (rows, columns)))
    cosine_nm = cosine_nm.to(kind)
    numbers = sorted(cosine_nm.abs().flatten().tolist())
    for bound in (least, *numbers[::100]):  # a cosine is not larger than itself
        found = [each.tolist() for each in entries_above(cosine_nm, bound)]
        above = [
            (row, column)
            for row, values_m in enumerate(cosine_nm.tolist())
            for column, value in enumerate(values_m)
            if value > bound
        ]
        assert list(zip(*found, strict=True)) == above


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31), st.integers(1, 5))
@settings(max_examples=60)
def test_mutual_matches_are_each_others_best(rows, columns, seed, looks):
    """With few looks many are equally alike: no column is matched twice all the same."""
    rng = np.random.default_rng(seed)
    first_nC, second_mC = (rng.integers(0, looks, (count, 3)) for count in (rows, columns))
    cosine_nm = torch.from_numpy(-np.abs(first_nC[:, None] - second_mC).sum(axis=2)).float()
    best_n, index_n, mutual_n = mutual_matches(cosine_nm)
    matched = index_n[mutual_n].tolist()
    assert len(set(matched)) == len(matched)
    for row in range(rows):
        column = int(index_n[row])
        assert float(cosine_nm[row, column]) == float(best_n[row]) == float(cosine_nm[row].max())
        among = [other for other in range(rows) if int(index_n[other]) == column]
        is_best = float(best_n[row]) == float(cosine_nm[:, column].max())
        first = min((o for o in among if best_n[o] == cosine_nm[:, column].max()), default=None)
        assert bool(mutual_n[row]) == (is_best and row == first)


def test_a_row_without_columns_has_no_best():
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        best_of_rows(torch.empty(3, 0))
