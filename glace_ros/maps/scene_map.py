"""A map: its networks, global encoder and landmarks, in memory and as tensors of its file.

Weights are fp16, the position decoder's centres fp32, the map's origin float64: a map in UTM
coordinates keeps its millimetres.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from glace_ros.errors import MapFileError, MappingError
from glace_ros.features.descriptor_centres import DescriptorCentres
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.features.global_encoder import VladEncoder
from glace_ros.maps.coordinate_head import CoordinateHead, head_input
from glace_ros.maps.landmarks import Landmarks
from glace_ros.maps.map_file import read_map_file, tensors_hash, write_map_file
from glace_ros.maps.map_metadata import MapMetadata

if TYPE_CHECKING:
    from collections.abc import Sequence

_GLOBAL, _LANDMARKS = "global.", "landmarks."
_COMPONENTS, _LARGEST = f"{_GLOBAL}components_kd", f"{_GLOBAL}components_largest_k"
_MAX_PARAMETERS = 200_000_000
"""Of all heads of a file: about 400 MB. A header that asks for more is damaged, not large."""


class SceneMap:
    """A trained scene.

    metadata: what is known of it besides.
    heads: one, or an ensemble, each of which knows its own part of the scene.
    global_encoder: what the file holds of it: VLAD, or the centres of R2Former's clustered
    descriptors. R2Former itself is made by who encodes images. None: there is nothing to hold.
    landmarks: None: poses are those of the heads alone.
    map_id: twelve hex digits of the tensors' hash.
    file_bytes: size of the file it was loaded from or saved to.
    """

    def __init__(
        self,
        metadata: MapMetadata,
        heads: Sequence[CoordinateHead],
        global_encoder: VladEncoder | DescriptorCentres | None,
        landmarks: Landmarks | None = None,
    ) -> None:
        """Raises ValueError for another number of heads than metadata have."""
        if len(heads) != metadata.heads:
            raise ValueError(f"{len(heads)} heads where the metadata say {metadata.heads}")
        self.metadata = metadata
        self.heads = tuple(head.eval().requires_grad_(False) for head in heads)
        self.global_encoder = global_encoder
        self.landmarks = landmarks
        self.map_id = tensors_hash(self._tensors())[:12]
        self.file_bytes = 0

    @torch.inference_mode()
    def points(
        self,
        descriptors_nC: torch.Tensor,
        descriptor_G: torch.Tensor | None,
        head: int | None = None,
    ) -> torch.Tensor:
        """Float32 points (heads, n, 3) of an image's local features by each head, or (1, n, 3) by
        one alone, metres from `metadata.origin_m`.

        descriptors_nC: of the local features.
        descriptor_G: of the image; None where the map takes none.
        head: index of the one to query; None = all.
        """
        descriptors_nG = (
            None if descriptor_G is None else descriptor_G.expand(len(descriptors_nC), -1)
        )
        scaled = self.metadata.head.scaled_inputs
        input_nC = head_input(descriptors_nC, descriptors_nG, scaled=scaled)
        heads = self.heads if head is None else [self.heads[head]]
        return torch.stack([each(input_nC) for each in heads])

    def head_of(self, position_3: torch.Tensor) -> int:
        """Index of the head that was trained where a mapping camera stood: the one with the
        nearest centre.

        position_3: of the camera, metres from `metadata.origin_m`.
        """
        away_h = [(head.centres_k3 - position_3).norm(dim=1).min() for head in self.heads]
        return int(torch.stack(away_h).argmin())

    def to(self, device: torch.device) -> SceneMap:
        """The same map for inference on a device."""
        encoder, landmarks = self.global_encoder, self.landmarks
        moved = SceneMap(
            self.metadata,
            [head.to(device) for head in self.heads],
            encoder.to(device) if encoder else None,
            landmarks.to(device) if landmarks else None,
        )
        moved.file_bytes = self.file_bytes
        return moved

    def with_metadata(self, **changes: Any) -> SceneMap:
        """The same map with some metadata replaced."""
        metadata = replace(self.metadata, **changes)
        return SceneMap(metadata, self.heads, self.global_encoder, self.landmarks)

    def save(self, path: Path | str) -> None:
        """Write the file, replacing an older one only once the new one is whole.

        Raises MapFileError where it cannot be written.
        """
        self.file_bytes = write_map_file(Path(path), self.metadata.as_header(), self._tensors())

    @staticmethod
    def load(path: Path | str) -> SceneMap:
        """Read and check a map. Raises MapFileError, one sentence, for anything but a whole one."""
        path = Path(path)
        fields, tensors = read_map_file(path)
        try:
            scene_map = _rebuild(fields, tensors, path.resolve().parent)
        except (
            LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError
        ) as error:  # fmt: skip
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MapFileError(
                f"the map {path} is damaged ({what}): copy it anew or build it anew"
            ) from error
        scene_map.file_bytes = path.stat().st_size
        return scene_map

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {}
        for prefix, head in zip(_head_prefixes(len(self.heads)), self.heads, strict=True):
            keep = set(head.full_precision_parameters())
            for name, tensor in head.state_dict().items():
                kind = torch.float32 if name in keep else torch.float16
                tensors[f"{prefix}{name}"] = tensor.detach().cpu().to(kind).contiguous()
        if self.global_encoder is not None:
            for name, tensor in self.global_encoder.tensors().items():
                tensors[f"{_GLOBAL}{name}"] = tensor.detach().cpu().half().contiguous()
            if (components_kd := tensors.get(_COMPONENTS)) is not None:
                tensors[_COMPONENTS], tensors[_LARGEST] = _as_int8(components_kd.float())
        if self.landmarks is not None:
            for name, tensor in self.landmarks.tensors().items():
                tensors[f"{_LANDMARKS}{name}"] = tensor.detach().cpu().contiguous()
        return tensors


def _as_int8(rows_kd: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row by its largest number, which becomes 127, and that number (k,): the projection of a
    VLAD, half a megabyte in place of one.
    """
    largest_k = rows_kd.abs().amax(dim=1).half()
    unit_kd = rows_kd / largest_k.float().clamp(min=1e-7)[:, None]
    return (127.0 * unit_kd).round().clamp(-127, 127).to(torch.int8), largest_k


