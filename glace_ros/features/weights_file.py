"""Files of weights: read without running anything in them, and put into a network.

Anything but tensors and plain numbers is rejected.
"""

from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from glace_ros.errors import GlaceError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Net = TypeVar("Net", bound=torch.nn.Module)

# published checkpoints keep recalls and counters as numpy's arrays and scalars beside the weights
_PLAIN_NUMBERS = [
    (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("f8", "f4", "i8", "i4", "?")),
]


def read_checkpoint(path: Path, error: type[GlaceError] = WeightsError) -> dict[str, Any]:
    """What torch.save wrote: a dictionary of tensors and plain numbers. Runs nothing.

    path: of the file.
    error: what is raised, with one sentence, for anything else.
    """
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_PLAIN_NUMBERS):
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as missing:
        raise error(f"there is no file {path}") from missing
    except pickle.UnpicklingError as unsafe:
        raise error(
            f"{path} is no file of weights alone: what it asks to be run or built besides is "
            "not, and so it cannot be read; get the file as it was published"
        ) from unsafe
    except Exception as damaged:  # torch raises whatever its reader stumbles over
        raise error(
            f"{path} is not a whole file of weights (cut off, or another kind of file): copy it "
            "anew"
        ) from damaged
    if not isinstance(content, dict):
        raise error(f"{path} holds no dictionary of weights: get the file as it was published")
    return content


def load_weights(net: Net, weights: Mapping[str, Any], path: Path, what: str) -> Net:
    """The network with these weights, float32, for inference.

    net: whose parameters and buffers name all the tensors that there must be.
    weights: what the file holds, of any floating type.
    path: of the file, for the sentence.
    what: the network is, with its article, for the sentence.

    Raises WeightsError, one sentence, where the file's tensors are not those of the network.
    """
    for name, expected in net.state_dict().items():
        found = weights.get(name)
        if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
            has = f"{list(found.shape)}" if isinstance(found, torch.Tensor) else "none"
            raise WeightsError(
                f"{path} does not hold the weights of {what}: '{name}' must be a tensor "
                f"{list(expected.shape)}, there is {has}"
            )
        if not torch.isfinite(found).all():
            raise WeightsError(f"{path} is damaged: '{name}' has a number that is not finite")
    unknown = sorted(set(weights) - set(net.state_dict()))
    if unknown:
        raise WeightsError(
            f"{path} does not hold the weights of {what}: it has '{unknown[0]}' besides"
        )
    net.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return net.eval().requires_grad_(False)
