"""The demo as a person runs it: one command, real processes, and Ctrl-C at any time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import wait_until

pytestmark = [pytest.mark.ros, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One output folder for all tests here: what is recorded once serves the later ones."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
def start(folder):
    """Starts the small demo with more arguments; it ends with the test, whatever happens."""
    started = []

    def demo(*arguments: str) -> subprocess.Popen[str]:
        log = (folder / f"stderr{len(list(folder.glob('stderr*')))}").open("w")
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "glace_ros.cli", "demo", "--size", "small",
                 "--output", str(folder / "output"), *arguments],
                stdout=log, stderr=log, text=True,
            )
        )  # fmt: skip
        return started[-1]

    yield demo
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def said(folder: Path) -> str:
    newest = max(folder.glob("stderr*"), key=lambda path: path.stat().st_mtime_ns)
    return newest.read_text()


def descendants(pid: int) -> set[int]:
    """Processes that `pid` has started, and theirs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(text.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C; asserts that the demo ends as it says and leaves no process behind."""
    children = descendants(process.pid)
    assert children
    process.send_signal(signal.SIGINT)
    # a shell shows both as 130: it ended by itself, or by the signal while Python closed down
    assert process.wait(40) in (130, -signal.SIGINT)
    wait_until(lambda: not any(map(alive, children)), 5.0)


def wait_for(condition, process: subprocess.Popen[str], timeout_s: float) -> None:
    def came():
        assert process.poll() is None, "the demo has ended"
        return condition()

    wait_until(came, timeout_s)


def test_ctrl_c_while_recording_leaves_nothing_behind_and_no_half_bag(folder, start):
    process = start()
    mapping = folder / "output" / "recording" / ".unfinished" / "mapping"
    wait_for(mapping.is_dir, process, 120)
    interrupt(process)
    assert said(folder).rstrip().endswith("demo: interrupted")
    assert not (folder / "output" / "recording" / "recording.json").exists()
    assert not (folder / "output" / "recording" / "mapping").exists()


def test_ctrl_c_while_building_the_map_ends_build_map_too(folder, start):
    process = start("--minutes", "5")
    wait_for(lambda: "poses: tf:map" in said(folder), process, 540)
    interrupt(process)
    assert not (folder / "output" / "flat.glace").exists()


def test_the_small_demo_localizes_in_a_live_graph(folder, start):
    """Far looser than what the demo itself wants: few minutes, of a machine that may be busy.

    A wrong transform, stamp or pixel convention anywhere on the way reaches none of it.
    """
    note = folder / "output" / "recording" / "recording.json"
    before = note.stat().st_mtime_ns if note.exists() else None
    process = start("--minutes", "1")
    code = process.wait(580)
    text = said(folder)
    assert code in (0, 3), text
    # the recordings of the interrupted run were complete, and are used again
    assert before in (None, note.stat().st_mtime_ns)
    metrics = json.loads((folder / "output" / "demo.json").read_text())
    assert metrics["passed"] == (code == 0)
    assert metrics["frames"] > 20
    assert metrics["localized"] >= 0.15 * metrics["frames"]
    assert metrics["map_odom_base"]["samples"] > 100
    assert metrics["map_odom_base"]["median_translation_m"] <= 0.5
    page = (folder / "output" / "report.html").read_text()
    assert f"{metrics['localized']} of {metrics['frames']} (" in page  # whatever the verdict is


def test_an_output_that_cannot_be_written_is_one_sentence(folder):
    (folder / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "glace_ros.cli", "demo", "--output", str(folder / "file" / "x")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr
