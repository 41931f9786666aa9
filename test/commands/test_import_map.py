"""`glace import_map` and `export_map`: a published map on its way onto the robot and back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.bag_writing import write_drive
from support.published_networks import official_head, seeded

from glace_ros.cli import main as glace
from glace_ros.errors import WeightsError
from glace_ros.features.ace_encoder import AceNetwork
from glace_ros.localization.localizer import Localizer
from glace_ros.maps.coordinate_head import CoordinateHead
from glace_ros.maps.scene_map import SceneMap


@pytest.fixture(autouse=True)
def small_images(monkeypatch):
    """480 px take the paper's encoder a second."""
    monkeypatch.setattr("glace_ros.maps.ace_format.SHORT_SIDE_PX", 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the encoder's weights, a published map and a short bag."""
    folder = tmp_path_factory.mktemp("published")
    shapes = {name: tuple(part.shape) for name, part in AceNetwork().state_dict().items()}
    torch.save(seeded(shapes, seed=1), folder / "ace_encoder_pretrained.pt")
    torch.save(official_head("ace"), folder / "MAP.pt")
    write_drive(folder / "drive", images=4)
    return folder


def run(*words) -> int:
    return glace([str(word) for word in words])


def import_words(folder, output):
    encoder = folder / "ace_encoder_pretrained.pt"
    return ("import_map", "--encoder", encoder, "--head", folder / "MAP.pt", "--output", output)


def test_a_published_map_goes_through_evaluate_and_the_node_and_back(folder, tmp_path, capsys):
    path = folder / "imported.glace"
    assert run(*import_words(folder, path)) == 0
    said = capsys.readouterr().out
    assert "512 wide, 2 blocks, 1 cluster, 512 + 0 inputs" in said
    assert "never judged" in said
    assert "copy it beside" not in said
    metrics = tmp_path / "figures.json"
    words = ("evaluate", "--map", path, "--bag", folder / "drive", "--json", metrics)
    assert run(*words, "--device", "cpu") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "the map: it was never judged" in said
    assert "does not name its frame" in said
    assert json.loads(metrics.read_text())["frames"] == 4
    assert run("export_map", path, "--output", tmp_path / "again.pt") == 0
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert all(torch.equal(again[name], part) for name, part in official_head("ace").items())
    pytest.importorskip("rclpy")
    from glace_ros.node.localizing.map_loading import read_map
    from glace_ros.node.ros_interface.parameters import LocalizeParameters

    loaded = read_map(LocalizeParameters(map=str(path), device="cpu")).make_ready()
    assert not loaded.validated
    assert (loaded.map_frame, loaded.base_frame, loaded.views_v3) == ("", "", None)


def test_a_bag_judges_it_and_says_whose_map_it_is(folder, capsys):
    path = folder / "judged.glace"
    words = (*import_words(folder, path), "--bag", folder / "drive", "--device", "cpu")
    assert run(*words) == 3  # the weights are random
    assert "import_map: the map failed its check" in capsys.readouterr().err
    metadata = SceneMap.load(path).metadata
    assert metadata.held_out["frames"] == 4
    assert (metadata.map_frame, metadata.base_frame) == ("odom", "base_link")
    assert metadata.camera.width_px == 64


def test_a_map_without_its_encoder_says_where_to_put_it(folder, tmp_path, capsys, monkeypatch):
    elsewhere = tmp_path / "elsewhere.glace"
    assert run(*import_words(folder, elsewhere)) == 0
    assert "copy it beside the map" in capsys.readouterr().out
    words = ("evaluate", "--map", elsewhere, "--bag", folder / "drive", "--device", "cpu")
    assert run(*words) == 5
    said = capsys.readouterr().err
    assert "evaluate: there are no weights ace_encoder_pretrained.pt" in said
    assert str(folder) not in elsewhere.read_bytes().decode(errors="ignore")
    monkeypatch.setenv("GLACE_WEIGHTS", str(folder))
    assert run(*words) == 0
    # another file of the same name
    shutil.copy(folder / "MAP.pt", tmp_path / "ace_encoder_pretrained.pt")
    assert run(*words) == 5
    assert "other weights than the map was made with" in capsys.readouterr().err


def test_several_heads_are_imported_and_exported_again(folder, tmp_path, capsys):
    path = folder / "poker.glace"
    assert run(*import_words(folder, path), "--head", folder / "MAP.pt") == 0
    assert "2 heads, 512 wide" in capsys.readouterr().out
    assert SceneMap.load(path).metadata.heads == 2
    assert run("export_map", path, "--output", tmp_path / "again.pt") == 0
    said = capsys.readouterr().out
    for index in range(2):
        assert f"again_{index}.pt: " in said
        again = torch.load(tmp_path / f"again_{index}.pt", weights_only=True)
        assert all(torch.equal(again[name], part) for name, part in official_head("ace").items())


def test_one_sentence_for_what_cannot_be_imported(folder, tmp_path, capsys):
    output = tmp_path / "out.glace"
    encoder, head = folder / "ace_encoder_pretrained.pt", folder / "MAP.pt"
    for words, code, expected in (
        (("--encoder", head, "--head", head), 5, "does not hold the weights of an ACE encoder"),
        (("--encoder", encoder, "--head", encoder), 4, "is no map as ACE or GLACE save it"),
        (("--encoder", encoder, "--head", tmp_path / "no.pt"), 4, "there is no file"),
        (("--encoder", tmp_path / "no.pt", "--head", head), 5, "there are no weights"),
    ):
        assert run("import_map", *words, "--output", output) == code
        stderr = capsys.readouterr().err
        assert expected in stderr
        assert stderr.startswith("import_map: ")
        assert stderr.count("\n") == 1
    assert not output.exists()
    np.testing.assert_equal(run("export_map", tmp_path / "no.glace", "--output", output), 4)


def test_a_map_of_other_descriptors_is_refused(folder):
    path = folder / "wider.glace"
    assert run(*import_words(folder, path)) == 0
    whole = SceneMap.load(path)
    shape = replace(whole.metadata.head, local_channels=640)
    wider = SceneMap(replace(whole.metadata, head=shape), [CoordinateHead(shape)], None)
    with pytest.raises(WeightsError, match="takes 640 numbers where its encoder 'ace:.* gives 512"):
        Localizer(wider, device="cpu")
