"""The map file: one `.glace` file = safetensors with a JSON header. Loading one can run no code."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from glace_ros.atomic_write import write_atomically
from glace_ros.errors import MapFileError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION = 1
"""Of the header; a file of another one is not read."""
_FORMAT = "glace"


def write_map_file(path: Path, fields: dict[str, Any], tensors: dict[str, torch.Tensor]) -> int:
    """Write fields (JSON) and tensors, replacing an older file only once the new one is whole.
    Returns its bytes.

    Raises MapFileError where it cannot be written.
    """
    header = {"version": FORMAT_VERSION, **fields}
    header["sha256"] = checksum(header, tensors)
    data = save(tensors, metadata={_FORMAT: json.dumps(header)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise MapFileError(f"the map {path} cannot be written: {error.strerror}") from error
    return len(data)


def read_map_file(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The fields and tensors of a file that is whole and as it was written.

    Raises MapFileError, one sentence, for any other.
    """
    _check_is_file(path)
    header, tensors = _read(path)
    version = header.pop("version", None)
    if version != FORMAT_VERSION:
        raise MapFileError(
            f"the map {path} has format version {version}, this glace_ros reads version "
            f"{FORMAT_VERSION}: update glace_ros or build the map anew"
        )
    if header.pop("sha256", None) != checksum({"version": version, **header}, tensors):
        raise MapFileError(
            f"the map {path} was changed after it was made (its checksum does not match): "
            "copy it anew or build it anew"
        )
    return header, tensors


def tensors_hash(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes, in hex digits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def checksum(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256, in hex digits, of all that a pose depends on: an origin that was edited is as wrong
    as a weight.

    header: all fields; the checksum itself does not count.
    tensors: by name.
    """
    described = json.dumps({k: v for k, v in header.items() if k != "sha256"}, sort_keys=True)
    return hashlib.sha256(f"{described} {tensors_hash(tensors)}".encode()).hexdigest()


def _check_is_file(path: Path) -> None:
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError:  # a name that is too long, a folder that may not be read
        is_file = is_folder = False
    if is_folder:
        raise MapFileError(f"{path} is a folder, no map file: name the .glace file in it")
    if not is_file:
        raise MapFileError(f"there is no map file {path}: make one with `build_map`")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = json.loads((file.metadata() or {}).get(_FORMAT, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise MapFileError(
            f"{path} is not a whole .glace map (cut off, or another kind of file): "
            "name a file that build_map wrote, or copy it anew"
        ) from error
    if not isinstance(header, dict):
        raise MapFileError(f"{path} is a safetensors file, but not a .glace map")
    return header, tensors
