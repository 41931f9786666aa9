"""Coordinate head: [global code | local descriptor] of a patch -> its point in the map.

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
    network computes with the last three. h_beta: makes w_hat = 0 give w = 1.
    """

    max_scale: float = 4.0
    min_scale: float = 0.01
    max_inv_scale: float = 0.25
    min_inv_scale: float = 100.0
    h_beta: float = math.log(2.0) / 0.75

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that give no finite positive w."""
        if not all(0.0 < value < math.inf for value in vars(self).values()):
            raise ValueError("its homogeneous scale is not of positive numbers")


@dataclass(frozen=True)
class CoordinateHeadConfig:
    """Shape of the network: everything that is needed to rebuild it around loaded weights.

    global_channels may be 0 (no global code). blocks: residual blocks after the first.
    mlp_ratio: how much wider the second layer of each block and fc2 are. clusters: K.
    scaled_inputs: see head_input. scale None: the last layer gives `y - centre` itself.
    """

    local_channels: int = 64
    global_channels: int = 32
    width: int = 256
    blocks: int = 1
    mlp_ratio: float = 1.0
    clusters: int = 1
    scaled_inputs: bool = True
    scale: HomogeneousScale | None = HomogeneousScale()


class ResidualBlock(nn.Module):
    """Three layers and a skip, which is linear only where the widths differ."""

    def __init__(self, channels_in: int, width: int, hidden: int) -> None:
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

    centres_k3: float32 (K, 3). The last layer, the division and the mix of the centres run in
    float32 whatever autocast says: float16 would cost 8 mm at 10 m.
    """

    centres_k3: torch.Tensor

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
        """(n, global + local channels) -> float32 points (n, 3)."""
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
            kept = tensor.cpu() if name in exact else tensor.cpu().half().float()
            head.state_dict()[name].copy_(kept)
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
    little but its own biases (docs/method.md has what the scale is worth). Not scaled: as they
    are, for descriptors of no unit norm, and as the published networks take them.
    """
    parts = [descriptors_nC] if descriptors_nG is None else [descriptors_nG, descriptors_nC]
    factors = [part.shape[1] ** 0.5 if scaled else 1.0 for part in parts]
    return torch.cat(
        [part.to(dtype) * factor for part, factor in zip(parts, factors, strict=True)], dim=1
    )
