"""An optimiser's state as named tensors, which a safetensors file can hold."""

from __future__ import annotations

import torch

_PREFIX = "optimizer."


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Its moments and steps on the CPU, as optimizer.PARAMETER.NAME."""
    return {
        f"{_PREFIX}{index}.{name}": tensor.detach().cpu()
        for index, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    """What `optimizer_tensors` gave; other tensors are passed over.

    Raises ValueError where a name is none of these, RuntimeError or ValueError where shapes or
    numbers of parameters differ.
    """
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_PREFIX):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    whole = optimizer.state_dict()
    optimizer.load_state_dict({**whole, "state": state})
