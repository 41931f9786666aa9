"""Coordinate head: [global | local descriptor] of a local feature -> its point in the map.

The residual MLP of the paper (section 3.2, layout in ACE, CVPR 2023) with the position decoder of
section 3.3: K-means centres of the mapping cameras, mixed by a softmax, plus an offset in
homogeneous coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class HomogeneousScale:
    """Bounds of 1 / w: how far a point may lie from its centre, relative to `d` (ACE, supplement).

    Named as in the published files, whose fp16 numbers are not quite each other's inverses: the
    network computes with the last three.
    """

    max_scale: float = 4.0
    """The largest 1 / w."""
    min_scale: float = 0.01
    """The smallest 1 / w."""
    max_inv_scale: float = 0.25
    """The smallest w: the inverse of max_scale."""
    min_inv_scale: float = 100.0
    """The largest w: the inverse of min_scale."""
    h_beta: float = math.log(2.0) / 0.75
    """Of the softplus that makes w: log 2 / (1 - max_inv_scale), so that w_hat = 0 gives w = 1."""

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that give no finite positive w."""
        if not all(0.0 < value < math.inf for value in vars(self).values()):
            raise ValueError("its homogeneous scale is not of positive numbers")


@dataclass(frozen=True)
class CoordinateHeadConfig:
    """Shape of the network: everything that is needed to rebuild it around loaded weights."""

    local_channels: int = 64
    """C of a local descriptor."""
    global_channels: int = 32
    """G of a global descriptor; 0 = there is none."""
    width: int = 256
    """Of the layers."""
    blocks: int = 1
    """Residual blocks after the first."""
    mlp_ratio: float = 1.0
    """How much wider the second layer of each block and fc2 are."""
    clusters: int = 1
    """K centres of the position decoder."""
    scaled_inputs: bool = True
    """To unit variance: see head_input."""
    scale: HomogeneousScale | None = HomogeneousScale()
    """Of the homogeneous coordinates; None: the last layer gives `y - centre` itself."""


class ResidualBlock(nn.Module):
    """Three layers and a skip, which is linear only where the widths differ."""

    def __init__(self, channels_in: int, width: int, hidden: int) -> None:
        """channels_in, width: of its input and output.
        hidden: of what its second layer gives.
        """
        super().__init__()
        self.layer1 = nn.Linear(channels_in, width)
        self.layer2 = nn.Linear(width, hidden)
        self.layer3 = nn.Linear(hidden, width)
        self.skip = nn.Linear(channels_in, width) if channels_in != width else nn.Identity()

    def forward(self, x_nC: torch.Tensor) -> torch.Tensor:
        y_nC = functional.relu(self.layer1(x_nC))
        y_nC = functional.relu(self.layer2(y_nC))
        y_nC = functional.relu(self.layer3(y_nC))
        return torch.as_tensor(self.skip(x_nC) + y_nC)


class CoordinateHead(nn.Module):
    """Points are metres relative to the map's float64 origin, which lives outside the network.

    The last layer, the division and the mix of the centres run in float32 whatever autocast says:
    float16 would cost 8 mm at 10 m.
    """

    centres_k3: torch.Tensor
    """float32, of the position decoder: metres from the map's origin."""

    def __init__(self, config: CoordinateHeadConfig) -> None:
        super().__init__()
        self.config = config
        width, hidden = config.width, round(config.width * config.mlp_ratio)
        channels = config.global_channels + config.local_channels
        self.first = ResidualBlock(channels, width, hidden)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, width, hidden) for _ in range(config.blocks)
        )
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, hidden)
        self.fc3 = nn.Linear(hidden, 4 if config.scale else 3)
        self.cluster_logits = nn.Linear(hidden, config.clusters) if config.clusters > 1 else None
        self.register_buffer("centres_k3", torch.zeros(config.clusters, 3))

    def forward(self, input_nC: torch.Tensor) -> torch.Tensor:
        """Float32 points (n, 3), metres from the map's origin.

        input_nC: global and local descriptors as `head_input` joins them.
        """
        x_nC = self.first(input_nC)
        for block in self.blocks:
            x_nC = block(x_nC)
        x_nC = functional.relu(self.fc2(functional.relu(self.fc1(x_nC))))
        with torch.autocast(x_nC.device.type, enabled=False):
            return self._decode(x_nC.float())

    def _decode(self, x_nC: torch.Tensor) -> torch.Tensor:
        raw_n4, scale = self.fc3(x_nC), self.config.scale
        offset_n3 = raw_n4[:, :3]
        if scale:
            w_n1 = functional.softplus(raw_n4[:, 3:], beta=scale.h_beta) + scale.max_inv_scale
            offset_n3 = offset_n3 / w_n1.clamp(max=scale.min_inv_scale)
        if self.cluster_logits is None:
            return torch.as_tensor(offset_n3 + self.centres_k3)
        mix_nk = functional.softmax(self.cluster_logits(x_nC), dim=1)
        return torch.as_tensor(offset_n3 + mix_nk @ self.centres_k3)

    def rounded(self) -> CoordinateHead:
        """The same head on the CPU with the numbers that a map file keeps."""
        head, exact = CoordinateHead(self.config), set(self.full_precision_parameters())
        for name, tensor in self.state_dict().items():
            rounded = tensor.cpu() if name in exact else tensor.cpu().half().float()
            head.state_dict()[name].copy_(rounded)
        return head

    def full_precision_parameters(self) -> Iterator[str]:
        """Names of the tensors that a map file keeps in float32."""
        yield "centres_k3"


def head_input(
    descriptors_nC: torch.Tensor,
    descriptors_nG: torch.Tensor | None,
    dtype: torch.dtype = torch.float32,
    *,
    scaled: bool = True,
) -> torch.Tensor:
    """[global | local] (n, G + C), each part scaled to unit variance per channel.

    Unit vectors of C numbers have a variance of 1 / C: a freshly initialised network would see
    little but its own biases (what the scale is worth:
    docs/experiments/2026-11-22-training-variants.md).

    descriptors_nC: local ones.
    descriptors_nG: global ones of the same features' images; None where the head takes none.
    dtype: of the result.
    scaled: without it as they are, for descriptors of no unit norm, and as the published networks
    take them.
    """
    parts = [descriptors_nC] if descriptors_nG is None else [descriptors_nG, descriptors_nC]
    factors = [part.shape[1] ** 0.5 if scaled else 1.0 for part in parts]
    return torch.cat(
        [part.to(dtype) * factor for part, factor in zip(parts, factors, strict=True)], dim=1
    )
