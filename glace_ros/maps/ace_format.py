"""Maps as the published code saves them (ACE's and GLACE's `MAP.pt`): what they hold, and reading
them. Writing them is ace_export.

Such a file is the state dict of a head of 1x1 convolutions in fp16, without the encoders, and
without anything that says where it is from: no frame, no camera, no accuracy. Reading one runs no
code.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from glace_ros.errors import MapFileError
from glace_ros.features.weights_file import read_checkpoint
from glace_ros.maps.coordinate_head import (
    CoordinateHead,
    CoordinateHeadConfig,
    HomogeneousScale,
)
from glace_ros.maps.map_metadata import MOST_HEADS, MapMetadata
from glace_ros.maps.scene_map import SceneMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.features.local_features import LocalEncoder
    from glace_ros.features.r2former_encoder import R2FormerEncoder

SHORT_SIDE_PX = 480
"""Working size of images in the published code."""
SCALES = tuple(vars(HomogeneousScale()))
"""Tensors of the homogeneous coordinates, where a map has them."""
_LAYERS = {"first.layer1": "res3_conv1", "first.layer2": "res3_conv2", "first.layer3": "res3_conv3",
           "first.skip": "head_skip", "fc1": "fc1", "fc2": "fc2", "fc3": "fc3",
           "cluster_logits": "fcc"}  # fmt: skip


def official_name(name: str) -> str:
    """What the published files call a tensor of ours: "blocks.2.layer1.weight" -> "2c0.weight"."""
    layer, kind = name.rsplit(".", 1)
    if block := re.fullmatch(r"blocks\.(\d+)\.layer(\d)", layer):
        return f"{block[1]}c{int(block[2]) - 1}.{kind}"
    return f"{_LAYERS[layer]}.{kind}"


def centres_name(shape: CoordinateHeadConfig) -> str:
    """What the published files call the position decoder's centres."""
    return "centers" if shape.clusters > 1 else "mean"


def read_official_map(
    path: Path, local: LocalEncoder, r2former: R2FormerEncoder | None = None
) -> SceneMap:
    """The published map as one of ours: the same points from the same features. It is not
    validated, and its frames and camera are unknown.

    path: of MAP.pt.
    local: the encoder that it was trained with.
    r2former: the global encoder that it was trained with; None for maps of ACE.

    Raises MapFileError, one sentence, where the file is no such map, or the encoders are not those
    that it takes.
    """
    tensors = read_checkpoint(path, MapFileError)
    shape = _shape(tensors, path, local.channels)
    _check_descriptors(path, shape.global_channels, r2former)
    head = CoordinateHead(shape)
    expected = {name: official_name(name) for name in head.state_dict() if name != "centres_k3"}
    known = {*expected.values(), *(SCALES if shape.scale else ()), centres_name(shape)}
    if unknown := sorted(set(tensors) - known):
        raise _no_map(path, f"it has '{unknown[0]}' besides")
    state = {"centres_k3": _tensor(tensors, centres_name(shape), path).reshape(-1, 3)}
    for name, official in expected.items():
        wanted, found = head.state_dict()[name], _tensor(tensors, official, path)
        if found.shape != (*wanted.shape, *([1, 1] if wanted.dim() == 2 else [])):
            raise _no_map(path, f"'{official}' has the wrong shape, {list(found.shape)}")
        state[name] = found.reshape(wanted.shape)
    head.load_state_dict(state)
    return SceneMap(_metadata(path, shape, local, r2former), [head], None)


def read_official_ensemble(
    paths: Sequence[Path], local: LocalEncoder, r2former: R2FormerEncoder | None = None
) -> SceneMap:
    """Published maps of parts of one scene, in one frame, as one map with so many heads.

    paths: of each MAP.pt.
    local, r2former: as `read_official_map` takes them.

    Raises MapFileError as `read_official_map` does, and where their networks are not alike.
    """
    if len(paths) > MOST_HEADS:
        raise MapFileError(f"{len(paths)} maps: one map holds {MOST_HEADS} heads at most")
    maps = [read_official_map(path, local, r2former) for path in paths]
    metadata = maps[0].metadata
    for path, other in zip(paths, maps, strict=True):
        if other.metadata.head != metadata.head:
            raise MapFileError(
                f"the networks of {paths[0]} and {path} differ in shape: only those that were "
                "trained alike make one map"
            )
    names = ", ".join(path.name for path in paths)
    metadata = replace(metadata, heads=len(maps), training={"imported_from": names})
    return SceneMap(metadata, [head for other in maps for head in other.heads], None)