def _head_prefixes(heads: int) -> list[str]:
    """Of the names of each head's tensors. The first has no number: the only one in most maps."""
    return ["head.", *(f"head{index}." for index in range(1, heads))]


def _rebuild(fields: dict[str, Any], tensors: dict[str, torch.Tensor], folder: Path) -> SceneMap:
    metadata = MapMetadata.from_header(fields, folder)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"the tensor {name} has a number that is not finite")
    shape = metadata.head
    channels = shape.local_channels + shape.global_channels
    widest = shape.width * max(1.0, shape.mlp_ratio)
    parameters = widest * (shape.width * (shape.blocks + 3) + channels + shape.clusters)
    if not 0 < metadata.heads * parameters < _MAX_PARAMETERS:
        raise ValueError("its network has an impossible size")
    heads = _rebuild_heads(metadata, tensors)
    global_encoder = _rebuild_global_encoder(metadata, tensors)
    parts = {k.removeprefix(_LANDMARKS): v for k, v in tensors.items() if k.startswith(_LANDMARKS)}
    landmarks = Landmarks.from_tensors(parts, shape.local_channels) if parts else None
    return SceneMap(metadata, heads, global_encoder, landmarks)


def _rebuild_heads(metadata: MapMetadata, tensors: dict[str, torch.Tensor]) -> list[CoordinateHead]:
    prefixes = _head_prefixes(metadata.heads)
    known = (*prefixes, _GLOBAL, _LANDMARKS)
    if unknown := sorted(name for name in tensors if not name.startswith(known)):
        raise ValueError(f"the tensor {unknown[0]} belongs to no part of it")
    heads = []
    for prefix in prefixes:
        head = CoordinateHead(metadata.head)
        head.load_state_dict(
            {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
        )
        heads.append(head)
    return heads


def _rebuild_global_encoder(
    metadata: MapMetadata, tensors: dict[str, torch.Tensor]
) -> VladEncoder | DescriptorCentres | None:
    unknown = f"its global encoder '{metadata.global_encoder}' is unknown"
    try:
        name = GlobalEncoderName.parse(metadata.global_encoder)
    except MappingError as error:
        raise ValueError(unknown) from error
    channels = metadata.head.global_channels
    if name.r2former and not name.clusters:  # whoever encodes images makes it
        if channels == 0:
            raise ValueError("its network takes no global code")
        return None
    if name.source == "none":
        return None
    parts = {
        k.removeprefix(_GLOBAL): v.float()
        for k, v in tensors.items()
        if k.startswith(_GLOBAL) and k != _LARGEST
    }
    if _LARGEST in tensors:
        components = _COMPONENTS.removeprefix(_GLOBAL)
        parts[components] = parts[components] / 127.0 * tensors[_LARGEST].float()[:, None]
    encoder: VladEncoder | DescriptorCentres
    if name.r2former:
        encoder = DescriptorCentres(**parts)
    else:
        encoder = VladEncoder(**parts, patches=int(metadata.vlad_patches))
    clusters = 0 if encoder.centres_kG is None else len(encoder.centres_kG)
    if str(replace(name, clusters=clusters)) != metadata.global_encoder:
        raise ValueError(unknown)
    if encoder.channels != channels:
        raise ValueError("its global code has another length than its network takes")
    return encoder
