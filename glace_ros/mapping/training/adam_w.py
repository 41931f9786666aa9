"""AdamW (Loshchilov and Hutter, ICLR 2019) with a state that a safetensors file can hold.

The update is torch's own. `torch.optim.AdamW` itself imports torch's compiler, which no build uses:
1.3 to 2.9 s of a processor, as long as a small map trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.adamw import adamw

if TYPE_CHECKING:
    from collections.abc import Iterable

_MEANS, _SQUARES, _STEPS = "exp_avg", "exp_avg_sq", "step"


class AdamW:
    """Of these parameters, all of which have a gradient in each step.

    weight_decay: of a step, as a ratio of its learning rate.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], weight_decay: float) -> None:
        self._parameters = list(parameters)
        self._weight_decay = weight_decay
        self._state = {
            _MEANS: [torch.zeros_like(each) for each in self._parameters],
            _SQUARES: [torch.zeros_like(each) for each in self._parameters],
            _STEPS: [torch.zeros((), device=each.device) for each in self._parameters],
        }

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """By the parameters' gradients."""
        adamw(
            list(self._parameters), [_gradient(each) for each in self._parameters],
            self._state[_MEANS], self._state[_SQUARES], [], self._state[_STEPS],
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=learning_rate,
            weight_decay=self._weight_decay, eps=1e-8, maximize=False,
        )  # fmt: skip

    def tensors(self) -> dict[str, torch.Tensor]:
        """The moments and steps on the CPU, as optimizer.PARAMETER.NAME."""
        return {
            f"optimizer.{index}.{name}": tensor.detach().cpu()
            for name, tensors in self._state.items()
            for index, tensor in enumerate(tensors)
        }

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """What `tensors` gave; others among them are passed over.

        Raises KeyError where one is missing, ValueError where its shape is another network's.
        """
        for name, own in self._state.items():
            for index, tensor in enumerate(own):
                saved = tensors[f"optimizer.{index}.{name}"]
                if saved.shape != tensor.shape:
                    raise ValueError(
                        f"optimizer.{index}.{name} has the shape {tuple(saved.shape)} in place of "
                        f"{tuple(tensor.shape)}"
                    )
                tensor.copy_(saved)


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    if parameter.grad is None:
        raise ValueError("a parameter has no gradient")
    return parameter.grad
