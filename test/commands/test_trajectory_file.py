"""`MAP.trajectory.tum` beside the map: where the base was at each mapping image."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.small_builds import PERIOD_NS, START_NS, STEP_M, arguments, write_wall

from glace_ros.commands.build_map import main as build_map

pytest.importorskip("gtsam", reason="there are no wheels of gtsam for Python 3.10")
IMAGES = 24


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A drive along a wall whose odometry is right, refined."""
    folder = tmp_path_factory.mktemp("refined")
    wall = write_wall(folder / "wall", IMAGES)
    more = ("--iterations", 3, "--sigma", 0.1, "--buffer-gb", 1, "--json", folder / "figures.json")
    words = arguments(wall, folder / "wall.glace", *more, "--refine-poses", "on")
    assert build_map(words) in (0, 3)
    return folder


def test_it_has_the_base_at_each_mapping_image_in_seconds_and_metres(built):
    comment, *lines = (built / "wall.trajectory.tum").read_text().splitlines()
    assert comment == "# wall"
    figures = json.loads((built / "figures.json").read_text())
    assert len(lines) == figures["mapping_frames"]
    poses_n8 = np.array([[float(number) for number in line.split()] for line in lines])
    index_n = (poses_n8[:, 0] - START_NS * 1e-9) / (PERIOD_NS * 1e-9)
    assert index_n == pytest.approx(index_n.round(), abs=1e-4)
    # the base drives sideways along the wall, looking ahead: the camera's axes are not these
    assert poses_n8[:, 2] == pytest.approx(-STEP_M * index_n, abs=0.05)
    assert poses_n8[:, 7] == pytest.approx(1.0, abs=0.01)
    first = lines[0].split()
    assert [float(number) for number in first[1:4]] == pytest.approx([0, 0, 0], abs=1e-5)


def test_what_was_found_is_in_the_figures(built):
    figures = json.loads((built / "figures.json").read_text())
    found = figures["pose_refinement"]
    assert found["refined"] is True
    assert found["sentences"][0].startswith("poses refined")
    assert figures["seconds"]["refine"] > 0
