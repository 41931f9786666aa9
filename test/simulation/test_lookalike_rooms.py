"""Look-alike rooms: the same every time, alike where they should be, and not where they should not;
and their benchmark does nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.waiting import wait_until

from glace_ros.geometry.camera import Camera
from glace_ros.mapping.camera_groups import cluster_centres
from glace_ros.simulation.lookalike_rooms import (
    LookAlikeRoomsConfig,
    build_room,
    mapping_poses,
    query_poses,
    room_origin_m,
)
from glace_ros.simulation.room_photographs import room_images

REPO = Path(__file__).resolve().parents[2]
CAMERA = Camera(160, 120, 115.0, 112.0, 83.2, 57.6)  # a picture of 640x480 costs 16 times as much
CONFIG = LookAlikeRoomsConfig(mapping=4, queries=2, texels_per_m=40.0, camera=CAMERA)


def seen_panels(room: int) -> set[tuple]:
    """What is where in a room, texture by texture."""
    return {
        (tuple(panel.corner_3.round(6)), panel.texture_hwc.tobytes())
        for panel in build_room(CONFIG, room).panels
    }


def test_a_room_is_the_same_every_time_however_many_there_are(tmp_path):
    fresh = room_images(CONFIG, 1, 2)
    kept, read = (room_images(CONFIG, 1, 9, tmp_path) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1
    assert (len(fresh.mapping), len(fresh.queries)) == (4, 2)
    moved_3 = room_origin_m(CONFIG, 1, 9) - room_origin_m(CONFIG, 1, 2)
    for one, two, three in zip(
        [*fresh.mapping, *fresh.queries], [*kept.mapping, *kept.queries],
        [*read.mapping, *read.queries], strict=True,
    ):  # fmt: skip
        assert np.array_equal(one.image_rgb_hwc, two.image_rgb_hwc)
        assert np.array_equal(one.image_rgb_hwc, three.image_rgb_hwc)
        shift_3 = three.map_from_camera.translation_3 - one.map_from_camera.translation_3
        assert shift_3 == pytest.approx(moved_3)
    other_seed = replace(CONFIG, seed=12)
    other = room_images(other_seed, 1, 9, tmp_path).mapping[0].image_rgb_hwc
    assert not np.array_equal(other, fresh.mapping[0].image_rgb_hwc)


def test_rooms_share_most_panels_and_each_has_some_on_every_side():
    rooms = [seen_panels(room) for room in range(3)]
    for other in rooms[1:]:
        assert 0.4 < len(rooms[0] & other) / len(rooms[0]) < 0.8
    own = [panel for panel in rooms[0] if panel not in rooms[1]]
    corners_n3 = np.array([corner for corner, _ in own])
    third_m = CONFIG.side_m / 3
    for axis in (0, 1):
        assert (corners_n3[:, axis] < third_m).sum() >= 3
        assert (corners_n3[:, axis] > 2 * third_m).sum() >= 3


def test_rooms_lie_apart_on_a_square_grid():
    origins_n3 = np.stack([room_origin_m(CONFIG, room, 12) for room in range(12)])
    apart_nn = np.linalg.norm(origins_n3[:, None] - origins_n3[None], axis=2)
    assert apart_nn[~np.eye(12, dtype=bool)].min() == pytest.approx(CONFIG.pitch_m)
    assert origins_n3.max() == pytest.approx(3 * CONFIG.pitch_m)


def test_every_direction_is_mapped_from_several_places_and_no_query_repeats_one():
    config = LookAlikeRoomsConfig()
    for room in (0, 5):
        mapping, queries = mapping_poses(config, room), query_poses(config, room)
        assert (len(mapping), len(queries)) == (40, 12)
        axes_n3 = np.stack([pose.rotation_33[:, 2] for pose in mapping])
        for around in np.radians(range(0, 360, 30)):
            facing_n = axes_n3 @ [np.cos(around), np.sin(around), 0.0] > np.cos(np.radians(35))
            assert facing_n.sum() >= 4
        for query in queries:
            assert min(query.distance_m(pose) for pose in mapping) > config.apart_m
            nearest_rad = min(query.angle_rad(pose) for pose in mapping)
            assert np.degrees(nearest_rad) > config.apart_deg
        for pose in [*mapping, *queries]:  # in the free middle, upright, above the desk
            assert np.linalg.norm(pose.translation_3[:2] - config.side_m / 2) < 0.65
            assert 1.0 < pose.translation_3[2] < 1.5
            assert pose.rotation_33[2, 1] < -0.9
    moved_m = mapping_poses(config, 0)[0].distance_m(mapping_poses(config, 1)[0])
    assert moved_m > 0.01


@pytest.mark.parametrize("rooms", [4, 12, 19])
def test_the_decoder_has_a_centre_in_every_room(rooms):
    origins_n3 = np.stack([room_origin_m(CONFIG, room, rooms) for room in range(rooms)])
    positions_v3 = np.concatenate(
        [
            [origin_3 + pose.translation_3 for pose in mapping_poses(CONFIG, room)]
            for room, origin_3 in enumerate(origins_n3)
        ]
    )
    centres_k3 = cluster_centres(positions_v3, rooms, seed=0)
    middles_n3 = origins_n3 + np.array([0.5, 0.5, 0.0]) * CONFIG.side_m
    away_nk = np.linalg.norm((middles_n3[:, None] - centres_k3[None])[:, :, :2], axis=2)
    assert away_nk.min(axis=1).max() < 1.0
    assert cluster_centres(positions_v3, 1, seed=0) == pytest.approx(
        positions_v3.mean(axis=0, keepdims=True)
    )


def benchmark(folder: Path, variants: str) -> list[str]:
    return [
        sys.executable, "-m", "benchmark.rooms", "--rooms", "2", "--mapping", "8", "--queries", "2",
        "--width", "16", "--iterations", "40", "--landmarks", "0", "--variants", variants,
        "--output", str(folder),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_benchmark_that_was_killed_keeps_what_is_done(tmp_path):
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    settings = {"cwd": REPO, "env": environment, "text": True}
    first = subprocess.Popen(
        benchmark(tmp_path, "none,kmeans:2"), stdout=subprocess.DEVNULL, **settings
    )

    def first_results():
        assert first.poll() is None
        return list((tmp_path / "results").glob("*_none_*.json"))

    done = wait_until(first_results, 300.0)
    first.send_signal(signal.SIGKILL)
    first.wait()
    written_ns = done[0].stat().st_mtime_ns
    again = subprocess.run(
        benchmark(tmp_path, "none,kmeans:2"), capture_output=True, timeout=300, **settings
    )
    assert again.returncode == 0, again.stderr
    assert done[0].stat().st_mtime_ns == written_ns
    assert "none_" not in again.stdout
    assert "kmeans2_" in again.stdout
    table = [line for line in again.stdout.splitlines() if "%" in line]
    assert ["none" in table[0], "kmeans:2" in table[1], len(table)] == [True, True, 2]
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")]
    assert {result["query_count"] for result in results} == {4}
    assert list(tmp_path.glob("*.checkpoint")) == []


def test_an_unknown_code_is_named(monkeypatch, capsys):
    monkeypatch.syspath_prepend(REPO)
    from benchmark import rooms

    monkeypatch.setattr(sys, "argv", ["rooms", "--variants", "none,r2former"])
    with pytest.raises(SystemExit):
        rooms.main()
    assert "'r2former' is none of" in capsys.readouterr().err
