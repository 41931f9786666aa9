"""Descriptor matching: which of two sets of descriptors are most alike, by their cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def best_of_rows(cosine_nm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest cosine (n,) of each row, and its column (n,). There is one column at least."""
    if not cosine_nm.is_cpu:
        best_n, index_n = cosine_nm.max(dim=1)
        return best_n, index_n
    # where it is torch looks for 17 times as long as NumPy (800 x 800: 1.3 ms, 0.08)
    index_n = torch.from_numpy(_in_numpy(cosine_nm).argmax(axis=1))
    best_n = cosine_nm.gather(1, index_n[:, None])[:, 0]
    negative_n = best_n < 0
    if cosine_nm.dtype == torch.bfloat16 and negative_n.any():
        best_n[negative_n], index_n[negative_n] = cosine_nm[negative_n].max(dim=1)
    return best_n, index_n


def best_in_parts(parts: Iterable[torch.Tensor], columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As `best_of_rows`, of all parts side by side, without all of them in memory at once.

    parts: cosines (n, columns), the last one may be narrower; one at least.
    """
    best_nk, column_nk = (
        torch.stack(of_parts, dim=1)
        for of_parts in zip(*(best_of_rows(cosine_np) for cosine_np in parts), strict=True)
    )
    best_n, part_n = best_of_rows(best_nk)
    return best_n, part_n * columns + column_nk.gather(1, part_n[:, None])[:, 0]


def entries_above(cosine_nm: torch.Tensor, least: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Row (p,) and column (p,) of all cosines that are larger, row by row.

    least: not negative.
    """
    if not cosine_nm.is_cpu:
        row_p, column_p = torch.nonzero(cosine_nm > least, as_tuple=True)
        return row_p, column_p
    # torch looks for 8 times as long as NumPy
    bound = torch.tensor(least, dtype=cosine_nm.dtype)
    if float(bound) > least:  # rounded up: the number below it
        bound = torch.nextafter(bound, torch.zeros_like(bound))
    entry_p = torch.from_numpy(np.flatnonzero(_in_numpy(cosine_nm) > _in_numpy(bound)))
    columns = max(1, cosine_nm.shape[1])
    return entry_p // columns, entry_p % columns


def _in_numpy(cosine: torch.Tensor) -> NDArray[Any]:
    """In the same order, but for negative numbers of bfloat16, which NumPy lacks: read as int16,
    they come before all others, and the largest first.
    """
    return np.asarray(
        (cosine.view(torch.int16) if cosine.dtype == torch.bfloat16 else cosine).numpy()
    )


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
