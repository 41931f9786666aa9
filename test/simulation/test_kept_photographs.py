"""A long drive's photographs are kept in parts: a kill loses one part, and changes no picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glace_ros.geometry.pose import Pose
from glace_ros.simulation.bag import DEMO_CAMERA, RobotConfig
from glace_ros.simulation.building import BuildingConfig, build
from glace_ros.simulation.kept_photographs import KeptPhotographs
from glace_ros.simulation.photographer import Photographer

CAMERA = DEMO_CAMERA.scaled_to(40, 30)
POSES = [
    Pose.from_planar(2.0, 3.0, 0.5 * turn) @ RobotConfig().base_from_camera for turn in range(8)
]


@pytest.fixture(scope="module")
def building():
    return build(BuildingConfig(rooms=1, texels_per_m=15.0))


def test_pictures_are_those_of_a_photographer_whenever_it_was_killed(
    tmp_path, building, monkeypatch
):
    with Photographer(building, workers=0) as photographer:
        expected = list(photographer.photographs(CAMERA, POSES, 7))
    kept = KeptPhotographs(tmp_path / "parts", building, workers=0, part=3)
    first = kept.photographs(CAMERA, POSES, 7)
    for _ in range(4):  # into the second part, which is there by now
        next(first)
    first.close()
    taken: list[int] = []
    take = Photographer.photographs

    def counting(self, camera, poses, seed, first=0):
        taken.append(len(poses))
        return take(self, camera, poses, seed, first)

    monkeypatch.setattr(Photographer, "photographs", counting)
    again = list(kept.photographs(CAMERA, POSES, 7))
    assert taken == [2]
    assert all(np.array_equal(a, b) for a, b in zip(again, expected, strict=True))
    # and with all parts there, nothing is rendered: not even a renderer is made
    monkeypatch.setattr(Photographer, "__init__", None)
    assert len(list(kept.photographs(CAMERA, POSES, 7))) == len(POSES)


def test_a_part_that_was_being_written_is_made_again(tmp_path, building):
    kept = KeptPhotographs(tmp_path / "parts", building, workers=0, part=3)
    expected = list(kept.photographs(CAMERA, POSES, 7))
    last = tmp_path / "parts" / "000006.npy"
    last.rename(last.with_name("000006.npy.partial"))
    again = list(replace(kept).photographs(CAMERA, POSES, 7))
    assert all(np.array_equal(a, b) for a, b in zip(again, expected, strict=True))
