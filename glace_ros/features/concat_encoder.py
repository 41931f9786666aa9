"""Two local encoders' descriptors of the same keypoints: `WHERE+ace:FILE`.

The paper's variant for Aachen puts SuperPoint's descriptors beside ACE's and samples keypoints by
SuperPoint's detection likelihood, as the paper's presets do here (`LocalFeatures.sampled`). WHERE
is any encoder that finds keypoints, free ones among them.
"""

from __future__ import annotations

import torch

from glace_ros.features.ace_encoder import AceEncoder
from glace_ros.features.encoder_names import LocalEncoderName
from glace_ros.features.keypoint_sampling import read_at
from glace_ros.features.local_features import LocalEncoder, LocalFeatures
from glace_ros.features.weights_location import weights_hash


class ConcatEncoder:
    """[WHERE with unit variance | ACE as it is]; see LocalEncoder for what the attributes mean.

    finds_keypoints is False although WHERE does: they are matched by products of unit vectors.
    """

    stride_px = 8
    enlarges = True
    unit_norm = False
    finds_keypoints = False

    def __init__(self, where: LocalEncoder, what: AceEncoder) -> None:
        """where: finds keypoints, with descriptors of unit norm, in images of sizes that ACE takes
        too.
        what: ACE, whose descriptors are read at these keypoints.

        Raises WeightsError where a file of theirs is gone by now.
        """
        self._where, self._what = where, what
        both = LocalEncoderName.parse(f"{where.name}+{what.name}")
        self.name, self.device = str(both), where.device
        self.size_multiple_px = where.size_multiple_px
        self.channels = where.channels + what.channels
        self.weights_hash = weights_hash(both.networks)

    @torch.inference_mode()
    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """WHERE's keypoints of an image, with the descriptors of both, (n, C of WHERE + C of ACE).

        grey_11HW: float32 in [0, 1], sides a multiple of WHERE's `size_multiple_px`.
        count: of keypoints, at most.
        valid_HW: bool; there are none at False pixels.
        """
        found = self._where.encode(grey_11HW, count, valid_HW)
        dense_1chw = self._what.dense(grey_11HW)[None]
        what_nC = read_at(dense_1chw, found.pixels_n2, self._what.stride_px, outside="border")
        unit_variance_nC = found.descriptors_nC * self._where.channels**0.5
        descriptors_nC = torch.cat([unit_variance_nC, what_nC], dim=1)
        return found._replace(descriptors_nC=descriptors_nC)
