"""The paper's global encoder, with weights that the user has: `r2former:FILE`.

The retrieval branch of R2Former (Zhu et al., CVPR 2023): a distilled vision transformer DeiT-S/16
(Touvron et al., ICML 2021) for images of 480x640, whose class and distillation tokens each give a
descriptor; the image's is their mean. It sees colours, and only images as they were recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from glace_ros.errors import WeightsError
from glace_ros.features.weights_file import load_weights, read_checkpoint
from glace_ros.features.weights_location import weights_hash, weights_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.features.encoder_names import NetworkName

# of the published training: size of its images, side of a token's patch, all in pixels
_HEIGHT, _WIDTH, _PATCH = 480, 640, 16
# of DeiT-S
_CHANNELS, _HEADS, _LAYERS = 384, 6, 12
_PREFIX = "module.backbone."
# of the ImageNet photographs that the transformer was first trained on
_MEAN_RGB, _STD_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _PatchEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, _CHANNELS, _PATCH, stride=_PATCH)

    def forward(self, rgb_13HW: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.proj(rgb_13HW).flatten(2).transpose(1, 2))


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(_CHANNELS, 3 * _CHANNELS)
        self.proj = nn.Linear(_CHANNELS, _CHANNELS)

    def forward(self, x_1nC: torch.Tensor) -> torch.Tensor:
        count = x_1nC.shape[1]
        split_1n3hc = self.qkv(x_1nC).reshape(1, count, 3, _HEADS, _CHANNELS // _HEADS)
        q_1hnc, k_1hnc, v_1hnc = split_1n3hc.permute(2, 0, 3, 1, 4)
        mixed_1hnc = functional.scaled_dot_product_attention(q_1hnc, k_1hnc, v_1hnc)
        return torch.as_tensor(self.proj(mixed_1hnc.transpose(1, 2).flatten(2)))


class _Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(_CHANNELS, 4 * _CHANNELS)
        self.fc2 = nn.Linear(4 * _CHANNELS, _CHANNELS)

    def forward(self, x_1nC: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.fc2(functional.gelu(self.fc1(x_1nC))))


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(_CHANNELS, eps=1e-6) for _ in range(2))
        self.attn, self.mlp = _Attention(), _Mlp()

    def forward(self, x_1nC: torch.Tensor) -> torch.Tensor:
        x_1nC = x_1nC + self.attn(self.norm1(x_1nC))
        return torch.as_tensor(x_1nC + self.mlp(self.norm2(x_1nC)))


class R2FormerNetwork(nn.Module):
    """(1, 3, 480, 640) normalised RGB -> the unit-norm global descriptor (1, channels).

    channels: G of a descriptor.

    The layers are called as in the published file, so that its tensors fit.
    """

    def __init__(self, channels: int = 256) -> None:
        super().__init__()
        patches = (_HEIGHT // _PATCH) * (_WIDTH // _PATCH)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, _CHANNELS))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, _CHANNELS))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 2, _CHANNELS))
        self.patch_embed = _PatchEmbedding()
        self.blocks = nn.ModuleList(_Layer() for _ in range(_LAYERS))
        self.norm = nn.LayerNorm(_CHANNELS, eps=1e-6)
        self.head = nn.Linear(_CHANNELS, channels)
        self.head_dist = nn.Linear(_CHANNELS, channels)

    def forward(self, rgb_13HW: torch.Tensor) -> torch.Tensor:
        tokens = [self.cls_token, self.dist_token, self.patch_embed(rgb_13HW)]
        x_1nC = torch.cat(tokens, dim=1) + self.pos_embed
        for layer in self.blocks:
            x_1nC = layer(x_1nC)
        x_1nC = self.norm(x_1nC)
        return functional.normalize(self.head(x_1nC[:, 0]) + self.head_dist(x_1nC[:, 1]), dim=1)


class R2FormerEncoder:
    """One checkpoint on one device.

    name: the text of a NetworkName.
    channels: G, length of a descriptor.
    weights_hash: SHA-256 of the checkpoint, in hex digits.
    """

    def __init__(self, network: NetworkName, device: torch.device) -> None:
        """network: "r2former:FILE". Raises WeightsError where FILE is no checkpoint of R2Former."""
        self.name, self.device = str(network), device
        self.weights_hash = weights_hash([network])
        path = weights_path(network)
        content = read_checkpoint(path).get("model_state_dict")
        if not isinstance(content, dict):
            raise WeightsError(f"{path} is no checkpoint of R2Former: it has no 'model_state_dict'")
        weights = {
            str(key).removeprefix(_PREFIX): part
            for key, part in content.items()
            if str(key).startswith(_PREFIX)
        }
        bias = weights.get("head.bias")
        self.channels = len(bias) if isinstance(bias, torch.Tensor) and bias.dim() == 1 else 256
        net = R2FormerNetwork(self.channels)
        self._net = load_weights(net, weights, path, "R2Former's DeiT-S/16").to(device)
        self._mean_31, self._std_31 = (
            torch.tensor(values, device=device)[:, None, None] for values in (_MEAN_RGB, _STD_RGB)
        )

    @torch.inference_mode()
    def encode(self, image_rgb_hwc: NDArray[np.uint8]) -> torch.Tensor:
        """The unit-norm global descriptor (G,).

        image_rgb_hwc: without distortion; it is stretched to 480x640.
        """
        rgb_hwc = torch.from_numpy(np.ascontiguousarray(image_rgb_hwc)).to(self.device)
        rgb_chw = (rgb_hwc.permute(2, 0, 1).float() / 255.0 - self._mean_31) / self._std_31
        # without smoothing before it shrinks: so the weights were trained
        resized_13HW = functional.interpolate(
            rgb_chw[None], (_HEIGHT, _WIDTH), mode="bilinear", align_corners=False
        )
        return torch.as_tensor(self._net(resized_13HW)[0])
