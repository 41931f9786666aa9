"""`glace build_map|evaluate`: documented exit codes, and one sentence for what went wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from support.bag_writing import (
    BASE_FROM_CAMERA,
    IMAGE_OFFSET_NS,
    IMAGE_PERIOD_NS,
    START_NS,
    bag_writer,
    picture,
    write_drive,
)
from support.bag_writing import map_from_base as drive_at
from support.core_scenes import tiny_map

from glace_ros import cli
from glace_ros.cli import main as glace
from glace_ros.commands.build_map import main as build_map
from glace_ros.commands.evaluate import main as evaluate
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.maps.scene_map import SceneMap
from glace_ros.rejection import Rejection, RejectionCode

IMAGES = 14
FEW_INLIERS = Rejection(
    RejectionCode.FEW_INLIERS, inliers=9, points=900, needed_inliers=50, seconds=0.01
)
QUICK = ("--global-encoder", "none", "--keyframe-dist", "0", "--keyframe-angle", "0")
QUICK += ("--iterations", "3", "--device", "cpu", "--features-cache-gb", "0", "--no-report")


@pytest.fixture(autouse=True, scope="module")
def always_float32():
    """A clock decides whether bfloat16 pays, which takes a second and is another answer on a busy
    machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "glace_ros.mapping.training.map_trainer.faster_dtype", lambda *_: torch.float32
        )
        yield


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    """A drive of a second and a half past pictures that have nothing in common."""
    return write_drive(tmp_path_factory.mktemp("bag") / "drive", images=IMAGES)


@pytest.fixture(scope="module")
def built(bag, tmp_path_factory) -> tuple[Path, dict]:
    """A map of it, hardly trained, and the figures."""
    folder = tmp_path_factory.mktemp("built")
    files = {"--output": folder / "drive.glace", "--json": folder / "figures.json"}
    arguments = [str(word) for pair in files.items() for word in pair]
    assert build_map(["--bag", str(bag), *QUICK, "--holdout", "0", *arguments]) == 0
    return files["--output"], json.loads(files["--json"].read_text())


@pytest.fixture
def sentence(capsys):
    """Runs a program, checks its exit code, and gives the one sentence on stderr."""

    def run(program, *arguments, code: int) -> str:
        capsys.readouterr()
        assert program([str(argument) for argument in arguments]) == code
        stderr = capsys.readouterr().err
        assert "Traceback" not in stderr
        said = [line for line in stderr.splitlines() if re.match(r"(build_map|evaluate): ", line)]
        assert len(said) == 1
        assert stderr.rstrip().endswith(said[0])
        return said[0]

    return run


# --- bags that cannot be used: exit code 2 ---


def both_programs(built, bag):
    return (
        (build_map, ("--bag", bag, *QUICK, "--output", built[0].with_name("new.glace"))),
        (evaluate, ("--map", built[0], "--bag", bag, "--device", "cpu")),
    )


def test_a_missing_bag(sentence, built, tmp_path):
    for program, arguments in both_programs(built, tmp_path / "nope"):
        assert str(tmp_path / "nope") in sentence(program, *arguments, code=2)
    assert not built[0].with_name("new.glace").exists()


def test_an_empty_folder(sentence, built, tmp_path):
    for program, arguments in both_programs(built, tmp_path):
        assert "no bag" in sentence(program, *arguments, code=2)


def test_a_topic_that_is_not_there(sentence, built, bag):
    for program, arguments in both_programs(built, bag):
        said = sentence(program, *arguments, "--image-topic", "/nope", code=2)
        assert "/nope" in said
        assert "/camera/image_raw" in said  # what there is
        assert "/wrong" in sentence(program, *arguments, "--pose-source", "/wrong", code=2)


def test_a_truncated_mcap(sentence, built, bag, tmp_path):
    cut = shutil.copytree(bag, tmp_path / "cut")
    (file,) = cut.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for program, arguments in both_programs(built, cut):
        assert "mcap recover" in sentence(program, *arguments, code=2)


