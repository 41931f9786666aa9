"""A full disk or memory in a sentence."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from glace_ros.errors import GlaceError, MappingError

if TYPE_CHECKING:
    from collections.abc import Iterator


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


_MEMORY_FULL = ("allocate memory", "not enough memory", "Insufficient memory", "out of memory")


@contextmanager
def shortages_in_a_sentence() -> Iterator[None]:
    """Where the disk or the memory is full, a MappingError that says so. What was saved stays."""
    try:
        yield
    except GlaceError:
        raise
    except Exception as error:
        sentence = _shortage(error)
        if sentence is None:
            raise
        raise MappingError(f"{sentence}; --resume goes on from what was saved last") from error


def _shortage(error: Exception) -> str | None:
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return f"the disk is full ({error.filename or error.strerror}): make room on it"
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "the GPU's memory is full: give less to --buffer-gb, or close what else uses the GPU"
    if isinstance(error, MemoryError) or any(words in str(error) for words in _MEMORY_FULL):
        return "the memory is full: give less to --buffer-gb, or close other programs"
    return None
