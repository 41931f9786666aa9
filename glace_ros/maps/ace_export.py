"""Our maps of ACE's features as files that ACE's and GLACE's published code reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from glace_ros.errors import MapFileError, WeightsError
from glace_ros.features.encoder_names import GlobalEncoderName, LocalEncoderName
from glace_ros.maps.ace_format import SCALES, centres_name, official_name

if TYPE_CHECKING:
    from pathlib import Path

    from glace_ros.maps.coordinate_head import CoordinateHead
    from glace_ros.maps.map_metadata import MapMetadata
    from glace_ros.maps.scene_map import SceneMap


def official_paths(path: Path, heads: int) -> list[Path]:
    """Where the published maps of so many heads go: MAP.pt, or MAP_0.pt, MAP_1.pt, ..."""
    if heads == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{index}{path.suffix}") for index in range(heads)]


def write_official_map(scene_map: SceneMap, path: Path) -> float:
    """Writes the map as the published code reads it, a file of `official_paths` for each head.
    Returns by how many metres fp16 moves its centres at most.

    Raises MapFileError where that code cannot have such a map, or the file cannot be written.
    """
    needs = _what_it_lacks(scene_map.metadata)
    if needs:
        raise MapFileError(f"the map cannot be exported: {needs}")
    paths = official_paths(path, len(scene_map.heads))
    return max(
        _write_head(head.cpu(), scene_map.metadata, own)
        for head, own in zip(scene_map.heads, paths, strict=True)
    )


def _write_head(head: CoordinateHead, metadata: MapMetadata, path: Path) -> float:
    state, shape = {}, metadata.head
    for name, tensor in head.state_dict().items():
        if name != "centres_k3":
            size = (*tensor.shape, 1, 1) if tensor.dim() == 2 else tensor.shape
            state[official_name(name)] = tensor.reshape(size).half()
    for name in SCALES if shape.scale else ():
        state[name] = torch.tensor([getattr(shape.scale, name)]).half()
    centres_k3 = head.centres_k3.double() + torch.tensor(metadata.origin_m, dtype=torch.float64)
    rounded_k3 = centres_k3.half()
    if not torch.isfinite(rounded_k3).all():
        raise MapFileError(
            "the map cannot be exported: published maps keep positions in fp16, which ends at "
            "65 km from the frame's origin"
        )
    size = (1, shape.clusters, 3, 1, 1) if shape.clusters > 1 else (1, 3, 1, 1)
    state[centres_name(shape)] = rounded_k3.reshape(size)
    try:
        torch.save(state, path)
    except (OSError, RuntimeError) as error:
        raise MapFileError(f"{path} cannot be written: {error}") from error
    return float((rounded_k3.double() - centres_k3).norm(dim=1).max())


def _what_it_lacks(metadata: MapMetadata) -> str:
    """Why the published code could not use a map like this; empty where it could."""
    if not _is_ace_alone(metadata.local_encoder) or metadata.head.scaled_inputs:
        return (
            f"it was made with the local encoder '{metadata.local_encoder}', and published maps "
            "are of ACE's (build it with --local-encoder ace:FILE)"
        )
    encoder = GlobalEncoderName.parse(metadata.global_encoder)
    if encoder.source == "vlad" or encoder.clusters:
        return (
            f"its global codes are '{metadata.global_encoder}', which the published code does not "
            "know (build it with --global-encoder none or r2former:FILE)"
        )
    return ""


def _is_ace_alone(local_encoder: str) -> bool:
    try:
        return LocalEncoderName.parse(local_encoder).networks[0].kind == "ace"
    except WeightsError:  # no encoder of ours is called so, and none of ACE's
        return False
