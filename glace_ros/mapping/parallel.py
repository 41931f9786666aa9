"""Many small tensor operations on all cores: a thread for each core, each with its own share of the
work. PyTorch's own threads would share each of the operations, and wait for each other in a loop
that takes twenty times as long where another program needs a core.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What `work` gives for each item, in order; the first error is raised."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)


def few_at_once(
    work: Callable[[Item], Result], items: Iterable[Item], at_once: int
) -> Iterator[tuple[Item, Result]]:
    """Each item with what `work` gives for it, in order, with so many of them in memory."""
    remaining = iter(items)
    while some := list(islice(remaining, at_once)):
        yield from zip(some, in_parallel(work, some), strict=True)
