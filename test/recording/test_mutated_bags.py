"""Bags damaged by some hundred seeds are read or refused in one sentence, in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.bag_writing import write_drive
from support.mutated_bags import LIMIT_S, MOST_MEMORY, Outcome, mutated, whole_bags

from glace_ros.recording.bag_reader import RecordingReader

COUNT, VIDEOS = 300, 60
TEST = Path(__file__).resolve().parents[1]


def outcomes_of(count: int, path: Path, *more: str) -> list[Outcome]:
    """In a process of their own, which may fall or hang."""
    command = [sys.executable, "-m", "support.mutated_bags", "--count", str(count), *more]
    paths = os.pathsep.join([str(TEST), str(TEST.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*command, "--results", path],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(timeout=60 + LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    found = []
    for line in path.read_text().splitlines():
        seed, kind, said, seconds, memory = line.split("\t")
        found.append(Outcome(int(seed), kind, said, float(seconds), float(memory.split()[0])))
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("mutated") / "results.tsv"
    return outcomes_of(COUNT, path), path


def test_each_is_read_or_refused_in_a_sentence(results):
    outcomes, _ = results
    last = outcomes[-1] if outcomes else None
    assert len(outcomes) == COUNT, f"the process ended or hung behind {last}"
    assert [outcome for outcome in outcomes if not outcome.is_fine] == []


def test_some_of_each_kind_are_read_and_some_refused(results):
    outcomes, _ = results
    for damage in ("bytes", "messages", "definitions", "metadata"):
        said = {o.said.split(":")[0] for o in outcomes if o.kind.endswith(damage)}
        assert said == {"read", "refused"}, damage


def test_memory_is_that_of_whole_bags(results):
    _, path = results
    for line in path.read_text().splitlines():
        most_mb, whole_mb = map(float, line.split("\t")[4].split(" of "))
        assert most_mb < MOST_MEMORY * whole_mb, line


def test_videos_are_read_or_refused_in_a_sentence_and_in_little_memory(tmp_path):
    pytest.importorskip("av")
    outcomes = outcomes_of(VIDEOS, tmp_path / "videos.tsv", "--videos")
    assert len(outcomes) == VIDEOS, f"the process ended or hung behind {outcomes[-1:]}"
    assert [outcome for outcome in outcomes if not outcome.is_fine] == []
    assert {outcome.said.split(":")[0] for outcome in outcomes} == {"read", "refused"}
    for line in (tmp_path / "videos.tsv").read_text().splitlines():
        most_mb, whole_mb = map(float, line.split("\t")[4].split(" of "))
        assert most_mb < MOST_MEMORY * whole_mb, line


def test_a_run_goes_on_where_it_stopped(results, tmp_path):
    _, path = results
    some = tmp_path / "results.tsv"
    some.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    assert [outcome.seed for outcome in outcomes_of(25, some)] == list(range(25))


def test_a_seed_tells_its_bag(tmp_path):
    (tmp_path / "whole").mkdir()
    bags = whole_bags(tmp_path / "whole")
    for name in "ab":
        (tmp_path / name).mkdir()
    for seed in range(6):
        (kind, one), (other_kind, other) = (mutated(seed, bags, tmp_path / n) for n in "ab")
        assert kind == other_kind
        files = [sorted(p.rglob("*")) if p.is_dir() else [p] for p in (one, other)]
        for a, b in zip(*files, strict=True):
            assert a.stat().st_size == b.stat().st_size


def test_a_definition_without_a_field_that_is_read_is_named(tmp_path):
    path = write_drive(tmp_path / "bag", "mcap", images=3)
    file = next(path.glob("*.mcap"))
    file.write_bytes(file.read_bytes().replace(b"child_frame_id", b"other_frame_id"))
    with pytest.raises(
        Exception, match=r"/odom cannot be read: its definition is not the usual one"
    ):
        RecordingReader(path)
