"""Bags with something that nobody needs, or that says of itself what is not so, are read."""

from __future__ import annotations

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from support.bag_writing import START_NS, write_drive
from support.mcap_writing import Channel, write_mcap

from glace_ros.errors import RecordingError
from glace_ros.recording.bag_file import BagFile
from glace_ros.recording.bag_reader import RecordingReader

_PAYLOADS = [(START_NS + 1_000 * index, b"\0\1\0\0abcd") for index in range(3)]
_IDL = "=" * 80 + "\nIDL: a_msgs/msg/B\nmodule a_msgs { union U switch (long) { ?; }; };\n"


@pytest.fixture(scope="module")
def channels(tmp_path_factory):
    """Those of a drive, to be written otherwise."""
    path = write_drive(tmp_path_factory.mktemp("drive") / "bag", images=5)
    with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        definitions = {
            c.topic: (c.msgtype, "ros2msg", c.msgdef.data, "cdr") for c in reader.connections
        }
        messages = [(c.topic, at_ns, bytes(raw)) for c, at_ns, raw in reader.messages()]
    return [
        Channel(topic, *said, [(at_ns, raw) for name, at_ns, raw in messages if name == topic])
        for topic, said in definitions.items()
    ]


def images_of(path, **options):
    with RecordingReader(path, **options) as reader:
        count = sum(image.map_from_camera is not None for image in reader.images())
        return count, reader.notes


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (("Info", "jsonschema", "{}", "json"), "its messages are json, not cdr"),
        (("fox.Scene", "protobuf", "\n\1x", "protobuf"), "its messages are protobuf, not cdr"),
        (("fox.Scene", "flatbuffer", "x", "flatbuffer"), "its messages are flatbuffer, not cdr"),
        (("std_msgs/String", "ros1msg", "string data", "ros1"), "its messages are ros1, not cdr"),
        (("a_msgs/msg/B", "ros2msg", "wstring<=12 text\n", "cdr"), "cannot be parsed"),
        (("a_msgs/msg/B", "ros2msg", "float32[<=] broken ??\n", "cdr"), "cannot be parsed"),
        (("a_msgs/msg/B", "ros2idl", _IDL, "cdr"), "cannot be parsed"),
    ],
)
def test_an_unwanted_channel_is_left_out_and_said(channels, tmp_path, definition, said):
    path = write_mcap(tmp_path / "x.mcap", [Channel("/odd", *definition, _PAYLOADS), *channels])
    count, notes = images_of(path)
    assert count == 5
    (note,) = notes
    assert note.startswith("not read: /odd: ")
    assert said in note


def test_a_wanted_channel_that_cannot_be_parsed_is_an_error_by_name(channels, tmp_path):
    odd = [
        channel._replace(schema_encoding="jsonschema", encoding="json")
        if channel.topic == "/odom" else channel
        for channel in channels
    ]  # fmt: skip
    path = write_mcap(tmp_path / "x.mcap", odd)
    with pytest.raises(RecordingError, match=r"/odom cannot be read: its messages are json"):
        RecordingReader(path)


def test_what_an_odd_channel_says_of_the_usual_types_does_not_count(channels, tmp_path):
    schema = f"std_msgs/Header header\n{'=' * 80}\nMSG: std_msgs/Header\nuint8 nothing\n"
    odd = Channel("/a", "a_msgs/msg/B", "ros2msg", schema, "cdr", _PAYLOADS)
    assert images_of(write_mcap(tmp_path / "x.mcap", [odd, *channels])) == (5, [])


def test_one_late_message_of_an_unchunked_mcap(channels, tmp_path):
    odometry = [channel.topic for channel in channels].index("/odom")
    path = write_mcap(tmp_path / "x.mcap", channels, late=(odometry, 3))
    assert images_of(path) == (5, [])


def test_a_chunk_index_without_a_message_index_is_read_in_sequence(channels, tmp_path):
    assert images_of(write_mcap(tmp_path / "x.mcap", channels, chunk_index=True)) == (5, [])


def test_qos_that_was_edited_in_the_metadata(tmp_path):
    path = write_drive(tmp_path / "bag", images=5)
    metadata = path / "metadata.yaml"
    edited = metadata.read_text().replace(
        "offered_qos_profiles: []",
        "offered_qos_profiles: [{history: keep_last, depth: 3, reliability: reliable, "
        "durability: volatile, deadline: {sec: 1, nsec: 0}, lifespan: {sec: 1, nsec: 0}, "
        "liveliness: automatic, liveliness_lease_duration: {sec: 1, nsec: 0}, "
        "avoid_ros_namespace_conventions: false}]",
    )
    assert edited != metadata.read_text()
    metadata.write_text(edited)
    assert images_of(path) == (5, [])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_compressed_messages_without_metadata(tmp_path, storage):
    path = write_drive(tmp_path / "bag", storage, "message", images=5)
    (path / "metadata.yaml").unlink()
    count, notes = images_of(path)
    assert count == 5
    assert np.all(["metadata.yaml" in note for note in notes])
    with BagFile(path) as bag:  # and where only some are looked at
        assert len(list(bag.samples("/camera/image_raw", 3))) == 3
