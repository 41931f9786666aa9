"""What benchmark/colmap.py says of COLMAP and of ours is right."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_builds import STEP_M, WALL_M, write_wall

from glace_ros.commands.build_map_config import build_request
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.geometry.camera import Camera
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.rejection import RejectionCode

pytest.importorskip("benchmark", reason="benchmark/ is not installed: tests of it run in the repo")
from benchmark import colmap, steps
from benchmark.colmap_images import intrinsics
from benchmark.colmap_table import STEPS, Row, Side, rows

PEER = Side(
    {
        "seconds": {"read": 1.0, "extract": 10.0, "match": 15.0, "triangulate": 5.0,
                    "describe": 2.0, "total": 33.0},
        "cpu_s": 60.0,
        "mapping_frames": 200,
        "map_bytes": 2_000_000,
    },
    {
        "frames": 50, "localized": 40, "latency_ms": {"p50": 200.0, "p95": 300.0},
        "median_translation_m": 0.008, "median_rotation_deg": 0.2, "false_accepts": 0,
        "recall": {"5cm_5deg": 0.8, "10cm_5deg": 0.8, "25cm_2deg": 0.8},
    },
    {"frames_without_truth": 70, "foreign_accepts": 4},
)  # fmt: skip
OURS = Side(
    {
        "seconds": {"read": 2.0, "encode": 20.0, "prepare": 10.0, "train": 100.0, "judge": 4.0,
                    "report": 30.0, "refine": 0.0, "total": 170.0},
        "cpu_s": 300.0,
        "mapping_frames": 200,
        "map_bytes": 3_000_000,
    },
    {
        "frames": 50, "localized": 20, "latency_ms": {"p50": 50.0, "p95": 90.0},
        "median_translation_m": None, "median_rotation_deg": None, "false_accepts": 2,
        "recall": {"5cm_5deg": 0.4, "10cm_5deg": 0.4, "25cm_2deg": 0.4},
    },
    {"frames_without_truth": 70, "foreign_accepts": 1},
)  # fmt: skip
PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
BAGS = ("--mapping", "a", "--query", "b")


def test_a_row_has_both_figures_and_ours_as_a_ratio_of_the_peers():
    cells = {what: tuple(more) for what, *more in (row.cells() for row in rows(PEER, OURS))}
    assert cells["mapping in all, s"] == ("33.0", "170.0", "5.15")
    assert cells["the same, CPU time of all threads, s"] == ("60.0", "300.0", "5.00")
    assert cells["matched and triangulated, s"] == ("20.0", "10.0", "0.50")
    assert cells["map, MB"] == ("2.00", "3.00", "1.50")
    assert cells["a query, median, ms"] == ("200", "50", "0.25")
    assert cells["within 5 cm / 5 deg"] == ("80%", "40%", "0.50")
    assert cells["false accepts among them"] == ("4", "1", "0.25")


def test_what_one_side_lacks_has_no_ratio():
    cells = {what: tuple(more) for what, *more in (row.cells() for row in rows(PEER, OURS))}
    assert cells["trained, s"] == ("-", "100.0", "-")  # COLMAP trains nothing
    assert cells["points described, s"] == ("2.0", "-", "-")
    assert cells["error, median, cm"] == ("0.80", "-", "-")  # half of ours have no pose
    assert cells["off by over 1 m / 10 deg"] == ("0", "2", "-")
    assert Row("", 4.0, 2.0, str).as_json()["ratio"] == 0.5


def test_no_step_is_left_out_or_counted_twice():
    theirs = [key for _, keys, _ in STEPS for key in keys]
    own = [key for _, _, keys in STEPS for key in keys]
    assert sorted(theirs) == sorted(PEER.mapping["seconds"])
    assert sorted(own) == sorted(OURS.mapping["seconds"])


def test_without_a_third_bag_the_table_ends_with_the_query():
    found = rows(replace(PEER, foreign=None), replace(OURS, foreign=None))
    assert found[-1].what == "off by over 1 m / 10 deg"


def test_without_pycolmap_one_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(colmap, "find_spec", lambda name: None)
    assert colmap.main([*BAGS, "--folder", str(tmp_path)]) == 1
    assert f"nothing to compare with: {colmap.INSTALL}" in capsys.readouterr().err
    assert colmap.INSTALL.split("'")[1] in PYPROJECT.read_text(encoding="utf-8")


def test_a_folder_keeps_the_figures_of_one_choice(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    chosen = colmap.choice(colmap.parsed([*BAGS, "--minutes", "1"]))
    assert chosen["threads"] == colmap.threads() == 3
    colmap.require_same_choice(tmp_path, {**chosen, "mapping": "mistyped"})
    colmap.require_same_choice(tmp_path, chosen)  # there are no figures of the other yet
    steps.once(tmp_path, "colmap_read", lambda: {"seconds": 1.0})
    colmap.require_same_choice(tmp_path, chosen)
    with pytest.raises(colmap.GlaceError, match="another minutes: name another --folder"):
        colmap.require_same_choice(tmp_path, {**chosen, "minutes": 2.0})


def test_the_table_is_printed_and_its_numbers_are_in_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(colmap, "find_spec", lambda name: name)
    monkeypatch.setattr(colmap, "version", lambda name: "4.2.1")
    monkeypatch.setattr(colmap, "_peer", lambda args: PEER)
    monkeypatch.setattr(colmap, "_ours", lambda args: OURS)
    assert colmap.main([*BAGS, "--folder", str(tmp_path / "new")]) == 0
    assert "pycolmap 4.2.1" in capsys.readouterr().out
    written = json.loads((tmp_path / "new" / "comparison.json").read_text())["rows"]
    assert {"what": "map, MB", "colmap": 2e6, "glace": 3e6, "ratio": 1.5} in written


def test_a_command_is_timed_and_its_failure_ends_the_benchmark(tmp_path, monkeypatch):
    program = "import sys; open(sys.argv[-1], 'w').write('{\"a\": 1}'); sys.exit(int(sys.argv[1]))"
    monkeypatch.setattr(steps, "GLACE", (sys.executable, "-c", program))
    found = steps.glace_once(tmp_path, "failed_its_check", "3")
    assert (found["a"], found["exit_code"]) == (1, 3)
    assert min(found[key] for key in ("wall_s", "cpu_s", "peak_gb")) > 0
    with pytest.raises(SystemExit) as ended:
        steps.glace_once(tmp_path, "failed", "2")
    assert ended.value.code == 2
    assert not (tmp_path / "failed.json").exists()


def test_a_step_is_done_once(tmp_path):
    assert steps.once(tmp_path, "step", lambda: {"seconds": 1.0}) == {"seconds": 1.0}
    assert steps.once(tmp_path, "step", lambda: {"seconds": 2.0}) == {"seconds": 1.0}


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    """A drive along a wall, 2 m in front of the camera, whose poses are exact."""
    return write_wall(tmp_path_factory.mktemp("drive") / "bag", images=30)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory, wall):
    """(COLMAP's map of the wall, its figures)."""
    pytest.importorskip("pycolmap", reason="needs pycolmap")
    from benchmark.colmap_mapping import PeerMap, PeerMapping, PeerMappingConfig, quieten

    quieten()
    folder = tmp_path_factory.mktemp("colmap")
    request = build_request(build_map_parser(None).parse_args(["--bag", str(wall)]))
    mapping = PeerMapping(request, folder, PeerMappingConfig(neighbours=8, threads=1))
    figures = mapping.figures()
    assert mapping.figures() == figures  # nothing is done again
    return PeerMap.load(mapping.map_file), figures


def test_colmap_maps_the_wall_where_it_is(mapped):
    peer_map, figures = mapped
    depth_l = peer_map.points_l3[:, 0] + peer_map.origin_3[0]  # x of the map: into the wall
    assert len(depth_l) == figures["points"] > 50
    assert np.median(np.abs(depth_l - WALL_M)) < 0.01
    seconds = dict(figures["seconds"])
    assert figures["cpu_s"] > 0
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))


