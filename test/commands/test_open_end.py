"""A build takes its minutes only where they are of use."""

import json

import pytest
from support.small_builds import arguments, write_wall

from glace_ros.cli import main as glace

pytestmark = pytest.mark.slow


def built(tmp_path, images: int, minutes: str, holdout: str) -> dict:
    """What a build of a wall, which is soon learned, says of itself."""
    bag, output, told = (tmp_path / name for name in ("wall", "m.glace", "m.json"))
    words = arguments(write_wall(bag, images), output, "--json", told)
    at = words.index("--iterations")
    words[at : at + 2] = ["--minutes", minutes]
    words[words.index("--holdout") + 1] = holdout
    assert glace(["build_map", *words]) == 0
    return json.loads(told.read_text())


def test_a_build_ends_when_the_images_held_out_gain_nothing_more(tmp_path, capfd):
    """60 minutes are asked for."""
    metrics = built(tmp_path, images=60, minutes="60", holdout="0.2")
    looks = metrics["training_looks"]
    assert looks[0]["steps"] == 250
    assert all(look["images"] >= 8 for look in looks)
    # the last look found no more than the one before it, or all; then half as many steps
    last, before = looks[-1], looks[-2] if len(looks) > 1 else looks[-1]
    assert last["verified"] - before["verified"] <= 0.05 * last["images"]
    assert metrics["steps"] == pytest.approx(1.5 * last["steps"], abs=1)
    assert f"{last['verified']} of {last['images']} held out verified" in capfd.readouterr().err


def test_where_nothing_is_held_out_it_takes_its_minutes_and_says_what_is_not_known(tmp_path, capfd):
    metrics = built(tmp_path, images=30, minutes="0.2", holdout="0")
    assert metrics["training_looks"] == []
    said = " ".join(capfd.readouterr().err.split())
    assert "no image is held out. The map: it was never judged" in said
    assert metrics["non_keyframes"] == 0
    assert metrics["seconds"]["total"] > 9.0