def test_a_bag_without_metadata_works(bag, tmp_path, capsys):
    bare = shutil.copytree(bag, tmp_path / "bare")
    (bare / "metadata.yaml").unlink()
    assert build_map(["--bag", str(bare), "--dry-run"]) == 0
    assert "/camera/image_raw" in capsys.readouterr().out


def test_poses_that_are_no_numbers(sentence, tmp_path):
    nowhere = Pose(np.eye(3), np.full(3, np.nan))
    with bag_writer(tmp_path / "nan") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for index in range(IMAGES):
            stamp_ns = START_NS + index * IMAGE_PERIOD_NS
            bag.odometry("/odom", stamp_ns, bag.pose(nowhere))
            bag.image("/camera/image_raw", stamp_ns, picture(index))
            bag.camera_info("/camera/camera_info", stamp_ns)
    said = sentence(
        build_map, "--bag", tmp_path / "nan", *QUICK, "--output", tmp_path / "x.glace", code=2
    )
    assert "/odom" in said
    assert not (tmp_path / "x.glace").exists()


# --- what cannot be mapped: exit codes 3 and 6 ---


def test_too_few_keyframes(sentence, tmp_path):
    short = write_drive(tmp_path / "short", images=5)
    said = sentence(build_map, "--bag", short, *QUICK, "--output", tmp_path / "x.glace", code=6)
    assert "keyframes" in said
    assert "--keyframe-dist" in said


