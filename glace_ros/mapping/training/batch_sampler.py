"""Sampling: which patches a training step is made of (section 4.2 of the paper).

The paper takes them evenly from the buffer; here those with a triangulated point are likelier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.mapping.views.mapping_views import Samples


class BatchSampler:
    """Samples batches where the buffer lies: nothing crosses to the CPU.

    point_preference: how much likelier a patch with a triangulated point is sampled than another.
    of_view_v: whether a view's patches are sampled; None = all.

    Two even samplings rather than torch.multinomial, which reads all weights at each step, takes
    2^24 of them at most (the paper's buffers have 16 million each), and would give other maps.
    """

    def __init__(
        self, samples: Samples, point_preference: float, of_view_v: NDArray[np.bool_] | None = None
    ) -> None:
        self._point_preference = point_preference
        self._device = samples.view_n.device
        self._rows_n: torch.Tensor | None = None
        self._count, with_point_n = len(samples.view_n), samples.has_point_n
        if of_view_v is not None:
            own_n = torch.from_numpy(of_view_v).to(self._device)[samples.view_n]
            (self._rows_n,) = torch.nonzero(own_n, as_tuple=True)
            self._count, with_point_n = len(self._rows_n), with_point_n & own_n
        (self._with_point_m,) = torch.nonzero(with_point_n, as_tuple=True)

    def __len__(self) -> int:
        return self._count

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Rows (count,) of the buffer, int64, with repetition; those with a point come first."""
        weighted = self._point_preference * len(self._with_point_m)
        ratio = weighted / (weighted + len(self) - len(self._with_point_m))
        with_point = round(count * ratio)
        anywhere_n = self._randint(len(self), count - with_point, generator)
        if self._rows_n is not None:
            anywhere_n = self._rows_n[anywhere_n]
        if with_point == 0:
            return anywhere_n
        chosen_n = self._randint(len(self._with_point_m), with_point, generator)
        return torch.cat([self._with_point_m[chosen_n], anywhere_n])

    def _randint(self, high: int, count: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(high, (count,), generator=generator, device=self._device)
