"""Ranks: the processes that train one map together, each on its own GPU (`torchrun`).

Every rank reads the recording and encodes its own share of the images, so that the feature buffers
of all ranks together hold it. What must be the same everywhere goes through here. A process that
was not started by torchrun is alone, and all of this does nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

_LONGEST_WAIT = timedelta(hours=6)
"""For a rank that has more to encode, or for rank 0, which validates the map alone."""


@dataclass(frozen=True)
class Ranks:
    """The processes that make a map together. Rank 0 speaks, keeps the checkpoint, writes the map.

    rank: of this process, in [0, count).
    count: of the processes.
    """

    rank: int = 0
    count: int = 1

    @staticmethod
    def join(device: torch.device) -> Ranks:
        """The group that torchrun's environment describes, joined; alone without one.

        Tensors in a GPU's memory travel by NCCL, others by gloo.
        """
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return Ranks()
        backend = "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
        return Ranks(distributed.get_rank(), count)

    def leave(self) -> None:
        """Wait for all others, then end the group."""
        if self.count > 1:
            distributed.barrier()
            distributed.destroy_process_group()

    def share(self, total: int) -> int:
        """This rank's part of a total: the parts add up to it and differ by at most 1."""
        return total // self.count + (self.rank < total % self.count)

    def owns(self, view: int) -> bool:
        """Whether a view is of this rank's share."""
        return view % self.count == self.rank

    def from_first(self, value: T) -> T:
        """Rank 0's value: anything that can be pickled."""
        if self.count == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def number_from_first(self, value: float) -> float:
        """Rank 0's number; quick enough for every step."""
        if self.count == 1:
            return value
        box = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(box, src=0)
        return float(box)

    def gather_number(self, value: float) -> list[float]:
        """The numbers of all ranks, in order."""
        return [float(box) for box in self.gather(torch.tensor([value], dtype=torch.float64))]

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by the sum over all ranks, in one transfer."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The tensors of all ranks, in order; they must be of one shape."""
        if self.count == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.count)]
        distributed.all_gather(found, tensor.contiguous())
        return found
