"""A build takes its minutes only where they are of use."""

import json

import pytest
from support.small_builds import arguments, write_wall

from glace_ros.cli import main as glace

pytestmark = pytest.mark.slow


def test_a_build_ends_when_the_images_held_out_gain_nothing_more(tmp_path, capfd):
    """A wall, which is soon learned; 60 minutes are asked for."""
    bag, output, told = write_wall(tmp_path / "wall", 60), tmp_path / "m.glace", tmp_path / "m.json"
    words = arguments(bag, output, "--json", told)
    at = words.index("--iterations")
    words[at : at + 2] = ["--minutes", "60"]
    words[words.index("--holdout") + 1] = "0.2"
    assert glace(["build_map", *words]) == 0
    metrics = json.loads(told.read_text())
    looks = metrics["training_looks"]
    assert looks[0]["steps"] == 400
    assert all(look["images"] >= 8 for look in looks)
    # the last look found no more than the one before it, or all; then half as many steps
    last, before = looks[-1], looks[-2] if len(looks) > 1 else looks[-1]
    assert last["verified"] - before["verified"] <= 0.05 * last["images"]
    assert metrics["steps"] == pytest.approx(1.5 * last["steps"], abs=1)
    assert f"{last['verified']} of {last['images']} held out verified" in capfd.readouterr().err


def test_where_nothing_is_held_out_it_takes_its_minutes(tmp_path):
    bag, output, told = write_wall(tmp_path / "wall", 30), tmp_path / "m.glace", tmp_path / "m.json"
    words = arguments(bag, output, "--json", told)
    at = words.index("--iterations")
    words[at : at + 2] = ["--minutes", "0.2"]
    words[words.index("--holdout") + 1] = "0"
    assert glace(["build_map", *words]) == 0
    metrics = json.loads(told.read_text())
    assert metrics["training_looks"] == []
    assert metrics["seconds"]["total"] > 9.0
