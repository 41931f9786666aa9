"""Seeded stand-ins for the published weights, and the numbers that the published code makes of
them.

`golden_published.json` is the output of dev/golden_published.py, which runs that code where
somebody has it. Numbers are drawn with numpy's legacy generator, whose stream never changes.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

GOLDEN = json.loads((Path(__file__).parent / "golden_published.json").read_text())

HEADS = {
    # name: (inputs, width, extra blocks, mlp ratio, clusters)
    "glace_k1": (768, 768, 1, 1.0, 1),
    "glace_k50": (768, 256, 3, 2.0, 50),
    "ace": (512, 512, 1, 1.0, 1),
}

CORNERS_N2 = [[5.25, 7.5], [40.0, 33.125], [94.5, 62.75], [0.5, 20.25], [60.75, 1.5]]


def seeded(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    """float32 tensors of these shapes, of a size that keeps what flows through a network finite."""
    rng = np.random.RandomState(seed)
    weights = {}
    for name in sorted(shapes):
        shape = shapes[name]
        values = rng.standard_normal(shape)
        if len(shape) > 1:
            values *= (2.0 / np.prod(shape[1:])) ** 0.5
        else:
            is_norm = name.endswith("running_var") or (
                ("norm" in name or ".bn" in name) and name.endswith("weight")
            )
            values = 0.1 * values + (1.0 if is_norm else 0.0)
        weights[name] = torch.from_numpy(np.asarray(values)).float()
    return weights


def official_head(name: str) -> dict[str, torch.Tensor]:
    """A head's file as it is published: fp16, 1x1 convolutions, and its buffers."""
    return dict(_official_head(name))


@lru_cache
def _official_head(name: str, seed: int = 3) -> dict[str, torch.Tensor]:
    inputs, width, blocks, ratio, clusters = HEADS[name]
    hidden = int(width * ratio)
    sizes = {
        "res3_conv1": (width, inputs), "res3_conv2": (hidden, width), "res3_conv3": (width, hidden),
        "fc1": (width, width), "fc2": (hidden, width), "fc3": (4, hidden),
    }  # fmt: skip
    for block in range(blocks):
        sizes[f"{block}c0"], sizes[f"{block}c1"] = (width, width), (hidden, width)
        sizes[f"{block}c2"] = (width, hidden)
    if clusters > 1:
        sizes["fcc"] = (clusters, hidden)
    if inputs != width:
        sizes["head_skip"] = (width, inputs)
    shapes = {f"{layer}.weight": (*size, 1, 1) for layer, size in sizes.items()}
    shapes |= {f"{layer}.bias": size[:1] for layer, size in sizes.items()}
    weights = seeded(shapes, seed)
    # points some metres from their centres, and mixed ones
    weights["fc3.weight"] *= 3.0 if clusters == 1 else 0.15
    if clusters > 1:
        weights["fcc.weight"] *= 0.1
    centres_k3 = torch.from_numpy(np.random.RandomState(seed).uniform(-20.0, 20.0, (clusters, 3)))
    if clusters > 1:
        weights["centers"] = centres_k3.reshape(1, clusters, 3, 1, 1)
    else:
        weights["mean"] = centres_k3.reshape(1, 3, 1, 1)
    max_scale, min_scale = torch.tensor([4.0]), torch.tensor([0.01])
    weights |= {
        "max_scale": max_scale, "min_scale": min_scale, "max_inv_scale": 1 / max_scale,
        "min_inv_scale": 1 / min_scale, "h_beta": np.log(2) / (1 - 1 / max_scale),
    }  # fmt: skip
    return {key: tensor.half() for key, tensor in weights.items()}


def head_inputs(name: str) -> torch.Tensor:
    """(6, inputs) feature vectors."""
    return torch.from_numpy(np.random.RandomState(5).standard_normal((6, HEADS[name][0]))).float()


def picture(height: int, width: int, channels: int) -> np.ndarray:
    """uint8 (height, width, channels) of smooth noise."""
    return np.random.RandomState(9).randint(0, 256, (height, width, channels), dtype=np.uint8)


def some(tensor: torch.Tensor, count: int = 24) -> list[float]:
    """So many numbers from all over a tensor."""
    flat = tensor.detach().flatten().double()
    return flat[torch.linspace(0, len(flat) - 1, count).round().long()].tolist()
