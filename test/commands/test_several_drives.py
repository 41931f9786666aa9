"""`build_map --bag A --bag B`: one map of both, told apart; other programs read one recording."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from support.bag_writing import write_drive
from support.small_builds import arguments, write_wall

from glace_ros.cli import main as glace
from glace_ros.commands import build_map_poses
from glace_ros.commands.build_map import main as build_map
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.mapping.training import map_trainer
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.maps.scene_map import SceneMap


@pytest.fixture(autouse=True)
def always_float32(monkeypatch):
    monkeypatch.setattr(map_trainer, "faster_dtype", lambda *_: torch.float32)


@pytest.fixture
def poses_unseen(monkeypatch):
    """Whether poses fit the images, which takes half of such a build, other tests look at."""
    monkeypatch.setattr(build_map_poses, "what_prevents", lambda *_: "it is not looked at here")


@pytest.fixture(scope="module")
def walls(tmp_path_factory) -> list[Path]:
    """Two drives along the same wall; their stamps are the same, and one goes on further."""
    folder = tmp_path_factory.mktemp("walls")
    return [write_wall(folder / "monday", 24), write_wall(folder / "tuesday", 30)]


def both(walls, output: Path, *more: object) -> list[str]:
    quick = ("--iterations", 3, "--sigma", 0.1, "--buffer-gb", 1, "--refine-poses", "off",
             "--landmarks", 0, *more)  # fmt: skip
    return arguments(walls[0], output, "--bag", walls[1], *quick)


def assert_same_heads(one: Path, other: Path) -> None:
    weights = [SceneMap.load(path).heads[0].state_dict() for path in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_two_drives_become_one_map(walls, tmp_path, capsys):
    output = tmp_path / "map.glace"
    words = both(walls, output, "--json", tmp_path / "figures.json")
    words.remove("--no-report")
    assert build_map(words) in (0, 3)
    stderr = capsys.readouterr().err
    assert re.search(r"^monday: poses: /odom", stderr, re.M)
    assert re.search(r"^tuesday: poses: /odom", stderr, re.M)
    report = json.loads((tmp_path / "map.report.json").read_text())
    mapped = SceneMap.load(output).metadata.training["views"]
    assert mapped + len(report["held_out"]) == 24 + 30
    assert {view["drive"] for view in report["held_out"]} == {0, 1}
    assert report["recording"]["times"] == "monday from 0:00, tuesday from 0:02"
    page = (tmp_path / "map.report.html").read_text()
    assert all(name in page for name in ("mapping, monday", "mapping, tuesday", "tuesday from"))
    assert report["recording"]["bag"] == f"{walls[0]}, {walls[1]}"
    for view in report["held_out"]:  # the second drive counts as made after the first one
        assert (view["time_s"] > 2.35) == (view["drive"] == 1)
    assert SceneMap.load(output).metadata.bag_name == "monday"


def test_an_interrupted_build_goes_on_in_the_second_drive(
    walls, poses_unseen, tmp_path, monkeypatch
):
    whole, resumed = tmp_path / "whole.glace", tmp_path / "resumed.glace"
    assert build_map(both(walls, whole)) in (0, 3)
    add = EncodedViews.add

    def ctrl_c_in_the_second_drive(encoded, image):
        if len(encoded.views) == 35:
            assert image.drive == 1
            raise KeyboardInterrupt
        add(encoded, image)

    with monkeypatch.context() as patch:
        patch.setattr(EncodedViews, "add", ctrl_c_in_the_second_drive)
        assert build_map(both(walls, resumed, "--checkpoint-every", 0)) == 130
    encoded = []
    with monkeypatch.context() as patch:
        patch.setattr(
            EncodedViews, "add", lambda self, image: encoded.append(image) or add(self, image)
        )
        assert build_map([*both(walls, resumed, "--checkpoint-every", 0), "--resume"]) in (0, 3)
    assert len(encoded) + 35 == SceneMap.load(whole).metadata.training["views"]
    assert_same_heads(whole, resumed)


def test_a_new_drive_costs_its_own_encoding_alone(
    walls, poses_unseen, tmp_path, monkeypatch, capsys
):
    """And the map is the one that is made without what was kept."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    encode, encoded = XFeatEncoder.encode, []
    monkeypatch.setattr(
        XFeatEncoder, "encode", lambda *words: encoded.append(words) or encode(*words)
    )
    kept = ("--features-cache-gb", 1, "--global-encoder", "none", "--sigma", 0, "--holdout", 0)

    def built(words: list[str]) -> tuple[int, str]:
        encoded.clear()
        assert build_map(words) == 0
        return len(encoded), capsys.readouterr().err

    quick = ("--iterations", 3, "--buffer-gb", 1, "--landmarks", 0, *kept)
    assert built(arguments(walls[0], tmp_path / "monday.glace", *quick))[0] == 2 * 24
    times, stderr = built(both(walls, tmp_path / "kept.glace", *kept))
    assert times == 2 * 30
    assert re.search(r"^features of monday: from the cache$", stderr, re.M)
    assert "features of tuesday" not in stderr
    times, stderr = built(both(walls[::-1], tmp_path / "turned.glace", *kept))
    assert times == 0
    assert re.search(r"^features of tuesday: from the cache$", stderr, re.M)
    times, stderr = built(both(walls, tmp_path / "plain.glace", *kept, "--features-cache-gb", 0))
    assert times == 2 * 54
    assert "features" not in stderr
    assert_same_heads(tmp_path / "kept.glace", tmp_path / "plain.glace")


