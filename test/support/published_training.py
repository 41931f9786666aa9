"""A head as ACE's and GLACE's programs train and save it, without this package's mapping."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from support.published_networks import seeded
from torch.nn import functional

_WIDTH, _BATCH, _SIGMA = 128, 512, 0.1


class Samples(NamedTuple):
    """features_vnC: of the cells of each view. codes_vG: of the views, None for ACE's head.
    camera_from_map_v34 and points_vn3: about an origin. pixels_n2: of a view's cells.
    """

    features_vnC: torch.Tensor
    descriptors_vG: torch.Tensor | None
    camera_from_map_v34: torch.Tensor
    pixels_n2: torch.Tensor
    points_vn3: torch.Tensor


def trained_head(
    samples: Samples, centres_k3: torch.Tensor, focal_and_centre_22: torch.Tensor
) -> dict[str, torch.Tensor]:
    """By ACE's robust reprojection error, and told where points are to end besides, for speed; with
    GLACE's feature diffusion. centres_k3: about the samples' origin.
    """
    steps, rate = (
        (400, 1e-2) if samples.descriptors_vG is None else (600, 6e-3)
    )  # noise takes longer
    weights = _untrained_head(samples, len(centres_k3))
    optimizer = torch.optim.AdamW(weights.values(), lr=rate, fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    draw = torch.Generator().manual_seed(0)
    views, cells = samples.features_vnC.shape[:2]
    for step in range(steps):
        row_n = torch.randint(views * cells, (_BATCH,), generator=draw)
        view_n, cell_n = row_n // cells, row_n % cells
        input_nC = samples.features_vnC[view_n, cell_n]
        if samples.descriptors_vG is not None:
            descriptors_nG = samples.descriptors_vG[view_n]
            descriptors_nG = descriptors_nG + _SIGMA * torch.randn(
                descriptors_nG.shape, generator=draw
            )
            input_nC = torch.cat([functional.normalize(descriptors_nG, dim=1), input_nC], dim=1)
        found_n3 = _head(weights, input_nC, centres_k3)
        in_camera_n34 = samples.camera_from_map_v34[view_n]
        seen_n2 = _projected(found_n3, in_camera_n34, focal_and_centre_22)
        error_n = (seen_n2 - samples.pixels_n2[cell_n]).norm(dim=1)
        away_n = (found_n3 - samples.points_vn3[view_n, cell_n]).norm(dim=1)
        tau = 50.0 * math.sqrt(1.0 - (step / steps) ** 2) + 1.0
        optimizer.zero_grad()
        (tau * torch.tanh(error_n / tau) + 0.1 * tau * away_n).mean().backward()
        optimizer.step()
        rates.step()
    return weights


def as_saved(weights: dict[str, torch.Tensor], centres_k3: torch.Tensor) -> dict[str, torch.Tensor]:
    """In fp16, as 1x1 convolutions, with the buffers of homogeneous coordinates and the centres in
    the map's frame.
    """
    state = {
        name: part.detach().reshape(*part.shape, *([1, 1] if part.dim() == 2 else []))
        for name, part in weights.items()
    }
    state |= {"max_scale": torch.tensor([4.0]), "min_scale": torch.tensor([0.01]),
              "max_inv_scale": torch.tensor([0.25]), "min_inv_scale": torch.tensor([100.0]),
              "h_beta": torch.tensor([math.log(2) / 0.75])}  # fmt: skip
    if len(centres_k3) > 1:
        state["centers"] = centres_k3.reshape(1, -1, 3, 1, 1)
    else:
        state["mean"] = centres_k3.reshape(1, 3, 1, 1)
    return {name: part.half() for name, part in state.items()}


def _projected(
    points_n3: torch.Tensor, camera_from_map_n34: torch.Tensor, focal_and_centre_22: torch.Tensor
) -> torch.Tensor:
    """Pixels (n, 2)."""
    rotation_n33, translation_n3 = camera_from_map_n34[..., :3], camera_from_map_n34[..., 3]
    seen_n3 = torch.einsum("nij,nj->ni", rotation_n33, points_n3) + translation_n3
    focal_2, centre_2 = focal_and_centre_22
    return focal_2 * seen_n3[:, :2] / seen_n3[:, 2:].clamp(min=0.1) + centre_2


def _untrained_head(samples: Samples, clusters: int) -> dict[str, torch.Tensor]:
    inputs = samples.features_vnC.shape[-1]
    if samples.descriptors_vG is not None:
        inputs += samples.descriptors_vG.shape[-1]
    square = ("res3_conv2", "res3_conv3", "0c0", "0c1", "0c2", "fc1", "fc2")
    sizes = dict.fromkeys(square, (_WIDTH, _WIDTH))
    sizes |= {"res3_conv1": (_WIDTH, inputs), "head_skip": (_WIDTH, inputs), "fc3": (4, _WIDTH)}
    if clusters > 1:
        sizes["fcc"] = (clusters, _WIDTH)
    shapes = {f"{name}.weight": size for name, size in sizes.items()}
    shapes |= {f"{name}.bias": size[:1] for name, size in sizes.items()}
    weights = seeded(shapes, seed=3)
    for name in ("res3_conv3.weight", "0c2.weight"):
        weights[name] *= 0.5
    return {name: part.requires_grad_() for name, part in weights.items()}


def _head(
    weights: dict[str, torch.Tensor], x_nC: torch.Tensor, centres_k3: torch.Tensor
) -> torch.Tensor:
    """GLACE's head, or with one centre ACE's: points (n, 3)."""

    def linear(x_nC: torch.Tensor, name: str) -> torch.Tensor:
        return x_nC @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def through(x_nC: torch.Tensor, *names: str) -> torch.Tensor:
        for name in names:
            x_nC = torch.relu(linear(x_nC, name))
        return x_nC

    x_nC = linear(x_nC, "head_skip") + through(x_nC, "res3_conv1", "res3_conv2", "res3_conv3")
    x_nC = through(x_nC + through(x_nC, "0c0", "0c1", "0c2"), "fc1", "fc2")
    raw_n4 = linear(x_nC, "fc3")
    inverse_n1 = functional.softplus(raw_n4[:, 3:], beta=math.log(2) / 0.75) + 0.25
    offset_n3 = raw_n4[:, :3] / inverse_n1.clamp(max=100.0)
    if len(centres_k3) == 1:
        return offset_n3 + centres_k3
    return offset_n3 + torch.softmax(linear(x_nC, "fcc"), dim=1) @ centres_k3