def test_a_map_that_fails_its_check_is_written_but_not_the_latest(
    sentence, bag, tmp_path, monkeypatch
):
    """Nothing can be recognised in pictures that have nothing in common."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    said = sentence(build_map, "--bag", bag, *QUICK[:-1], "--holdout", "0.25", code=3)
    assert "failed its check" in said
    folder = tmp_path / "glace"
    files = sorted(path.name for path in folder.iterdir())
    assert files == [
        "drive.glace", "drive.ply", "drive.report.html", "drive.report.json",
        "drive.trajectory.tum",
    ]  # fmt: skip
    held_out = SceneMap.load(folder / "drive.glace").metadata.held_out
    assert held_out["frames"] >= 2
    assert held_out["recall"]["50cm_5deg"] == 0.0
    # the report says the same
    report = json.loads((folder / "drive.report.json").read_text())
    assert report["verdict"] == "unusable"
    assert len(report["held_out"]) == report["figures"]["frames"] == held_out["frames"]
    assert all(frame["error_m"] is None for frame in report["held_out"])
    assert report["figures"]["seconds"]["total"] > report["figures"]["seconds"]["report"] > 0
    assert report["figures"]["mapping_frames"] + held_out["frames"] == IMAGES
    assert "Not usable" in (folder / "drive.report.html").read_text()


# --- what works: exit code 0 ---


def test_figures_have_the_documented_keys(built):
    path, metrics = built
    assert set(metrics) >= {
        "frames", "localized", "median_translation_m", "median_rotation_deg", "recall",
        "nees_mean", "latency_ms", "map_bytes", "seconds", "samples_per_second",
    }  # fmt: skip
    assert set(metrics["seconds"]) >= {"read", "encode", "train", "total"}
    assert metrics["map_bytes"] == path.stat().st_size
    assert metrics["mapping_frames"] == IMAGES
    json.dumps(metrics, allow_nan=False)


def test_the_map_describes_its_recording(built, bag):
    metadata = SceneMap.load(built[0]).metadata
    assert (metadata.map_frame, metadata.base_frame) == ("odom", "base_link")
    assert (metadata.image_topic, metadata.camera_info_topic) == (
        "/camera/image_raw", "/camera/camera_info",
    )  # fmt: skip
    assert (metadata.bag_name, metadata.global_encoder) == ("drive", "none")
    assert (metadata.camera.width_px, metadata.camera.fx_px) == (64, 50.0)


def test_without_output_the_same_map_goes_where_the_launch_file_looks(
    built, bag, tmp_path, monkeypatch
):
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    assert build_map(["--bag", str(bag), *QUICK, "--holdout", "0"]) == 0
    latest = tmp_path / "glace" / "latest.glace"
    assert latest.is_symlink()
    assert latest.resolve() == (tmp_path / "glace" / "drive.glace").resolve()
    names = {path.name for path in (tmp_path / "glace").iterdir()}  # no checkpoint, no probe
    assert names == {"drive.glace", "drive.trajectory.tum", "latest.glace"}
    # one seed, one map
    assert SceneMap.load(latest).map_id == SceneMap.load(built[0]).map_id


def test_odometry_that_is_reset_is_said_before_and_after(built, tmp_path, capsys):
    assert built[1]["pose_jumps"] == []
    reset_ns = START_NS + 800_000_000
    bag = str(write_drive(tmp_path / "reset", images=IMAGES, reset_ns=reset_ns))
    assert build_map(["--bag", bag, "--dry-run"]) == 0
    said = r"note: /odom: the pose jumps by 1\.\d\d m and \d\d deg at 0:01 \(stamp 1700000000\.8000"
    assert re.search(said, capsys.readouterr().out)
    files = ["--output", str(tmp_path / "m.glace"), "--json", str(tmp_path / "m.json")]
    as_recorded = ["--refine-poses", "off"]  # pictures of nothing join no two stretches of way
    assert build_map(["--bag", bag, *QUICK[:-1], "--holdout", "0", *as_recorded, *files]) == 0
    assert re.search(said, " ".join(capsys.readouterr().err.split()))
    (jump,) = json.loads((tmp_path / "m.json").read_text())["pose_jumps"]
    assert jump == {
        "drive": 0, "stamp_ns": reset_ns, "time_s": pytest.approx(0.8), "kind": "jump",
        "distance_m": pytest.approx(drive_at(reset_ns).distance_m(Pose.identity()), rel=0.05),
        "angle_deg": pytest.approx(np.degrees(drive_at(reset_ns).yaw_rad), rel=0.05),
    }  # fmt: skip
    report = json.loads((tmp_path / "m.report.json").read_text())
    assert any(re.search(said, f"note: {note}") for note in report["notes"])
    assert report["figures"]["pose_jumps"] == [jump]


def test_evaluate_scores_every_image(built, bag, tmp_path, capsys):
    files = ["--json", str(tmp_path / "q.json"), "--tum", str(tmp_path / "q.tum")]
    assert evaluate(["--map", str(built[0]), "--bag", str(bag), *files]) == 0
    metrics = json.loads((tmp_path / "q.json").read_text())
    assert metrics["frames"] + metrics["frames_without_truth"] == IMAGES
    assert metrics["localized"] == 0  # refusals count, they are not left out
    assert metrics["recall"]["5m_10deg"] == 0.0
    assert (metrics["map_bytes"], metrics["heads"]) == (built[0].stat().st_size, 1)
    assert (tmp_path / "q.tum").read_text() == ""
    assert "localized" in capsys.readouterr().out


def test_every_pose_in_a_place_that_the_map_does_not_show_is_a_false_one(
    built, bag, tmp_path, capsys, monkeypatch
):
    poses = iter([True] * 4 + [False] * IMAGES)

    def accepting_four(self, image_rgb_hwc, camera, motion=None):
        if not next(poses):
            return FEW_INLIERS
        return PoseEstimate(
            Pose.identity(), np.eye(6), 90, 900, 1.0, 0.01, np.zeros((90, 2)), np.zeros((90, 3)),
            camera,
        )  # fmt: skip

    monkeypatch.setattr(Localizer, "localize", accepting_four)
    words = ["--map", str(built[0]), "--bag", str(bag), "--json", str(tmp_path / "f.json")]
    assert evaluate([*words, "--foreign"]) == 0
    metrics = json.loads((tmp_path / "f.json").read_text())
    assert metrics["foreign_accepts"] == 4
    assert metrics["frames"] == 0  # the bag's poses are no truth in this map
    assert metrics["frames_without_truth"] == IMAGES
    assert metrics["rejections"] == {"few_inliers": IMAGES - 4}
    table = capsys.readouterr().out
    assert re.search(r"accepted +│ 4 ", table)
    assert re.search(rf"refused: n inliers of n points, fewer than n +│ {IMAGES - 4} ", table)


def test_what_the_truth_says_of_the_motion_is_not_for_the_localizer(
    built, bag, tmp_path, capsys, monkeypatch
):
    """A robot knows its odometry alone, and that only where the map has a use for it."""
    motions = []

    def remembering(self, image_rgb_hwc, camera, motion=None):
        motions.append(motion())
        return FEW_INLIERS

    monkeypatch.setattr(Localizer, "localize", remembering)
    map_file = tmp_path / "rolling.glace"
    words = ["--bag", str(bag), "--map"]
    assert evaluate([*words, str(built[0])]) == 0
    assert motions == [None] * IMAGES
    motions.clear()
    SceneMap.load(built[0]).with_metadata(readout_s=0.02).save(map_file)
    assert evaluate([*words, str(map_file), "--odometry", "/odom"]) == 0
    assert "odometry: /odom" in capsys.readouterr().err
    known = [motion for motion in motions if motion is not None]
    assert len(known) >= IMAGES - 2
    middle = known[len(known) // 2]
    assert 0.05 < np.linalg.norm(middle.moving_3) < 3.0


def test_aligned_poses_are_scored_beside_the_plain_ones(built, bag, tmp_path, capsys, monkeypatch):
    """A map in odometry's frame and scale: each pose is right there, one is not, one is missing."""
    stamps = iter(START_NS + IMAGE_OFFSET_NS + i * IMAGE_PERIOD_NS for i in range(IMAGES))
    truth_from_map = Pose.from_planar(7.0, -3.0, 1.0)

    def in_the_map(self, image_rgb_hwc, camera, motion=None):
        stamp_ns = next(stamps)
        if stamp_ns == START_NS + IMAGE_OFFSET_NS:
            return FEW_INLIERS
        map_from_base = truth_from_map.inverse() @ drive_at(stamp_ns)
        map_from_base = Pose(map_from_base.rotation_33, map_from_base.translation_3 / 1.25)
        if stamp_ns == START_NS + IMAGE_OFFSET_NS + IMAGE_PERIOD_NS:
            map_from_base = Pose.identity()
        return PoseEstimate(
            map_from_base @ BASE_FROM_CAMERA, np.eye(6), 90, 900, 1.0, 0.01,
            np.zeros((90, 2)), np.zeros((90, 3)), camera,
        )  # fmt: skip

    monkeypatch.setattr(Localizer, "localize", in_the_map)
    words = ["--map", str(built[0]), "--bag", str(bag), "--json", str(tmp_path / "a.json")]
    assert evaluate([*words, "--align", "similarity"]) == 0
    table = capsys.readouterr().out
    metrics = json.loads((tmp_path / "a.json").read_text())
    assert metrics["recall"]["5m_10deg"] == 0.0
    aligned = metrics["aligned"]
    assert aligned["kind"] == "similarity"
    assert aligned["scale"] == pytest.approx(1.25, rel=1e-3)
    assert aligned["truth_from_map"] == pytest.approx(
        [7.0, -3.0, 0.0, 0.0, 0.0, np.sin(0.5), np.cos(0.5)], abs=5e-3
    )
    assert (aligned["frames"], aligned["localized"], aligned["fitted"]) == (14, 13, 12)
    assert aligned["recall"]["5cm_5deg"] == pytest.approx(12 / 14)
    assert "nees_mean" not in aligned
    assert re.search(r"within 5 cm / 5 deg +│ 0.00 %", table)
    assert re.search(r"aligned: within 5 cm / 5 deg +│ 85.71 %", table)


