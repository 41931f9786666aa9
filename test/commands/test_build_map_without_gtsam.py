"""Without gtsam, as on Python 3.10, poses stay as recorded; what needs it says why it cannot."""

from __future__ import annotations

import json
import re
import sys

import pytest
from support.small_builds import arguments, write_wall

from glace_ros.commands.build_map import main as build_map
from glace_ros.errors import MappingError
from glace_ros.mapping.pose_refinement.factor_graph import gtsam, is_available

SENTENCE = r"gtsam is not installed \(pip install 'gtsam>=4.3'; .* Python 3.11"


@pytest.fixture(autouse=True)
def without_gtsam(monkeypatch):
    monkeypatch.setitem(sys.modules, "gtsam", None)


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    return write_wall(tmp_path_factory.mktemp("wall") / "wall", 24)


def quick(wall, output, *more: object) -> list[str]:
    return arguments(wall, output, "--iterations", 3, "--sigma", 0.1, "--buffer-gb", 1, *more)


def said_by(capsys) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_the_library_s_absence_is_one_sentence():
    assert not is_available()
    with pytest.raises(MappingError, match="needs gtsam, which is not installed .*3.11"):
        gtsam()


def test_odometry_is_taken_as_recorded_and_that_is_said(wall, tmp_path, capsys):
    figures = tmp_path / "figures.json"
    assert build_map(quick(wall, tmp_path / "map.glace", "--json", figures)) in (0, 3)
    assert re.search(SENTENCE, said_by(capsys))
    said = json.loads(figures.read_text())["pose_refinement"]
    assert said["refined"] is False
    assert said["why"].startswith("gtsam is not installed")
    assert not (tmp_path / "map.trajectory.tum").exists()


@pytest.mark.parametrize("several", [False, True])
def test_what_needs_it_is_refused(wall, tmp_path, capsys, several):
    output = tmp_path / "map.glace"
    other = write_wall(tmp_path / "other", 24) if several else None
    more = ("--bag", other) if several else ("--refine-poses", "on")
    assert build_map(quick(wall, output, *more)) == 6
    assert re.search("poses cannot be refined: " + SENTENCE, said_by(capsys))
    assert not output.exists()
