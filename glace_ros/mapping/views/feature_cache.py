"""Feature cache: what the encoders made of a drive's images, kept on disk for later builds.

A map of old drives and a new one then costs the new one's encoding. A drive has a folder with files
of some 60 MB, in order; the folder's name says which recording it is, which of its images, and all
that their encoding depends on. Poses are not in it.

It never stops a build: a file that is damaged, or cannot be written, is said in `notes`.
"""

from __future__ import annotations

import os
import shutil
import zlib
from bisect import bisect_right
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from glace_ros.atomic_write import replacing
from glace_ros.features.local_features import LocalFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FILE_BYTES = 60 << 20
"""Of features, after which a file is written: what is held in memory beside the buffer."""


class EncodedImage(NamedTuple):
    """What the encoders made of an image.

    copies: its own features, then those of its augmented views; on the CPU.
    intrinsics_4: fx, fy, cx, cy in pixels of the working size, float32.
    descriptor_G: the global one, where an encoder with weights of its own made it.
    seconds: that it took.
    """

    copies: list[LocalFeatures]
    intrinsics_4: torch.Tensor
    descriptor_G: torch.Tensor | None = None
    seconds: float = 0.0


class FeatureCache:
    """Of the drives of one build. Construction touches no file.

    notes: sentences on what is wrong with it.
    found: how many images of each drive were there.
    """

    def __init__(self, folder: Path, keys: Sequence[str], max_bytes: int) -> None:
        """folder: of the drives' folders; made when there is something to write.

        keys: of each drive; the name of its folder.
        max_bytes: of all that is in it; drives that were not used for the longest time go first.
        """
        self.notes: list[str] = []
        self.found: Counter[int] = Counter()
        self._folder = folder
        self._keys = list(keys)
        self._max_bytes = max_bytes
        self._full = False
        self._pending: list[tuple[int, EncodedImage]] = []  # (stamp, what was made of it)
        self._pending_at = (0, 0)  # drive, and index in it of the first of them
        self._pending_bytes = 0
        self._open: tuple[int, int] | None = None  # drive, and index of the first of:
        self._images: list[tuple[int, EncodedImage]] = []
        self._firsts: dict[int, list[int]] = {}  # drive: index of each file's first image

    def find(self, drive: int, index: int, stamp_ns: int) -> EncodedImage | None:
        """What was made of an image; None where it is not there.

        index: of the image among those of its drive that are mapped from.
        """
        firsts = self._firsts_of(drive)
        at = bisect_right(firsts, index) - 1
        if at < 0:
            return None
        first = firsts[at]
        if self._open != (drive, first):
            self._open, self._images = (drive, first), self._read(drive, first)
        if index - first >= len(self._images):
            return None
        stamp, image = self._images[index - first]
        if stamp != stamp_ns:
            return None
        self.found[drive] += 1
        return image

    def add(self, drive: int, index: int, stamp_ns: int, image: EncodedImage) -> None:
        """Keeps what was made of an image, in order; written when it is worth a file."""
        first_drive, first = self._pending_at
        if (drive, index) != (first_drive, first + len(self._pending)):
            self.write()
        if not self._pending:
            self._pending_at = drive, index
        self._pending.append((stamp_ns, image))
        self._pending_bytes += _bytes_of(image)
        if self._pending_bytes > _FILE_BYTES:
            self.write()

    def write(self) -> None:
        """What is not on disk yet. Call it at the end, also at a bad one."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if not pending or self._full:
            return
        drive, first = self._pending_at
        tensors = _packed(pending)
        data = save(tensors, {"crc": str(_checksum(tensors))})
        if not self._has_room(len(data)):
            self._full = True
            self.notes.append(
                f"not all features fit into --features-cache-gb {self._max_bytes / 2**30:g}: the "
                "next build encodes the others again"
            )
            return
        path = self._path(drive, first)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # of this process, as another build may write the same file
            partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
            with replacing(path, partial, durable=False):
                partial.write_bytes(data)
        except OSError as error:
            self._full = True
            self.notes.append(f"the features cannot be kept in {path.parent}: {error.strerror}")

    def _firsts_of(self, drive: int) -> list[int]:
        if drive not in self._firsts:
            folder = self._folder / self._keys[drive]
            files = folder.glob("*.safetensors")
            self._firsts[drive] = sorted(int(file.stem) for file in files if file.stem.isdigit())
            with suppress(OSError):  # it is not there, or of another user
                os.utime(folder)
        return self._firsts[drive]

    def _read(self, drive: int, first: int) -> list[tuple[int, EncodedImage]]:
        path = self._path(drive, first)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                if (file.metadata() or {}).get("crc") != str(_checksum(tensors)):
                    raise ValueError("it is not what was written")
            return _unpacked(tensors)
        except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
            if not isinstance(error, FileNotFoundError):  # else another build took it away
                self.notes.append(f"the features in {path} are damaged, and encoded anew")
            return []

    def _path(self, drive: int, first: int) -> Path:
        return self._folder / self._keys[drive] / f"{first:08d}.safetensors"

    def _has_room(self, wanted: int) -> bool:
        """Whether so many bytes fit, after drives of other builds made way."""
        sizes = {folder: _size(folder) for folder in self._folder.glob("*") if folder.is_dir()}
        others = [folder for folder in sizes if folder.name not in self._keys]
        used = sum(size for size, _ in sizes.values())
        for folder in sorted(others, key=lambda folder: sizes[folder][1]):
            if used + wanted <= self._max_bytes:
                break
            shutil.rmtree(folder, ignore_errors=True)
            used -= sizes[folder][0]
        return used + wanted <= self._max_bytes


def _size(folder: Path) -> tuple[int, float]:
    """(bytes of its files, when it was used last); of what another build takes away just now 0."""
    with suppress(OSError):
        return sum(file.stat().st_size for file in folder.iterdir()), folder.stat().st_mtime
    return 0, 0.0


def _bytes_of(image: EncodedImage) -> int:
    return sum(part.numel() * part.element_size() for copy in image.copies for part in copy)


def _packed(images: Sequence[tuple[int, EncodedImage]]) -> dict[str, torch.Tensor]:
    copies = [copy for _, image in images for copy in image.copies]
    descriptors = [image.descriptor_G for _, image in images if image.descriptor_G is not None]
    return {
        "stamps_v": torch.tensor([stamp_ns for stamp_ns, _ in images]),
        "seconds_v": torch.tensor([image.seconds for _, image in images]),
        "lengths_vk": torch.tensor(
            [[len(copy.scores_n) for copy in image.copies] for _, image in images]
        ),
        "intrinsics_v4": torch.stack([image.intrinsics_4 for _, image in images]),
        "descriptors_nC": torch.cat([copy.descriptors_nC for copy in copies]),
        "pixels_n2": torch.cat([copy.pixels_n2 for copy in copies]),
        "scores_n": torch.cat([copy.scores_n for copy in copies]),
        **({"codes_vG": torch.stack(descriptors)} if descriptors else {}),
    }


def _unpacked(tensors: dict[str, torch.Tensor]) -> list[tuple[int, EncodedImage]]:
    lengths_vk, names = tensors["lengths_vk"], ("descriptors_nC", "pixels_n2", "scores_n")
    parts = (torch.split(tensors[name], lengths_vk.flatten().tolist()) for name in names)
    copies = [LocalFeatures(*part) for part in zip(*parts, strict=True)]
    codes_vG, count = tensors.get("codes_vG"), lengths_vk.shape[1]
    return [
        (
            int(stamp_ns),
            EncodedImage(
                copies[view * count : (view + 1) * count],
                tensors["intrinsics_v4"][view],
                None if codes_vG is None else codes_vG[view],
                float(tensors["seconds_v"][view]),
            ),
        )
        for view, stamp_ns in enumerate(tensors["stamps_v"])
    ]


def _checksum(tensors: dict[str, torch.Tensor]) -> int:
    checksum = 0
    for _, tensor in sorted(tensors.items()):
        checksum = zlib.crc32(tensor.contiguous().numpy().data, checksum)
    return checksum
