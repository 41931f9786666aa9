"""A file is replaced as a whole or not at all, and is on the disk before it has its name."""

from __future__ import annotations

import os
import stat

import pytest

from glace_ros.atomic_write import partial_of, replacing, write_atomically, write_output
from glace_ros.command_line.output_files import write_json
from glace_ros.maps.default_location import default_folder, newest_map_path, point_latest_at


@pytest.fixture
def calls(monkeypatch):
    """What was asked of the disk, in order: file or folder is synced, something is replaced."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("sync folder" if is_folder else "sync file")
        fsync(descriptor)

    def recorded_replace(source, target, **options):
        calls.append("replace")
        replace(source, target, **options)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    return calls


@pytest.mark.parametrize("content", [b"b\xffytes", "t\u00e9xt"])
def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, calls, content):
    path = tmp_path / "file"
    path.write_text("old")
    write_atomically(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert calls == ["sync file", "replace", "sync folder"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_half_way_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with replacing(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_is_not_written_into(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_text("of somebody else")
    os.link(other, partial_of(path))
    write_atomically(path, "new")
    assert other.read_text() == "of somebody else"
    assert path.read_text() == "new"


def test_files_of_a_large_folder_need_not_wait_for_the_disk(tmp_path, calls):
    with replacing(tmp_path / "file", tmp_path / ".part", durable=False) as partial:
        partial.write_text("new")
    assert partial == tmp_path / ".part"
    assert (tmp_path / "file").read_text() == "new"
    assert calls == ["replace"]


def test_an_output_goes_where_a_link_leads_and_into_a_pipe(tmp_path):
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    link.symlink_to(target.name)
    write_output(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_output(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


def test_json_has_the_bytes_that_programs_read_today(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"median": 0.25, "names": ["\u00e9"], "none": None})
    assert path.read_bytes() == (
        b'{\n  "median": 0.25,\n  "names": [\n    "\\u00e9"\n  ],\n  "none": null\n}\n'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"median": float("nan")})
    assert b"0.25" in path.read_bytes()


def test_the_latest_link_is_replaced_as_a_whole(tmp_path, calls):
    for name in ("first.glace", "second.glace"):
        point_latest_at(tmp_path / name)  # whether the map is there or not
        assert os.readlink(tmp_path / "latest.glace") == name
    assert calls == ["replace", "sync folder"] * 2


@pytest.mark.parametrize("ros_home", ["~/robot", None, ""])
def test_maps_are_written_and_looked_for_in_one_folder(tmp_path, monkeypatch, ros_home):
    monkeypatch.setenv("HOME", str(tmp_path))
    if ros_home is None:
        monkeypatch.delenv("ROS_HOME", raising=False)
    else:
        monkeypatch.setenv("ROS_HOME", ros_home)
    folder = tmp_path / ("robot" if ros_home else ".ros") / "glace"
    assert default_folder() == folder
    assert newest_map_path() == folder / "latest.glace"
