"""Feature diffusion: the noise that training adds to global codes."""

from __future__ import annotations

import torch
from torch.nn import functional


def diffuse(descriptors_nG: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Codes (n, G) with noise of standard deviation sigma per dimension, unit norm again."""
    if sigma == 0.0:
        return descriptors_nG
    noise_nG = torch.randn(
        descriptors_nG.shape,
        generator=generator,
        device=descriptors_nG.device,
        dtype=descriptors_nG.dtype,
    )
    return functional.normalize(descriptors_nG + sigma * noise_nG, dim=1)


def sample_descriptors(
    descriptors_vG: torch.Tensor,
    view_n: torch.Tensor,
    sigma: float,
    neighbours_vk: torch.Tensor | None,
    generator: torch.Generator,
) -> torch.Tensor:
    """Diffused codes (n, G) of these views; half of them a random neighbour's, where given."""
    if neighbours_vk is not None:
        columns = neighbours_vk.shape[1]
        column_n = torch.randint(
            2 * columns, view_n.shape, generator=generator, device=view_n.device
        )
        neighbour_n = neighbours_vk[view_n, column_n % columns]
        view_n = torch.where(column_n < columns, neighbour_n, view_n)
    return diffuse(descriptors_vG[view_n], sigma, generator)