def test_features_that_are_damaged_on_disk_end_no_build(
    walls, poses_unseen, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    words = both(walls, tmp_path / "map.glace", "--features-cache-gb", 1)
    assert build_map(words) in (0, 3)
    for file in (tmp_path / "glace" / "features").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-9])
    capsys.readouterr()
    assert build_map(words) in (0, 3)
    said = capsys.readouterr().err
    assert len(re.findall(r"^note: the features in .* are damaged", said, re.M)) == 2
    assert "from the cache" not in said
    assert build_map(words) in (0, 3)
    assert len(re.findall("from the cache", capsys.readouterr().err)) == 2


def test_a_preset_that_samples_its_patches_keeps_none_and_says_so(walls, tmp_path, monkeypatch,
                                                                  capsys):  # fmt: skip
    """Of how many passes it takes there is no end."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path))

    def ctrl_c(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(EncodedViews, "add", ctrl_c)
    words = both(walls, tmp_path / "map.glace", "--features-cache-gb", 1)
    assert build_map([*words, "--preset", "paper-7scenes"]) == 130
    assert "features: not kept for later builds, as the preset" in capsys.readouterr().err
    assert not (tmp_path / "glace").exists()


def test_a_dry_run_tells_each_drive_by_itself(walls, capsys):
    assert build_map(["--bag", str(walls[0]), "--bag", str(walls[1]), "--dry-run"]) == 0
    first, second = capsys.readouterr().out.split("drive 2 of 2, tuesday\n")
    assert first.startswith(f"drive 1 of 2, monday\n{walls[0]}: ")
    assert "/camera/image_raw, 24 of 160x128" in first
    assert "/camera/image_raw, 30 of 160x128" in second
    assert "frames used: " in first
    assert "frames used: " in second
    assert "time: " not in first
    assert re.search(r"time: +at most 5 minutes", second)


def test_a_dry_run_of_one_drive_has_no_headings(walls, capsys):
    assert build_map(["--bag", str(walls[0]), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(f"{walls[0]}: ")


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--map", "x", "--bag", "a", "--bag", "b"],
        ["evaluate", "--map", "x", "--scene", "a", "--scene", "b"],
        ["covisibility", "--bag", "a", "--bag", "b"],
        [
            "import_map",
            "--encoder",
            "x",
            "--head",
            "y",
            "--output",
            "z",
            "--bag",
            "a",
            "--bag",
            "b",
        ],
    ],
    ids=lambda words: " ".join(words),
)
def test_programs_that_read_one_recording_say_so(words, capsys):
    with pytest.raises(SystemExit) as ended:
        glace(words)
    assert ended.value.code == 2
    assert f"is given twice: {words[0]} reads one recording" in capsys.readouterr().err


def test_bags_and_scenes_do_not_mix(capsys):
    with pytest.raises(SystemExit) as ended:
        build_map(["--bag", "a", "--scene", "b"])
    assert ended.value.code == 2
    assert "--scene: not allowed with argument --bag" in capsys.readouterr().err


def test_scene_folders_are_drives_too(tmp_path, capsys):
    scenes = []
    for name, first in (("monday", 0), ("tuesday", 50)):
        bag = write_drive(tmp_path / "bags" / name, images=3, first_picture=first)
        scenes += ["--scene", str(tmp_path / name)]
        assert glace(["prepare", "bag", str(bag), str(tmp_path / name)]) == 0
    capsys.readouterr()
    assert build_map([*scenes, "--dry-run"]) == 0
    assert "drive 2 of 2, tuesday" in capsys.readouterr().out
