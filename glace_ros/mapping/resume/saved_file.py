"""A file of unfinished work: safetensors, written as a whole or not at all, of one bag and one
choice of settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from glace_ros.atomic_write import write_atomically
from glace_ros.errors import MappingError

if TYPE_CHECKING:
    from pathlib import Path

    import torch


def write_saved(path: Path, data: bytes) -> None:
    """The file as a whole or not at all; an older one stays until then. Raises MappingError."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise MappingError(
            f"the checkpoint {path} cannot be written: {error.strerror}; --resume goes on from the "
            "one before"
        ) from error


def read_saved(path: Path, fingerprint: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """(tensors, header). Raises MappingError for a damaged file, or one whose header names another
    fingerprint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise damaged(path) from error
    if header.get("fingerprint") != fingerprint:
        raise MappingError(
            f"{path} is of another bag or scene, other settings or other weights of an encoder: "
            "leave out --resume to start anew"
        )
    return tensors, header


def damaged(path: Path) -> MappingError:
    """What to raise where a file's content makes no sense."""
    return MappingError(f"the checkpoint {path} is damaged: leave out --resume to start anew")