def test_nothing_is_aligned_without_poses(built, bag, tmp_path, capsys):
    words = ["--map", str(built[0]), "--bag", str(bag), "--json", str(tmp_path / "a.json")]
    assert evaluate([*words, "--align", "rigid"]) == 0
    metrics = json.loads((tmp_path / "a.json").read_text())
    assert metrics["aligned"] is None
    printed = capsys.readouterr()
    assert "nothing is aligned: there are 0 accepted poses with a truth" in printed.err
    assert "aligned" not in printed.out
    assert evaluate(words) == 0
    assert "aligned" not in json.loads((tmp_path / "a.json").read_text())


# --- scene folders ---


@pytest.fixture(scope="module")
def scene(bag, tmp_path_factory) -> Path:
    """The same drive as a scene folder: to map from, and two images of it to ask for."""
    folder = tmp_path_factory.mktemp("scenes") / "drive"
    assert glace(["prepare", "bag", str(bag), str(folder)]) == 0
    for kind in ("rgb", "poses", "calibration"):
        (folder / "test" / kind).mkdir(parents=True)
        for path in sorted((folder / "train" / kind).iterdir())[3:5]:
            shutil.copy(path, folder / "test" / kind)
    return folder


def test_a_scene_folder_makes_the_map_that_the_bag_makes(bag, scene, tmp_path, monkeypatch):
    """By the same poses: those of a scene folder are taken as they are."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    assert build_map(["--scene", str(scene), *QUICK, "--holdout", "0"]) == 0
    as_recorded = ["--refine-poses", "off", "--output", str(tmp_path / "bag.glace")]
    assert build_map(["--bag", str(bag), *QUICK, "--holdout", "0", *as_recorded]) == 0
    of_scene, of_bag = (
        SceneMap.load(tmp_path / name) for name in ("glace/drive.glace", "bag.glace")
    )
    weights = dict(of_bag.heads[0].named_parameters())
    for name, weight in of_scene.heads[0].named_parameters():
        torch.testing.assert_close(weight, weights[name], rtol=1e-2, atol=1e-4)
    metadata = of_scene.metadata
    assert (metadata.map_frame, metadata.base_frame, metadata.camera_frame) == (
        "map", "camera", "camera",
    )  # fmt: skip
    assert metadata.camera == of_bag.metadata.camera


def test_the_report_of_a_scene_speaks_of_no_bag(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Localizer, "localize", lambda *_: Rejection(RejectionCode.NO_POSE, points=900)
    )
    output = tmp_path / "x.glace"
    words = ["--scene", str(scene), *QUICK[:-1], "--holdout", "0", "--output", str(output)]
    assert build_map(words) == 0
    page = output.with_name("x.report.html").read_text()
    text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert f"From the scene folder {scene}, in the frame map" in text
    assert f"images in the scene folder {IMAGES}" in " ".join(text.split())
    assert not re.search(r"\b(bag|recording)\b", text)
    described = json.loads(output.with_name("x.report.json").read_text())["recording"]
    assert described["scene folder"] == str(scene)


def test_evaluate_writes_a_scenes_poses_for_submission(built, scene, tmp_path, monkeypatch):
    map_from_camera = Pose.from_rotation_vector([1.0, 2.0, 3.0], [0.0, 0.0, np.pi / 2])
    found = PoseEstimate(
        map_from_camera, np.eye(6), 90, 900, 1.0, 0.01, np.zeros((90, 2)), np.zeros((90, 3)),
        Camera(640, 480, 500.0, 500.0, 319.5, 239.5),
    )  # fmt: skip
    results = iter([FEW_INLIERS, found])
    monkeypatch.setattr(Localizer, "localize", lambda *_: next(results))
    poses = tmp_path / "poses.txt"
    words = ["--map", str(built[0]), "--scene", str(scene), "--submission", str(poses)]
    assert evaluate(words) == 0
    name, *numbers = poses.read_text().split()  # one line: the refused one is left out
    assert name == sorted(path.name for path in (scene / "test/rgb").iterdir())[1]
    half = np.sqrt(0.5)  # from the scene to the camera: w first, then where the scene's origin is
    np.testing.assert_allclose(
        np.array(numbers, float), [half, 0, 0, -half, -2.0, 1.0, -3.0], atol=1e-8
    )


def test_a_scene_that_cannot_be_used(sentence, built, scene, bag, tmp_path):
    rest = (*QUICK, "--output", tmp_path / "x.glace")
    assert "train/rgb" in sentence(build_map, "--scene", tmp_path, *rest, code=2)
    said = sentence(build_map, "--scene", scene, "--pose-source", "tf:map", *rest, code=2)
    assert "--pose-source is about a bag" in said
    with_map = ("--map", built[0], "--device", "cpu")
    assert "test/rgb" in sentence(evaluate, *with_map, "--scene", tmp_path, code=2)
    said = sentence(evaluate, *with_map, "--bag", bag, "--submission", tmp_path / "s", code=1)
    assert "--submission needs --scene" in said


# --- maps that cannot be used: exit codes 4 and 5 ---


def test_maps_that_are_none(sentence, built, bag, tmp_path):
    png = tmp_path / "picture.glace"
    png.write_bytes(cv2.imencode(".png", picture(0))[1].tobytes())
    cut = tmp_path / "cut.glace"
    cut.write_bytes(built[0].read_bytes()[:-100])
    for path in (png, cut, tmp_path / "none.glace", tmp_path):
        assert str(path) in sentence(evaluate, "--map", path, "--bag", bag, code=4)


def test_a_map_of_another_version(sentence, bag, tmp_path, monkeypatch):
    monkeypatch.setattr("glace_ros.maps.map_file.FORMAT_VERSION", 99)
    tiny_map().save(tmp_path / "new.glace")
    monkeypatch.undo()
    said = sentence(evaluate, "--map", tmp_path / "new.glace", "--bag", bag, code=4)
    assert "version 99" in said


def test_a_map_of_other_weights(sentence, bag, tmp_path):
    tiny_map(local_encoder_hash="0" * 64).save(tmp_path / "other.glace")
    said = sentence(evaluate, "--map", tmp_path / "other.glace", "--bag", bag, code=5)
    assert "weights" in said


# --- arguments ---


def test_files_that_cannot_be_written_are_refused_before_the_work(
    sentence, built, bag, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr("glace_ros.commands.build_map.MapBuilder", None)  # would be the work
    monkeypatch.setattr("glace_ros.commands.evaluate.Localizer", None)
    for path in (tmp_path / "file" / "x", tmp_path):
        arguments = ("--bag", bag, "--output")
        assert f"--output {path}" in sentence(build_map, *arguments, path, code=1)
        arguments = ("--bag", bag, "--output", tmp_path / "x.glace", "--json", path)
        assert f"--json {path}" in sentence(build_map, *arguments, code=1)
    (tmp_path / "y.report.html").mkdir()
    said = sentence(build_map, "--bag", bag, "--output", tmp_path / "y.glace", code=1)
    assert f"--report {tmp_path / 'y.report.html'} is a folder" in said
    for path in (tmp_path / "file" / "x", tmp_path):
        for option in ("--json", "--tum"):
            arguments = ("--map", built[0], "--bag", bag, option, path)
            assert f"{option} {path}" in sentence(evaluate, *arguments, code=1)
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_device_that_is_not_there(sentence, bag, tmp_path):
    arguments = ("--bag", bag, "--output", tmp_path / "x.glace", "--device", "abacus")
    assert "'abacus'" in sentence(build_map, *arguments, code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--bag"],
        ["--bag", "x", "--minutes", "0"],
        ["--bag", "x", "--minutes", "nan"],
        ["--bag", "x", "--minutes", "five"],
        ["--bag", "x", "--iterations", "0"],
        ["--bag", "x", "--iterations", "-5"],
        ["--bag", "x", "--clusters", "0"],
        ["--bag", "x", "--seed", "-1"],
        ["--bag", "x", "--sigma", "nan"],
        ["--bag", "x", "--holdout", "0.9"],
        ["--bag", "x", "--keyframe-dist", "-1"],
        ["--bag", "x", "--local-encoder", "sift"],
        ["--bag", "x", "--surprise"],
        ["--bag", "x", "--scene", "x"],
    ],
)
def test_wrong_arguments_of_build_map_are_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as exited:
        build_map(arguments)
    assert exited.value.code == 2
    assert "usage: build_map" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bag", "x"],
        ["--map", "x"],
        ["--map", "x", "--bag", "x", "--ransac-px", "0"],
        ["--map", "x", "--bag", "x", "--min-inliers", "-1"],
        ["--map", "x", "--bag", "x", "--seed", "-1"],
    ],
)
def test_wrong_arguments_of_evaluate_are_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as exited:
        evaluate(arguments)
    assert exited.value.code == 2
    assert "usage: evaluate" in capsys.readouterr().err


def test_glace_without_or_with_an_unknown_subcommand(capsys):
    assert glace([]) == 2
    assert "usage: glace" in capsys.readouterr().err
    assert glace(["fly"]) == 2
    assert "'fly'" in capsys.readouterr().err


def test_glace_help_lists_the_subcommands(capsys):
    assert glace(["--help"]) == 0
    said = capsys.readouterr().out
    for name in (
        "build_map",
        "localize",
        "evaluate",
        "benchmark",
        "import_map",
        "export_map",
        "demo",
    ):
        assert name in said


def test_glace_hands_the_rest_to_the_subcommand(sentence, bag, capsys, tmp_path):
    assert glace(["build_map", "--bag", str(bag), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"/drive: 1\.\d s, \d\.\d m\n", said)  # how long, and how far
    assert re.search(r"/camera/image_raw +sensor_msgs/msg/Image +14 +\d+\.\d Hz\n", said)
    assert re.search(r"frames used: \d+\n", said)
    assert re.search(r"time: +at most 5 minutes", said)
    assert "none.glace" in sentence(
        glace, "evaluate", "--map", tmp_path / "none.glace", "--bag", bag, code=4
    )


# --- Ctrl-C ---


def test_an_interrupted_training_is_resumed(sentence, bag, tmp_path, monkeypatch, capsys):
    output = tmp_path / "x.glace"
    arguments = ("--bag", bag, *QUICK, "--holdout", "0", "--output", output)
    take_step = MapTrainer._take_step

    def ctrl_c_at_the_second_step(trainer):
        if trainer.step == 1:
            raise KeyboardInterrupt
        return take_step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(MapTrainer, "_take_step", ctrl_c_at_the_second_step)
        said = sentence(build_map, *arguments, code=130)
    checkpoint = tmp_path / "x.glace.checkpoint"
    assert "interrupted" in said
    assert f"--resume goes on from {checkpoint}" in said
    assert checkpoint.is_file()
    assert not output.exists()

    # other settings are not those of the checkpoint
    assert "another bag or scene, other settings" in sentence(
        build_map, *arguments, "--resume", "--seed", "5", code=6
    )
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(
            MapTrainer, "_take_step", lambda self: steps.append(self.step) or take_step(self)
        )
        assert build_map([str(word) for word in (*arguments, "--resume")]) == 0
    assert steps == [1, 2]
    assert output.is_file()
    assert not checkpoint.exists()
    assert "begins anew" not in capsys.readouterr().err
    # a name that is not quite that of the work would cost it all again without a word
    assert build_map([str(word) for word in (*arguments, "--resume")]) == 0
    assert f"beside {output}: --resume begins anew" in capsys.readouterr().err


def test_ctrl_c_ends_an_evaluation(sentence, built, bag, monkeypatch):
    def ctrl_c(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Localizer, "localize", ctrl_c)
    arguments = ("--map", built[0], "--bag", bag, "--device", "cpu")
    assert sentence(evaluate, *arguments, code=130) == "evaluate: interrupted"


@pytest.mark.parametrize(
    ("words", "at"),
    [
        (["evaluate", "--map", "x", "--bag", "y"], "evaluate.SceneMap.load"),
        (["prepare", "bag", "x", "y"], "prepare.RecordingReader"),
        (["prepare", "7scenes", ".", "y"], "prepare.scene_source"),
        (["benchmark", "7scenes", "--data", "x"], "benchmark.protocol"),
        (["covisibility", "--bag", "x"], "covisibility.open_recording"),
        (
            ["import_map", "--encoder", "x", "--head", "y", "--output", "z"],
            "import_map.local_encoder",
        ),
        (["export_map", "x", "--output", "z"], "export_map.SceneMap.load"),
    ],
)  # fmt: skip
def test_sigterm_ends_every_program_as_ctrl_c_does(words, at, tmp_path, monkeypatch, capsys):
    """And a SIGINT that follows, as of the program that started it, changes nothing more."""
    saved = []

    def sigterm(*_, **__):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            saved.append(True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"glace_ros.commands.{at}", sigterm)
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody's"))
    try:
        assert glace(words) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert saved == [True]
    assert capsys.readouterr().err.splitlines()[-1] == f"{words[0]}: interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_ctrl_c_during_a_real_training(bag, tmp_path):
    output = tmp_path / "x.glace"
    command = [sys.executable, "-m", "glace_ros.cli", "build_map", "--bag", str(bag)]
    command += [*QUICK[:6], "--holdout", "0", "--output", str(output)]
    process = subprocess.Popen(
        [*command, "--minutes", "10"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        lines = []
        while not (lines and lines[-1].startswith("triangulate")):
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
        # triangulated: what computes from here on is the training
        enough = cpu_seconds(process.pid) + 4.0
        while cpu_seconds(process.pid) < enough:
            assert process.poll() is None
            time.sleep(0.2)  # the kernel tells of no CPU time
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in stderr
    checkpoint = tmp_path / "x.glace.checkpoint"
    (said,) = [line for line in stderr.splitlines() if line.startswith("build_map: ")]
    assert f"--resume goes on from {checkpoint}" in said
    assert checkpoint.is_file()

    finished = subprocess.run(
        [*command, "--minutes", "0.1", "--resume"], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert SceneMap.load(output).metadata.training["steps"] > 1
    assert not checkpoint.exists()


@pytest.mark.parametrize("asked", [None, "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_other_programs_wait_awake_for_a_moment_only(monkeypatch, asked):
    """Beside busy programs they would take many times as long; unless the user says otherwise."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is put back as it was
        monkeypatch.delenv(name)
    if asked:
        monkeypatch.setenv(asked, "7")
    seen = []

    def imported(_):
        seen.append((os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT")))
        return SimpleNamespace(main=lambda _: 0)

    monkeypatch.setattr(cli.importlib, "import_module", imported)
    assert glace(["build_map"]) == 0
    spin = {None: "3000", "OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": "7"}[asked]
    assert seen == [("7" if asked == "OMP_WAIT_POLICY" else None, spin)]


@pytest.mark.parametrize("asked", [None, "ACTIVE"])
def test_the_nodes_threads_of_openmp_sleep_while_they_wait_unless_the_user_says_otherwise(
    monkeypatch, asked
):
    """Known before the program, and PyTorch with it, is imported."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that it is put back as it was
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    if asked:
        monkeypatch.setenv("OMP_WAIT_POLICY", asked)
    seen = []

    def imported(name):
        seen.append((name, os.environ.get("OMP_WAIT_POLICY")))
        return SimpleNamespace(main=lambda _: 0)

    monkeypatch.setattr(cli.importlib, "import_module", imported)
    assert glace(["evaluate"]) == glace(["localize"]) == 0
    assert seen == [
        ("glace_ros.commands.evaluate", asked),
        ("glace_ros.commands.localize", asked or "PASSIVE"),
    ]
