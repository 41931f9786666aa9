"""rosbags' reader, which one channel that nobody needs does not stop: it is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rosbags.highlevel import AnyReader
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.reader import DirectoryReader
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.typesys import (
    Stores,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)

from glace_ros.recording.definition_check import unlike_usual
from glace_ros.ros_messages.reading import CAMERA_INFO, IMAGE_TYPES, POSE_TYPES, TF_TYPES

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping
    from pathlib import Path

    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

_SCHEMA_ENCODINGS = ("ros2msg", "ros2idl", "omgidl", "")
_READ_TYPES = {CAMERA_INFO, *IMAGE_TYPES, *POSE_TYPES, *TF_TYPES}
_IDL_PART = "=" * 80 + "\n"
_IDL_HEAD = "IDL: "


class _Schemas(dict[int, Any]):
    """Schemas by id; those in a language that rosbags does not know have no definition."""

    def __setitem__(self, key: int, schema: Any) -> None:
        if schema.encoding not in _SCHEMA_ENCODINGS:
            schema = schema._replace(encoding="", data="")
        super().__setitem__(key, schema)


class _Mcap(McapReader):
    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self.schemas = _Schemas()

    def open(self) -> None:
        super().open()
        if any(chunk.chunk_length and not chunk.message_index_offsets for chunk in self.chunks):
            self.chunks.clear()  # an index that does not say where messages are: all is read

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        if self.chunks:
            yield from super().messages(connections, start, stop)
        else:  # in the order of the file, in which one message may be late
            yield from self.messages_scan(connections, start, stop)


class _Folder(DirectoryReader):
    STORAGE_PLUGINS: Mapping[str, type[Any]] = {**DirectoryReader.STORAGE_PLUGINS, "mcap": _Mcap}

    def open(self) -> None:
        super().open()
        # rosbags takes a topic of the files for that of metadata.yaml only where the QoS is equal
        stored = {(c.topic, c.msgtype): c for files in self.storages for c in files.connections}
        self.connections = [
            c._replace(ext=stored[c.topic, c.msgtype].ext) if (c.topic, c.msgtype) in stored else c
            for c in self.connections
        ]


class _Rosbag2(Reader):
    STORAGE_PLUGINS: Mapping[str, type[Any]] = {
        **Reader.STORAGE_PLUGINS,
        "dir": _Folder,
        ".mcap": _Mcap,
    }


class LenientReader(AnyReader):
    """As AnyReader, but of `connections` only those whose messages can be parsed."""

    def __init__(self, paths: list[Path], default_typestore: Typestore) -> None:
        """paths: one rosbag2 folder, bare files, or ROS 1 bags.
        default_typestore: definitions for what brings none of its own.
        """
        super().__init__(paths, default_typestore=default_typestore)
        if self.is2:
            self.readers = [_Rosbag2(path) for path in paths]
        self.not_parsed: dict[str, str] = {}
        """Topics that were left out, and why."""

    def _open(self) -> None:
        if not self.is2:
            super()._open()
            self._leave_out_unusual()
            return
        assert self.stack is not None
        for reader in self.readers:
            self.stack.enter_context(reader)
        assert self.default_typestore is not None
        self.typestore = typestore = get_typestore(Stores.EMPTY)
        known = self.default_typestore.fielddefs
        self.connections = []
        there = [c for reader in self.readers for c in reader.connections]
        # usual types first: what others say of theirs does not count
        for connection in sorted(there, key=lambda c: c.msgtype not in known):
            encoding = str(getattr(connection.ext, "serialization_format", "cdr"))
            if encoding not in ("cdr", ""):
                self.not_parsed[connection.topic] = f"its messages are {encoding}, not cdr"
                continue
            try:
                if connection.msgtype not in typestore.fielddefs:
                    _register(typestore, connection, known)
            except Exception as error:  # of a definition out of the ordinary, nearly anything
                said = " ".join(str(error).replace("\\n", " ").split())[:80]
                self.not_parsed[connection.topic] = (
                    f"the definition of {connection.msgtype} cannot be parsed ({said})"
                )
                continue
            self.connections.append(connection)
        self._leave_out_unusual()

    def _leave_out_unusual(self) -> None:
        """Topics of the types that are read, but with other fields than these have."""
        assert self.default_typestore is not None
        usual = self.default_typestore.fielddefs
        usual = {**usual, "tf/msg/tfMessage": usual["tf2_msgs/msg/TFMessage"]}
        kept = []
        for connection in self.connections:
            why = ""
            if connection.msgtype in _READ_TYPES:
                why = unlike_usual(connection.msgtype, self.typestore.fielddefs, usual)
            if why:
                self.not_parsed[connection.topic] = f"its definition is not the usual one: {why}"
            else:
                kept.append(connection)
        self.connections = kept


def _register(typestore: Typestore, connection: Connection, known: Any) -> None:
    """The connection's types, by the bag's definition, else by the usual one."""
    definition = connection.msgdef
    types: dict[str, Any] = {}
    if definition.format == MessageDefinitionFormat.MSG:
        types = dict(get_types_from_msg(definition.data, connection.msgtype))
    elif definition.format == MessageDefinitionFormat.IDL:
        if definition.data.startswith(_IDL_PART + _IDL_HEAD):
            for part in definition.data.split(_IDL_PART)[1:]:
                types.update(get_types_from_idl(part.split("\n", 1)[1]))
        else:
            types = dict(get_types_from_idl(definition.data))
    elif connection.msgtype in known:
        types = dict(known)
    typestore.register({name: made for name, made in types.items()
                        if name not in typestore.fielddefs})  # fmt: skip
