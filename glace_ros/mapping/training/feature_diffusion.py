"""Feature diffusion: the noise that training adds to global descriptors (section 3.2 of the paper).

It makes a distribution of each view's descriptor, so wide that co-visible views overlap: the
network then triangulates the points that they share, instead of telling the views apart.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def diffuse(descriptors_nG: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Descriptors (n, G) with noise, of unit norm again; 0.0 leaves them as they are.

    descriptors_nG: of unit norm.
    sigma: standard deviation of the noise in each dimension.
    """
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
    """Diffused global descriptors (n, G) of the views that samples are of.

    descriptors_vG: of all views, of unit norm.
    view_n: the view of each sample.
    sigma: see `diffuse`.
    neighbours_vk: where given, half of the samples get the descriptor of one of these instead
    (beyond the paper, after R-SCoRe, CVPR 2025).
    """
    if neighbours_vk is not None:
        columns = neighbours_vk.shape[1]
        column_n = torch.randint(
            2 * columns, view_n.shape, generator=generator, device=view_n.device
        )
        neighbour_n = neighbours_vk[view_n, column_n % columns]
        view_n = torch.where(column_n < columns, neighbour_n, view_n)
    return diffuse(descriptors_vG[view_n], sigma, generator)
