"""Batch parts: how much of a batch goes through the network at once."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_SMALLEST_PART = 64
"""Samples; below it the activations are no longer what fills the memory."""


class BatchParts:
    """One part, until a GPU's memory is full: then ever more of them, for the rest of a training.

    The gradients of the parts add up, so that the batch stays what it is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._count = 1

    def fitting(self, samples: int, work: Callable[[list[slice]], T]) -> T:
        """What `work` gives for the parts of a batch of so many samples; it is called again, from
        the start, with smaller ones where they do not fit.

        Raises torch.cuda.OutOfMemoryError where the smallest do not fit either.
        """
        while True:
            try:
                return work(self._slices(samples))
            except torch.cuda.OutOfMemoryError:
                if samples // (2 * self._count) < _SMALLEST_PART:
                    raise
                self._double()

    def _slices(self, samples: int) -> list[slice]:
        size = math.ceil(samples / self._count)
        return [slice(start, start + size) for start in range(0, samples, size)]

    def _double(self) -> None:
        self._count *= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        _LOG.warning(
            "the GPU's memory is full: a batch now goes through the network in %d parts",
            self._count,
        )
