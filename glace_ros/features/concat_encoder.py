"""Two local encoders' descriptors of the same patches: `xfeat+ace:FILE`.

The paper's variant for Aachen puts SuperPoint's descriptors beside ACE's and samples where
SuperPoint detects something. Here XFeat, which is free, says where to look.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from glace_ros.features.ace_encoder import AceEncoder
from glace_ros.features.image_tensors import SIZE_MULTIPLE_PX
from glace_ros.features.local_encoder import LocalFeatures, XFeatEncoder, weights_hash_of


class ConcatEncoder:
    """[XFeat with unit variance | ACE as it is]; see LocalEncoder for what the attributes mean.

    finds_corners is False although XFeat does: corners are matched by products of unit vectors.
    """

    stride_px = 8
    size_multiple_px = SIZE_MULTIPLE_PX
    enlarges = True
    unit_norm = False
    finds_corners = False

    def __init__(self, name: str, device: torch.device) -> None:
        """name: "xfeat+ace:FILE". Raises WeightsError where either's weights cannot be used."""
        self.name, self.device = name, device
        self._where = XFeatEncoder(device)
        self._what = AceEncoder(name.removeprefix("xfeat+"), device)
        self.channels = self._where.channels + self._what.channels
        self.weights_hash = weights_hash_of(name)

    @torch.inference_mode()
    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """XFeat's patches of a (1, 1, H, W) image in [0, 1], sides a multiple of 32."""
        found = self._where.encode(grey_11HW, count, valid_HW)
        size_px = torch.tensor(grey_11HW.shape[:1:-1], device=self.device)
        grid_11n2 = (2.0 * (found.pixels_n2 + 0.5) / size_px - 1.0)[None, None]
        sampled_1c1n = functional.grid_sample(
            self._what.dense(grey_11HW)[None], grid_11n2, padding_mode="border", align_corners=False
        )
        unit_variance_nC = found.descriptors_nC * self._where.channels**0.5
        descriptors_nC = torch.cat([unit_variance_nC, sampled_1c1n[0, :, 0].T], dim=1)
        return found._replace(descriptors_nC=descriptors_nC)
