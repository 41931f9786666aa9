"""Local encoder: an image -> its local features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from glace_ros.features.ace_encoder import AceEncoder
from glace_ros.features.aliked_encoder import AlikedEncoder
from glace_ros.features.concat_encoder import ConcatEncoder
from glace_ros.features.encoder_names import LocalEncoderName
from glace_ros.features.superpoint_encoder import SuperPointEncoder
from glace_ros.features.xfeat_encoder import XFeatEncoder

if TYPE_CHECKING:
    from glace_ros.features.encoder_names import NetworkName
    from glace_ros.features.local_features import LocalEncoder


def local_encoder(name: str, device: torch.device, *, half: bool = False) -> LocalEncoder:
    """The encoder by its name on the command line.

    name: as `LocalEncoderName.parse` takes it.
    device: where it computes.
    half: whether XFeat computes in bfloat16; the others do not.

    Raises WeightsError for an unknown one, or where its weights cannot be used.
    """
    where, *ace = LocalEncoderName.parse(name).networks
    if ace:
        return ConcatEncoder(_of_one_network(where, device, half), AceEncoder(ace[0], device))
    return _of_one_network(where, device, half)


def _of_one_network(network: NetworkName, device: torch.device, half: bool) -> LocalEncoder:
    match network.kind:
        case "xfeat":
            return XFeatEncoder(device, half=half)
        case "aliked":
            return AlikedEncoder(device)
        case "superpoint":
            return SuperPointEncoder(network, device)
    return AceEncoder(network, device)
