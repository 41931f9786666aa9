"""Opening a bag, whatever its kind, and reading its messages; every fault becomes one sentence."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from glace_ros.errors import RecordingError
from glace_ros.recording.bag_faults import cannot_open, cannot_read_on
from glace_ros.recording.counted import counted
from glace_ros.recording.lenient_reader import LenientReader
from glace_ros.ros_messages.reading import VIDEO_DEFINITIONS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # which rosbags brings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rosbags.typesys.store import Typestore

_BAG_SUFFIXES = (".mcap", ".db3", ".bag")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""No message in CDR begins so."""
_COMPRESSED_SUFFIXES = (".zst", ".zstd")


@dataclass(frozen=True)
class BagTopic:
    """A topic, as the bag's index has it."""

    name: str
    msgtype: str
    """Such as "sensor_msgs/msg/Image"; empty where its messages are of several types."""
    count: int
    """Messages."""


@dataclass(frozen=True)
class BagMessage:
    """One message, parsed."""

    topic: str
    received_ns: int
    """When it was recorded, not when it was measured."""
    content: Any
    """An object with the fields of its message type."""


def _typestore() -> Typestore:
    """For bags without definitions of their own: those of Jazzy, and of video."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, definition in VIDEO_DEFINITIONS.items():
        store.register(get_types_from_msg(definition, name))
    return store


def _require_sense(reader: LenientReader) -> None:
    """Raises what it likes where what metadata.yaml says of topics and times is none."""
    numbers = [reader.message_count, reader.start_time, reader.duration]
    numbers += [info.msgcount for info in reader.topics.values()]
    words = [*reader.topics, *(info.msgtype or "" for info in reader.topics.values())]
    for value, kind in [*((n, int) for n in numbers), *((word, str) for word in words)]:
        if not isinstance(value, kind):
            raise ValueError(f"metadata has {value!r} where {kind.__name__} is needed")


class BagFile:
    """A bag, read as a stream. It is open when it is made, and a context manager that closes it.

    Raises RecordingError with a sentence, also while reading.
    """

    def __init__(self, path: Path | str) -> None:
        """path: a rosbag2 folder, a bare .mcap or .db3, or a ROS 1 .bag."""
        self.path = Path(path)
        self.notes: list[str] = []
        """Sentences on what is odd but usable."""
        self.unreadable: Counter[str] = Counter()
        """Messages that could not be parsed, by topic, of all passes made."""
        self._links = ExitStack()
        reader = self._opened()
        self._reader: LenientReader | None = reader
        if reader.message_count == 0:
            self.close()
            raise RecordingError(f"{self.path} holds no messages")
        self.topics = {
            name: BagTopic(name, info.msgtype or "", info.msgcount)
            for name, info in reader.topics.items()
        }
        """All that the bag's index names, by name."""
        self._not_parsed = dict(reader.not_parsed)
        if self._not_parsed:
            reasons = "; ".join(f"{topic}: {why}" for topic, why in self._not_parsed.items())
            self.note(f"not read: {reasons}")
        self.start_ns = reader.start_time
        """When the first message was recorded."""
        self.duration_s = max(0, reader.duration) / 1e9
        """From the first message to the last."""

    def __enter__(self) -> BagFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files; a bag that is closed has no messages to give."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._links.close()

    def _opened(self) -> LenientReader:
        try:
            paths = self._files_to_open()
        except OSError as error:
            raise RecordingError(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            reader = LenientReader(
                [self._named_for_rosbags(path) for path in paths],
                default_typestore=_typestore(),
            )
            reader.open()
            _require_sense(reader)
        except Exception as error:  # a damaged file makes rosbags raise nearly anything
            self._links.close()
            raise RecordingError(cannot_open(self.path, paths, error)) from error
        return reader

    def messages(self, topics: Iterable[str]) -> Iterator[BagMessage]:
        """The messages of these topics in order of recording, parsed.

        Unparsable ones are left out and counted in `unreadable`. After the last one the counts
        are held against the bag's index; what is missing is said in `notes`.
        """
        if self._reader is None:
            raise RecordingError(f"{self.path} is not open")
        wanted = set(topics)
        for topic in sorted(wanted & set(self._not_parsed)):
            raise RecordingError(f"{self.path}: {topic} cannot be read: {self._not_parsed[topic]}")
        connections = [c for c in self._reader.connections if c.topic in wanted]
        if not connections:
            return
        stream = self._reader.messages(connections=connections)
        seen: Counter[str] = Counter()
        while True:
            try:
                connection, received_ns, raw = next(stream)
            except StopIteration:
                break
            except Exception as error:
                raise RecordingError(cannot_read_on(self.path, error)) from error
            seen[connection.topic] += 1
            try:
                content = self._content(raw, connection.msgtype)
            except Exception:  # a damaged message makes rosbags raise nearly anything
                self.unreadable[connection.topic] += 1
                continue
            yield BagMessage(connection.topic, received_ns, content)
        self._compare_counts(wanted, seen)

    def samples(self, topic: str, count: int) -> Iterator[Any]:
        """The contents of so many messages of a topic at most, from all of the bag's time.

        Raises RecordingError where the bag cannot be read on.
        """
        if self._reader is None:
            raise RecordingError(f"{self.path} is not open")
        connections = [c for c in self._reader.connections if c.topic == topic]
        seen_ns = -1
        for number in range(count):
            start_ns = self.start_ns + round(self.duration_s * 1e9 * number / count)
            try:
                stream = self._reader.messages(connections=connections, start=start_ns)
                connection, received_ns, raw = next(stream)
            except StopIteration:
                return
            except Exception as error:
                raise RecordingError(cannot_read_on(self.path, error)) from error
            if received_ns == seen_ns:
                continue
            seen_ns = received_ns
            with suppress(Exception):  # a damaged message: `messages` says so
                yield self._content(raw, connection.msgtype)

    def _content(self, raw: bytes, msgtype: str) -> Any:
        """The message; of a damaged one rosbags raises nearly anything."""
        assert self._reader is not None
        if raw[:4] == _ZSTD_MAGIC:  # a compressed message; metadata.yaml would say so
            raw = zstd.decompress(raw)
        return self._reader.deserialize(raw, msgtype)

    def _compare_counts(self, wanted: set[str], seen: Counter[str]) -> None:
        for topic in sorted(wanted & set(self.topics)):
            promised = self.topics[topic].count
            if seen[topic] != promised:
                self.note(
                    f"{topic}: {counted(seen[topic], 'message')} found where the bag's index "
                    f"promises {promised}; the file is damaged in the middle"
                )
            if self.unreadable[topic]:
                self.note(f"{topic}: some messages are damaged and were left out")

    def note(self, sentence: str) -> None:
        """Adds a note, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def content_hash(self) -> str:
        """sha256 (hex) over the data files in order of their names; the metadata is not in it."""
        digest = hashlib.sha256()
        try:
            for path in self._data_files():
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
        except OSError as error:
            raise RecordingError(f"{self.path} cannot be read: {error.strerror}") from error
        return digest.hexdigest()

    def _data_files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        suffixes = (*_BAG_SUFFIXES, *_COMPRESSED_SUFFIXES)
        return sorted(p for p in self.path.iterdir() if p.is_file() and p.suffix in suffixes)

    def _files_to_open(self) -> list[Path]:
        """What rosbags is to open: the folder, the file, or the bare files of a folder."""
        path = self.path
        if not path.exists():
            raise RecordingError(f"There is no bag at {path}")
        files = self._data_files()
        for file in files:
            log = file.with_name(file.name + "-wal")
            if log.exists() and log.stat().st_size > 0:
                raise RecordingError(
                    f"{file} was not closed by its recorder ({log.name} holds messages); "
                    f"run 'sqlite3 {file} \"PRAGMA wal_checkpoint(TRUNCATE)\"' first"
                )
        if not path.is_dir():
            if path.suffix not in _BAG_SUFFIXES:
                raise RecordingError(
                    f"{path} is no bag: a folder with metadata.yaml, or a file that ends in "
                    f"{', '.join(_BAG_SUFFIXES)}, is needed"
                )
            return [path]
        if (path / "metadata.yaml").exists():
            return [path]
        return self._bare_files(files)

    def _named_for_rosbags(self, path: Path) -> Path:
        """The path; a rosbag2 folder called x.bag, which rosbags takes for ROS 1, by a link."""
        if not (path.is_dir() and path.suffix == ".bag"):
            return path
        folder = Path(self._links.enter_context(TemporaryDirectory()))
        (folder / "bag").symlink_to(path.resolve(), target_is_directory=True)
        return folder / "bag"

    def _bare_files(self, files: list[Path]) -> list[Path]:
        """The data files of a folder without metadata.yaml, which is what a crash leaves."""
        for suffix in _BAG_SUFFIXES:
            bare = [file for file in files if file.suffix == suffix]
            if bare:
                self.note(
                    f"{self.path} has no metadata.yaml (the recorder did not finish, or it was "
                    f"not copied along); reading {', '.join(file.name for file in bare)}"
                )
                return bare
        if files:
            raise RecordingError(
                f"{self.path} has no metadata.yaml and its files are compressed; "
                f"run 'ros2 bag reindex {self.path}' first"
            )
        if any((self.path / name).is_dir() for name in ("rgb", "train", "test")):
            raise RecordingError(f"{self.path} is no bag but a scene folder: give it with --scene")
        raise RecordingError(f"{self.path} holds no bag (no metadata.yaml, no .mcap, .db3 or .bag)")