def _shape(
    tensors: dict[str, torch.Tensor], path: Path, local_channels: int
) -> CoordinateHeadConfig:
    """What the sizes of the tensors say of the network."""
    width, inputs = _sizes(tensors, "res3_conv1.weight", path)
    hidden, _ = _sizes(tensors, "res3_conv2.weight", path)
    outputs, _ = _sizes(tensors, "fc3.weight", path)
    if inputs < local_channels:
        raise MapFileError(
            f"the map {path} takes features of {inputs} numbers, the local encoder gives "
            f"{local_channels}: name the encoder that it was trained with"
        )
    scale = None
    if outputs == 4:
        values = {name: _tensor(tensors, name, path).flatten() for name in SCALES}
        if any(len(value) != 1 or not value > 0 for value in values.values()):
            raise _no_map(path, "its homogeneous scale is not of positive numbers")
        scale = HomogeneousScale(**{name: float(value) for name, value in values.items()})
    elif outputs != 3:
        raise _no_map(path, f"'fc3.weight' gives {outputs} numbers, not 3 or 4")
    name = "centers" if "centers" in tensors else "mean"
    centres = _tensor(tensors, name, path)
    clusters = centres.shape[1] if name == "centers" and centres.dim() == 5 else 1
    if centres.numel() != 3 * clusters or (clusters == 1) != (name == "mean"):
        raise _no_map(path, f"'{name}' has the wrong shape, {list(centres.shape)}")
    return CoordinateHeadConfig(
        local_channels=local_channels,
        global_channels=inputs - local_channels,
        width=width,
        blocks=sum(bool(re.fullmatch(r"\d+c0\.weight", key)) for key in map(str, tensors)),
        mlp_ratio=hidden / width,
        clusters=clusters,
        scaled_inputs=False,
        scale=scale,
    )


def _metadata(
    path: Path, shape: CoordinateHeadConfig, local: LocalEncoder, r2former: R2FormerEncoder | None
) -> MapMetadata:
    return MapMetadata(
        map_frame="", base_frame="", camera_frame="", image_topic="", camera_info_topic="",
        camera=None, bag_name="", bag_hash="",
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        preset="imported", seed=0,
        local_encoder=local.name, local_encoder_hash=local.weights_hash,
        global_encoder=r2former.name if r2former else "none",
        global_encoder_hash=r2former.weights_hash if r2former else "",
        vlad_patches=0, sigma=0.0, short_side_px=SHORT_SIDE_PX, origin_m=(0.0, 0.0, 0.0),
        head=shape, training={"imported_from": path.name},
    )  # fmt: skip


def _check_descriptors(path: Path, channels: int, r2former: R2FormerEncoder | None) -> None:
    if r2former is None and channels:
        raise MapFileError(
            f"the map {path} takes a global code of {channels} numbers besides the features: name "
            "the encoder that gave it, --global r2former:FILE"
        )
    if r2former is not None and r2former.channels != channels:
        takes = f"one of {channels} numbers" if channels else "none"
        raise MapFileError(
            f"the global encoder '{r2former.name}' gives a code of {r2former.channels} numbers, "
            f"the map {path} takes {takes}: "
            + ("name another" if channels else "leave out --global")
        )


def _tensor(tensors: dict[str, torch.Tensor], name: str, path: Path) -> torch.Tensor:
    """float32, through fp16 as a map file keeps it."""
    found = tensors.get(name)
    if not isinstance(found, torch.Tensor):
        raise _no_map(path, f"it has no tensor '{name}'")
    rounded = found.half().float()
    if not torch.isfinite(rounded).all():
        raise _no_map(path, f"'{name}' has a number that is no finite fp16")
    return rounded


def _sizes(tensors: dict[str, torch.Tensor], name: str, path: Path) -> tuple[int, int]:
    found = _tensor(tensors, name, path)
    if found.dim() != 4 or 0 in found.shape:
        raise _no_map(path, f"'{name}' has the wrong shape, {list(found.shape)}")
    return found.shape[0], found.shape[1]


def _no_map(path: Path, why: str) -> MapFileError:
    return MapFileError(f"{path} is no map as ACE or GLACE save it: {why}")
