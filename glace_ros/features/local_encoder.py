"""Local encoder: an image -> descriptors of its most promising patches, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from glace_ros.features.encoder_names import check_name, encoder_parts

if TYPE_CHECKING:
    from glace_ros.features.local_features import LocalEncoder


def local_encoder(name: str, device: torch.device) -> LocalEncoder:
    """The encoder by its name on the command line. Raises WeightsError for an unknown one, or
    where its weights cannot be used.
    """
    from glace_ros.features.ace_encoder import AceEncoder
    from glace_ros.features.aliked_encoder import AlikedEncoder
    from glace_ros.features.concat_encoder import ConcatEncoder
    from glace_ros.features.superpoint_encoder import SuperPointEncoder
    from glace_ros.features.xfeat_encoder import XFeatEncoder

    check_name(name)
    where, *what = encoder_parts(name)
    if what:
        return ConcatEncoder(local_encoder(where, device), AceEncoder(what[0], device))
    if name == XFeatEncoder.name:
        return XFeatEncoder(device)
    if name == AlikedEncoder.name:
        return AlikedEncoder(device)
    return (AceEncoder if name.startswith("ace:") else SuperPointEncoder)(name, device)
