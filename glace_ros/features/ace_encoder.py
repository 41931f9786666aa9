"""The paper's local encoder (ACE, CVPR 2023), with weights that the user has: `ace:FILE`.

512-d features of cells of 8x8 pixels. It has no heat map: its local features are at cells' centres,
spread evenly over the image, so there are no keypoints to triangulate and no landmarks. Its weights
are for research only and not part of this project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.weights_file import load_weights, read_checkpoint
from glace_ros.features.weights_location import weights_hash, weights_path
from glace_ros.geometry.camera import cell_centres

if TYPE_CHECKING:
    from glace_ros.features.encoder_names import NetworkName

# what the published weights were trained with, of grey in [0, 1]
_GREY_MEAN, _GREY_STD = 0.4, 0.25
# The plastic number's sequence (Roberts 2018): any first part of it is spread evenly in the plane.
_STEP_I, _STEP_J = 0.5698402909980532, 0.7548776662466927


class AceNetwork(nn.Module):
    """(1, 1, H, W) normalised grey -> (1, channels, ceil(H / 8), ceil(W / 8)).

    channels: C of a feature.

    The layers are called as in the published file, so that its tensors fit.
    """

    def __init__(self, channels: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, stride=2, padding=1)
        self.conv4 = nn.Conv2d(128, 256, 3, stride=2, padding=1)
        self.res1_conv1 = nn.Conv2d(256, 256, 3, padding=1)
        self.res1_conv2 = nn.Conv2d(256, 256, 1)
        self.res1_conv3 = nn.Conv2d(256, 256, 3, padding=1)
        self.res2_conv1 = nn.Conv2d(256, 512, 3, padding=1)
        self.res2_conv2 = nn.Conv2d(512, 512, 1)
        self.res2_conv3 = nn.Conv2d(512, channels, 3, padding=1)
        self.res2_skip = nn.Conv2d(256, channels, 1)

    def forward(self, grey_11HW: torch.Tensor) -> torch.Tensor:
        stem_1chw = _through(grey_11HW, self.conv1, self.conv2, self.conv3, self.conv4)
        middle_1chw = stem_1chw + _through(
            stem_1chw, self.res1_conv1, self.res1_conv2, self.res1_conv3
        )
        return torch.as_tensor(
            self.res2_skip(middle_1chw)
            + _through(middle_1chw, self.res2_conv1, self.res2_conv2, self.res2_conv3)
        )


def _through(x_1chw: torch.Tensor, *layers: nn.Module) -> torch.Tensor:
    for layer in layers:
        x_1chw = functional.relu(layer(x_1chw))
    return x_1chw


class AceEncoder:
    """One checkpoint on one device; see LocalEncoder for what the attributes mean."""

    stride_px = 8
    size_multiple_px = 8
    enlarges = True
    unit_norm = False
    finds_keypoints = False

    def __init__(self, network: NetworkName, device: torch.device) -> None:
        """network: "ace:FILE". Raises WeightsError where FILE is no encoder of ACE."""
        self.name, self.device = str(network), device
        self.weights_hash = weights_hash([network])
        path = weights_path(network)
        weights = read_checkpoint(path)
        last = weights.get("res2_conv3.weight")
        self.channels = len(last) if isinstance(last, torch.Tensor) and last.dim() == 4 else 512
        net = load_weights(AceNetwork(self.channels), weights, path, "an ACE encoder")
        self._net = net.to(device)

    @torch.inference_mode()
    def dense(self, grey_11HW: torch.Tensor) -> torch.Tensor:
        """Features (C, H / 8, W / 8) of a (1, 1, H, W) image in [0, 1], sides a multiple of 8."""
        return torch.as_tensor(self._net((grey_11HW - _GREY_MEAN) / _GREY_STD)[0])

    @torch.inference_mode()
    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """At most `count` cells of an image. All are equally good: the scores are 1, and the first
        n of them cover the image about evenly, for any n.

        grey_11HW: float32 in [0, 1], sides a multiple of 8.
        count: of cells, at most.
        valid_HW: bool; cells whose centre is at a False pixel are left out.
        """
        dense_chw = self.dense(grey_11HW)
        height, width = dense_chw.shape[1:]
        order_n = spread_order(height, width).to(self.device)
        if valid_HW is not None:  # the centre is the corner of four pixels
            around_4hw = torch.stack(
                [valid_HW[v :: self.stride_px, u :: self.stride_px] for v in (3, 4) for u in (3, 4)]
            )
            order_n = order_n[around_4hw.all(dim=0).flatten()[order_n]]
        order_n = order_n[:count]
        centres_hw2 = cell_centres(height, width, self.stride_px)
        pixels_n2 = torch.from_numpy(centres_hw2).float().reshape(-1, 2).to(self.device)[order_n]
        descriptors_nC = dense_chw.flatten(1).T[order_n].float()
        return LocalFeatures(descriptors_nC, pixels_n2, torch.ones_like(pixels_n2[:, 0]))


def spread_order(height: int, width: int) -> torch.Tensor:
    """(height * width,) indices of cells, row by row, of which any first part is spread evenly."""
    i_h1, j_w = torch.arange(height).double()[:, None], torch.arange(width).double()
    return ((i_h1 * _STEP_I + j_w * _STEP_J) % 1.0).flatten().argsort(stable=True)
