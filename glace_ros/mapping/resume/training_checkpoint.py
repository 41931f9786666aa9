"""Checkpoint of a training run: what `--resume` goes on from. A safetensors file, written
atomically.

It holds the head, the optimiser and the random state. The buffer is made anew from the bag: with
the same seed it is the same.
"""

from __future__ import annotations

import glob
import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from safetensors.torch import save

from glace_ros.mapping.resume.saved_file import damaged, read_saved, write_saved

if TYPE_CHECKING:
    import torch


class Resumable(Protocol):
    """What a checkpoint is of: a map trainer, which knows this file and not the other way round."""

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """(tensors on the CPU, progress): all that the rest of the training depends on."""

    def restore(self, tensors: dict[str, torch.Tensor], progress: dict[str, float]) -> None:
        """Go on from what `state` gave.

        Raises KeyError, TypeError, ValueError or RuntimeError where that does not fit.
        """


class TrainingCheckpoint:
    """The file beside the map to be. `fingerprint` names bag and settings: only the same ones go
    on.

    resume: whether an existing file is to be read; otherwise training starts anew.
    """

    def __init__(self, path: Path | str, fingerprint: str, *, resume: bool) -> None:
        self.path = Path(path)
        self._fingerprint = fingerprint
        self._resume = resume

    def save(self, trainer: Resumable) -> None:
        """Write the trainer's state; an older file stays whole until this one is. Raises
        MappingError.
        """
        tensors, progress = trainer.state()
        header = {"fingerprint": self._fingerprint, "progress": json.dumps(progress)}
        write_saved(self.path, save(tensors, header))

    def load(self, trainer: Resumable) -> bool:
        """Put the trainer where the file left off. False where there is nothing to go on from.

        Raises MappingError for a file of another bag, other settings or weights, or a damaged one.
        """
        if not self._resume or not self.path.is_file():
            return False
        tensors, header = read_saved(self.path, self._fingerprint)
        try:
            trainer.restore(tensors, json.loads(header["progress"]))
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise damaged(self.path) from error
        return True

    def of_head(self, index: int) -> TrainingCheckpoint:
        """That of one head of an ensemble; the first one's is this one."""
        if index == 0:
            return self
        path = self.path.with_name(f"{self.path.name}.head{index}")
        return TrainingCheckpoint(path, self._fingerprint, resume=self._resume)

    def forget_unless_resumed(self) -> None:
        """Where training starts anew, no later run goes on with what an earlier one left."""
        if not self._resume:
            self.remove()

    def remove(self) -> None:
        """Training is done: the files of all heads have served."""
        further = self.path.parent.glob(f"{glob.escape(self.path.name)}.head*")
        for path in [*further, self.path]:
            path.unlink(missing_ok=True)