def test_colmap_finds_poses_in_its_map_that_are_known(mapped, wall):
    from benchmark.colmap_localizer import PeerLocalizer

    localizer = PeerLocalizer(mapped[0])
    with RecordingReader(wall) as reader:
        images = list(reader.images())
        base_from_camera = reader.info.base_from_camera
    frames = [localizer.localize(image, base_from_camera) for image in images]
    errors_m = np.array([frame.errors[0] for frame in frames])
    assert len(errors_m) > 25
    assert np.mean(errors_m < 0.25 * STEP_M) > 0.9
    noise_hwc = np.random.default_rng(0).integers(0, 255, images[0].image_rgb_hwc.shape, np.uint8)
    elsewhere = localizer.localize(replace(images[0], image_rgb_hwc=noise_hwc), base_from_camera)
    assert elsewhere.estimate is None
    assert elsewhere.rejection.code in {RejectionCode.NO_POSE, RejectionCode.FEW_INLIERS}


def test_a_match_is_much_nearer_than_the_second_nearest_point():
    pytest.importorskip("pycolmap", reason="needs pycolmap")
    from benchmark.colmap_localizer import PeerLocalizer
    from benchmark.colmap_mapping import PeerMap

    rng = np.random.default_rng(0)
    descriptors_lC = rng.integers(0, 100, (50, 128)).astype(np.uint8)
    descriptors_lC[7] = descriptors_lC[8] + 1  # look alike: neither is taken
    localizer = PeerLocalizer(PeerMap(np.zeros(3), np.zeros((50, 3), np.float32), descriptors_lC))
    seen_n = np.array([3, 7, 8, 20])
    features_m, points_m = localizer.matches(descriptors_lC[seen_n] + np.uint8(10))
    assert points_m.tolist() == [3, 20]
    assert features_m.tolist() == [0, 3]


def test_a_pixel_is_counted_from_the_corner_by_colmap():
    assert intrinsics(Camera(4, 2, 100.0, 110.0, 1.5, 0.5)) == [100.0, 110.0, 2.0, 1.0]
