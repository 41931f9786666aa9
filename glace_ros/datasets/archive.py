"""Reading data sets as they are downloaded: folders, zips, and zips in zips.

Nothing is unpacked under the name that it has in a zip: a member's bytes go where we say. A zip
with a member that would lead out of a folder, that is a link or encrypted, or that would grow out
of all proportion is rejected as a whole.
"""

from __future__ import annotations

import errno
import re
import shutil
import stat
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Protocol

from glace_ros.datasets.scene_writer import link_or_copy
from glace_ros.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_GROWTH = 200
"""Bytes that a byte of a zip may become. Images grow by less than 2, text by less than 20."""
_SMALL = 10_000_000
"""Bytes that a zip may become however much it grows."""
_MOST_IMAGE_BYTES = 200_000_000
"""Of an image file; one that claims more is not unpacked."""
_MOST_LINE = 100_000
"""Bytes; a file with a longer line is no text."""
_BLOCK = 1 << 20
_BAD_ZIP = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, ValueError,
)  # fmt: skip


class Source(Protocol):
    """Files by their paths with /, below some folder.

    words: what it is called in sentences.
    """

    words: str

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def has_folder(self, name: str) -> bool:
        """Whether there are files below."""

    def files_in(self, folder: str) -> list[str]:
        """Names of the files right in a folder ("" for this one), sorted."""

    def below(self, folder: str) -> Source:
        """The same, seen from a folder."""

    def open(self, name: str) -> IO[bytes]:
        """RecordingError where there is no such file."""

    def place(self, name: str, target: Path) -> None:
        """The file's bytes at `target`, linked where that can be."""


class FolderSource:
    """A folder on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.words = str(root)

    def has(self, name: str) -> bool:
        return self._path(name).is_file()

    def has_folder(self, name: str) -> bool:
        return self._path(name).is_dir()

    def files_in(self, folder: str) -> list[str]:
        path = self._path(folder) if folder else self.root
        return sorted(entry.name for entry in path.iterdir() if entry.is_file())

    def below(self, folder: str) -> FolderSource:
        return FolderSource(self._path(folder))

    def open(self, name: str) -> IO[bytes]:
        try:
            return self._path(name).open("rb")
        except OSError as error:
            raise RecordingError(f"{self._path(name)} cannot be read: {error.strerror}") from error

    def place(self, name: str, target: Path) -> None:
        if not self.has(name):
            raise RecordingError(f"{self._path(name)} is missing")
        link_or_copy(self._path(name), target)

    def _path(self, name: str) -> Path:
        return self.root / require_safe(name, self.words)


class ZipSource:
    """An open zip, which was checked, or what is below a folder in it."""

    def __init__(self, archive: zipfile.ZipFile, words: str, prefix: str = "") -> None:
        self._archive, self._prefix = archive, prefix
        self.words = words

    def has(self, name: str) -> bool:
        return self._prefix + require_safe(name, self.words) in self._archive.NameToInfo

    def has_folder(self, name: str) -> bool:
        start = f"{self._prefix}{name}/"
        return any(member.startswith(start) for member in self._archive.NameToInfo)

    def files_in(self, folder: str) -> list[str]:
        start = self._prefix + (f"{folder}/" if folder else "")
        names = (n[len(start) :] for n in self._archive.NameToInfo if n.startswith(start))
        return sorted(name for name in names if name and "/" not in name)

    def below(self, folder: str) -> ZipSource:
        return ZipSource(self._archive, f"{self.words}/{folder}", f"{self._prefix}{folder}/")

    def open(self, name: str) -> IO[bytes]:
        if not self.has(name):
            raise RecordingError(f"{self.words} has no {name}")
        with _damage_said(f"{self.words}/{name}"):
            return self._archive.open(self._prefix + name)

    def place(self, name: str, target: Path) -> None:
        size = self._archive.NameToInfo[self._prefix + name].file_size if self.has(name) else 0
        if size > _MOST_IMAGE_BYTES:
            raise RecordingError(f"{self.words}/{name} would be an image of {size} bytes")
        said = _damage_said(f"{self.words}/{name}")
        with self.open(name) as member, target.open("wb") as file, said:
            shutil.copyfileobj(member, file, _BLOCK)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """A folder or a zip. RecordingError where it is neither."""
    if path.is_dir():
        yield FolderSource(path)
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield _zip_source(file, str(path))


@contextmanager
def inside(source: Source, name: str, scratch: Path) -> Iterator[Source | None]:
    """The folder of that name, or what is in NAME.zip; None where there is neither.

    scratch: an existing folder, on the disk that has room to unpack a zip that lies in a zip.
    """
    if source.has_folder(name):
        yield source.below(name)
    elif source.has(f"{name}.zip"):
        with source.open(f"{name}.zip") as member, TemporaryFile(dir=scratch) as file:
            words = f"{source.words}/{name}.zip"
            opened: IO[bytes] = member
            if isinstance(source, ZipSource):  # a compressed one cannot be read here and there
                with _damage_said(words):
                    shutil.copyfileobj(member, file, _BLOCK)
                opened = file
            inner = _zip_source(opened, words)
            yield inner.below(name) if inner.has_folder(name) else inner
    else:
        yield None


def lines_of(source: Source, name: str) -> Iterator[str]:
    """The lines of a text file, one after the other. RecordingError where it is no text."""
    with source.open(name) as file, _damage_said(f"{source.words}/{name}"):
        while line := file.readline(_MOST_LINE):
            if len(line) == _MOST_LINE:
                raise RecordingError(f"{source.words}/{name} is no text: a line has no end")
            yield line.decode("utf-8", "replace").rstrip("\r\n")


def text_of(source: Source, name: str) -> str:
    """A small text file."""
    return "\n".join(lines_of(source, name))


def image_bytes(source: Source, name: str) -> bytes:
    """An image file as it is."""
    with source.open(name) as file, _damage_said(f"{source.words}/{name}"):
        return file.read(_MOST_IMAGE_BYTES)


def require_safe(name: str, words: str) -> str:
    """The name. RecordingError where it is absolute or leads out of its folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or re.search(r"[\\\0]|^\w:", name):
        raise RecordingError(f"{words} names the file {name!r}, which could lie anywhere: refused")
    return name


def _zip_source(file: IO[bytes], words: str) -> ZipSource:
    with _damage_said(words):
        archive = zipfile.ZipFile(file)
    for member in archive.infolist():
        require_safe(member.filename.rstrip("/"), words)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise RecordingError(f"{words} has a link in it, {member.filename}: refused")
        if member.flag_bits & 1:
            raise RecordingError(f"{words} is encrypted ({member.filename})")
    file.seek(0, 2)
    size, grown = file.tell(), sum(member.file_size for member in archive.infolist())
    if grown > _SMALL and grown > MOST_GROWTH * size:
        raise RecordingError(f"{words} has {size} bytes and would become {grown}: refused")
    return ZipSource(archive, words)


@contextmanager
def _damage_said(words: str) -> Iterator[None]:
    """What zipfile raises for damaged zips as a RecordingError; a full disk stays an OSError."""
    try:
        yield
    except (*_BAD_ZIP, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the start
            raise
        raise RecordingError(f"{words} is damaged ({error}): download it again") from error
