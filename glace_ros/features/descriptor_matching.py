"""Descriptor matching: which of two sets of descriptors are most alike, by their cosines."""

from __future__ import annotations

import torch


def best_of_rows(cosine_nm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest cosine (n,) of each row, and its column (n,). There is one column at least."""
    if not cosine_nm.is_cpu:
        best_n, index_n = cosine_nm.max(dim=1)
        return best_n, index_n
    # where it is torch looks for 17 times as long as NumPy (800 x 800: 1.3 ms, 0.08)
    return cosine_nm.amax(dim=1), torch.from_numpy(cosine_nm.numpy().argmax(axis=1))


def mutual_matches(
    cosine_nm: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `best_of_rows`, and (n,) whether a row is its column's best, too; of those that are, the
    first.
    """
    best_n, index_n = best_of_rows(cosine_nm)
    mutual_n = best_n == cosine_nm.amax(dim=0)[index_n]
    row_n = torch.arange(len(index_n), device=index_n.device)
    first_m = row_n.new_full((cosine_nm.shape[1],), len(row_n))
    first_m.scatter_reduce_(0, index_n[mutual_n], row_n[mutual_n], "amin")
    return best_n, index_n, mutual_n & (first_m[index_n] == row_n)
