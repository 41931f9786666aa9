"""Files that are there whole or not at all, whenever the process or the power ends."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def partial_of(path: Path) -> Path:
    """Where the new content of `path` is written until it is whole: beside it, so on its disk."""
    return path.with_name(path.name + ".partial")


@contextmanager
def replacing(path: Path, partial: Path | None = None, *, durable: bool = True) -> Iterator[Path]:
    """Yields a free path to write a file or a link to; it becomes `path` when the block ends.

    An older `path` stays until then, and where the block fails.
    path: the file to be, in a folder that exists.
    partial: the path to yield, in the same folder; None: `partial_of(path)`.
    durable: wait until the disk has it; without, a power cut may leave an empty file.
    Raises OSError where it cannot be written.
    """
    partial = partial or partial_of(path)
    partial.unlink(missing_ok=True)  # what a kill left may be a second name of another's file
    try:
        yield partial
        if durable and not partial.is_symlink():
            _sync(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    if durable:
        with suppress(OSError):  # the file is there; some network disks refuse this for folders
            _sync(path.parent)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Puts a file in the place of `path`, even of a link.

    path: in a folder that exists.
    content: bytes, or text that is written as UTF-8.
    Raises OSError where it cannot be written.
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_output(path: Path, content: bytes | str) -> None:
    """The same for a path that a user named: a link leads on, a pipe or /dev/stdout is written to.

    path, content: as in `write_atomically`.
    Raises OSError where it cannot be written.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    else:
        write_atomically(path, content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
