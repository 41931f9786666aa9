"""SuperPoint (DeTone et al., CVPRW 2018), with weights that the user has: `superpoint:FILE`.

256-d descriptors of cells of 8x8 pixels and a map of how likely each pixel is a keypoint. Magic
Leap's weights are for noncommercial research and not part of this project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from glace_ros.features.keypoint_sampling import descriptors_at, likeliest_keypoints, unfold_cells
from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.weights_file import load_weights, read_checkpoint
from glace_ros.features.weights_location import weights_hash, weights_path

if TYPE_CHECKING:
    from glace_ros.features.encoder_names import NetworkName

# of the published network: channels of its four stages and of what both heads are made of
_WIDTHS = (64, 64, 128, 128)
_HIDDEN = 256
# as the published program has them
_NMS_PX, _BORDER_PX = 4, 4


class SuperPointNetwork(nn.Module):
    """(1, 1, H, W) grey in [0, 1] -> logits (1, 65, H / 8, W / 8) of each cell's pixels and of none
    of them, and unit-norm descriptors (1, 256, H / 8, W / 8).

    The layers are called as in the published file, so that its tensors fit.
    """

    def __init__(self) -> None:
        super().__init__()
        before = 1
        for stage, width in enumerate(_WIDTHS, start=1):
            self.add_module(f"conv{stage}a", nn.Conv2d(before, width, 3, padding=1))
            self.add_module(f"conv{stage}b", nn.Conv2d(width, width, 3, padding=1))
            before = width
        self.convPa = nn.Conv2d(before, _HIDDEN, 3, padding=1)
        self.convPb = nn.Conv2d(_HIDDEN, 65, 1)
        self.convDa = nn.Conv2d(before, _HIDDEN, 3, padding=1)
        self.convDb = nn.Conv2d(_HIDDEN, SuperPointEncoder.channels, 1)

    def forward(self, grey_11HW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x_1chw = grey_11HW
        for stage in range(1, len(_WIDTHS) + 1):
            if stage > 1:
                x_1chw = functional.max_pool2d(x_1chw, 2)
            for layer in "ab":
                x_1chw = functional.relu(self.get_submodule(f"conv{stage}{layer}")(x_1chw))
        logits_1khw = self.convPb(functional.relu(self.convPa(x_1chw)))
        dense_1chw = self.convDb(functional.relu(self.convDa(x_1chw)))
        return logits_1khw, functional.normalize(dense_1chw, dim=1)


class SuperPointEncoder:
    """One checkpoint on one device; see LocalEncoder for what the attributes mean."""

    channels = 256
    stride_px = 8
    size_multiple_px = 8
    enlarges = False
    unit_norm = True
    finds_keypoints = True

    def __init__(self, network: NetworkName, device: torch.device) -> None:
        """network: "superpoint:FILE". Raises WeightsError where FILE is no SuperPoint."""
        self.name, self.device = str(network), device
        self.weights_hash = weights_hash([network])
        path = weights_path(network)
        net = load_weights(SuperPointNetwork(), read_checkpoint(path), path, "SuperPoint")
        self._net = net.to(device)

    @torch.inference_mode()
    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """At most `count` keypoints of an image. Scores: how likely the pixel is the keypoint of
        its cell.

        grey_11HW: float32 in [0, 1], sides a multiple of 8.
        count: of keypoints, at most.
        valid_HW: bool; there are none at False pixels.
        """
        logits_1khw, dense_1chw = self._net(grey_11HW)
        score_HW = unfold_cells(logits_1khw, self.stride_px)
        pixels_n2, scores_n = likeliest_keypoints(
            score_HW, count, self.stride_px, _NMS_PX, _BORDER_PX, valid_HW
        )
        descriptors_nC = descriptors_at(dense_1chw, pixels_n2, self.stride_px)
        return LocalFeatures(descriptors_nC, pixels_n2, scores_n)
