"""What users mistype: every program says in one sentence what it was, and ends with an error."""

from __future__ import annotations

import os
import re
from types import SimpleNamespace

import pytest
import torch
from support.bag_writing import write_drive
from support.core_scenes import tiny_map
from support.published_networks import seeded

from glace_ros.cli import main as glace
from glace_ros.features.ace_encoder import AceNetwork
from glace_ros.features.encoder_names import NetworkName
from glace_ros.features.weights_location import weights_hash

MISTAKES = [
    # words, with the names of `places` in braces, and what the sentence must say
    ("build_map --bag {none}", "no bag at {none}"),
    ("build_map --bag {empty}", "{empty} holds no bag"),
    ("build_map --bag {text}", "{text} is no bag"),
    ("build_map --bag {cut}", "{cut}/.* is cut off|{cut} (is damaged|is no readable bag)"),
    ("build_map --bag {scene}", "{scene} is no bag but a scene folder: give it with --scene"),
    ("build_map --bag {bag} --image-topic /none", "/none"),
    ("build_map --bag {bag} --pose-source tf:none", "none"),
    ("build_map --scene {none}", "{none} is no folder with train/rgb"),
    ("build_map --scene {empty}", "{empty} holds neither rgb nor train/rgb"),
    ("build_map --scene {bag}", "{bag} is no scene folder but a bag: give it with --bag"),
    ("build_map --scene {bag_file}", "{bag_file} is no list of rooms.*--bag"),
    ("build_map --scene {text}", "{text}, line 1 is not 'scene cx cy cz'"),
    ("build_map --scene {scene} --image-topic /x", "--image-topic is about a bag"),
    ("build_map --bag {bag} --bag {bag}", "{bag} is given twice"),
    ("build_map --bag {bag} --bag {bag}/../drive --dry-run", "{bag}/../drive is given twice"),
    ("build_map --bag {bag} --bag {bag_file}", "{bag_file} is the same recording as {bag}"),
    ("build_map --scene {scene} --scene {scene}/train", "{scene}/train is the same recording"),
    ("build_map --bag {bag} --bag {none}", "no bag at {none}"),
    ("build_map --bag {bag} --bag {truck}", "{truck}: its base frame is 'truck'.*one robot"),
    ("build_map --bag {bag} --bag {other} --output {other}", "--output and --bag {other} .* same"),
    ("build_map --bag {bag} --output {text}/x.glace", "--output {text}/x.glace cannot be written"),
    ("build_map --bag {bag} --output {empty}", "--output {empty} is a folder: name a file"),
    ("build_map --bag {bag} --output {new} --json {new}", "--json and --output .* same file"),
    ("build_map --bag {bag} --output {new}.ply", "the report .*ply and --output .* same file"),
    ("build_map --bag {bag_file} --output {bag_file}", "--output and --bag .* same file"),
    ("build_map --bag {bag} --json {text}/x", "--json {text}/x cannot be written"),
    ("build_map --bag {bag} --minutes 2 --iterations 9", "--iterations 9 and --minutes 2"),
    ("build_map --bag {bag} --preset paper-7scenes --landmarks 9", "--landmarks 9.*paper-7scenes"),
    ("build_map --bag {bag} --sigma 0.1 --global-encoder none", "--sigma 0.1: .*none.*diffuse"),
    ("build_map --bag {bag} --sigma 1 --global-encoder kmeans:4", "--sigma 1: .*kmeans:4.*diffuse"),
    ("build_map --bag {bag} --local-encoder ace:{none}", "no weights {none}"),
    ("build_map --bag {bag} --local-encoder ace:{empty}", "no weights {empty}"),
    ("build_map --bag {bag} --local-encoder ace:{text}", "{text} is not a whole file of weights"),
    ("build_map --bag {bag} --global-encoder r2former:{none}", "no weights {none}"),
    ("build_map --bag {bag} --global-encoder r2former:{text}", "{text} is not a whole file"),
    ("build_map --bag {bag} --device tpu", "'tpu'"),
    ("evaluate --map {none} --bag {bag}", "no map file {none}"),
    ("evaluate --map {empty} --bag {bag}", "{empty} is a folder, no map file"),
    ("evaluate --map {text} --bag {bag}", "{text} is not a whole .glace map"),
    ("evaluate --map {bag_file} --bag {bag}", "{bag_file} is not a whole .glace map"),
    ("evaluate --map {cut_map} --bag {bag}", "{cut_map} is not a whole .glace map"),
    ("evaluate --map {map} --bag {none}", "no bag at {none}"),
    ("evaluate --map {map} --bag {cut}", "{cut}/.* is cut off|{cut} (is damaged|is no readable)"),
    ("evaluate --map {map} --scene {empty}", "{empty} holds neither rgb nor test/rgb"),
    ("evaluate --map {map} --bag {bag} --json {map}", "--json and --map .* same file"),
    ("evaluate --map {map} --bag {bag} --json {new} --tum {new}", "--tum and --json .* same file"),
    ("evaluate --map {map} --bag {bag} --tum {text}/x", "--tum {text}/x cannot be written"),
    ("evaluate --map {map} --bag {bag} --submission {new}", "--submission needs --scene"),
    ("evaluate --map {map} --bag {bag} --align rigid --foreign", "--align and --foreign contra"),
    ("evaluate --map {map} --scene {scene} --window 8", "--window needs --bag"),
    ("evaluate --map {map} --scene {empty} --odometry /odom", "--odometry needs --bag"),
    ("evaluate --map {map} --bag {bag} --window 8 --odometry /no", "no topic /no.*--odometry"),
    ("import_map --encoder {none} --head {text} --output {new}", "no weights {none}"),
    ("import_map --encoder {empty} --head {text} --output {new}", "no weights {empty}"),
    ("import_map --encoder {text} --head {text}2 --output {new}", "{text} is not a whole file"),
    ("import_map --encoder {ace} --head {none} --output {new}", "no file {none}"),
    ("import_map --encoder {ace} --head {empty} --output {new}", "{empty} is not a whole file"),
    ("import_map --encoder {ace} --head {text} --output {new}", "{text} is not a whole file"),
    ("import_map --encoder {ace} --head {map} --output {new}", "{map} is (not a whole|no) file"),
    ("import_map --encoder {ace} --head {text} --output {text}", "--output and --head .* same"),
    ("import_map --encoder {ace} --head {text} --output {text}/x", "--output {text}/x cannot be"),
    (
        "import_map --encoder {ace} --head {text} --output {new} --image-topic /x",
        "--image-topic is about a bag: there is no bag",
    ),
    (
        "import_map --encoder {ace} --head {text} --global r2former:{none} --output {new}",
        "no weights {none}",
    ),
    ("export_map {none} --output {new}", "no map file {none}"),
    ("export_map {text} --output {new}", "{text} is not a whole .glace map"),
    ("export_map {map} --output {new}", "cannot be exported"),
    ("export_map {map} --output {map}", "--output and the map name the same file"),
    ("export_map {map} --output {empty}", "--output {empty} is a folder"),
    ("prepare bag {none} {new}", "no bag at {none}"),
    ("prepare bag {empty} {new}", "{empty} holds no bag"),
    ("prepare bag {cut} {new}", "{cut}/.* is cut off|{cut} (is damaged|is no readable)"),
    ("prepare bag {bag} {text}", "{text}.*: name another folder for DST|; name another folder"),
    ("prepare bag {bag} {text}/x", "{text}/x.*; name another folder for DST"),
    ("prepare bag {bag} {scene}", "{scene}/train is there already .*: remove it"),
    ("prepare 7scenes {none} {new}", "{none} cannot be read: there is no"),
    ("prepare 7scenes {empty} {new}", "{empty} has none of chess"),
    ("prepare 7scenes {text} {new}", "{text}"),
    ("prepare 7scenes {empty} {text}", "{text}.*; name another folder for DST"),
    ("prepare 7scenes {seven} {new} --sfm {none}", "{none}"),
    ("prepare cambridge {empty} {new}", "{empty} has none of"),
    ("prepare aachen {empty} {new}", "{empty}"),
    ("prepare rooms {empty} {scene}", "LIST.txt {empty} is a folder"),
    ("prepare rooms {text}/x {scene}", "LIST.txt {text}/x cannot be written"),
    ("prepare rooms {new} {empty}", "{empty} holds neither rgb nor train/rgb"),
    ("prepare rooms {new} {none}", "{none} is no folder with train/rgb"),
    ("benchmark 7scenes --data {none}", "{none}/7scenes_chess/train is not there: make it"),
    ("benchmark 7scenes --data {none} --scenes moon", "--scenes moon: 7scenes has chess, "),
    ("benchmark cambridge --data {none} --sfm", "--sfm: cambridge has one kind of poses"),
    ("benchmark 7scenes --data {none} --ablation", "--ablation: the paper has none of 7scenes"),
    ("benchmark 7scenes --data {data} --scenes chess --output {text}", "--output {text}/.*cannot"),
    ("covisibility --bag {none}", "no bag at {none}"),
    ("covisibility --scene {empty}", "{empty} holds neither rgb"),
    ("covisibility --bag {bag} --json {new} --html {new}", "--html and --json .* same file"),
    ("covisibility --bag {bag} --html {text}/x", "--html {text}/x cannot be written"),
    ("covisibility --bag {bag} --global-encoder r2former:{none}", "no weights {none}"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> SimpleNamespace:
    """Files and folders, right and wrong ones."""
    folder = tmp_path_factory.mktemp("places")
    bag = write_drive(folder / "drive", images=3)
    (bag_file,) = [file for file in bag.iterdir() if file.suffix in (".db3", ".mcap")]
    other = write_drive(folder / "other", images=3, first_picture=9)
    truck = write_drive(folder / "truck", images=3, base_frame="truck")
    cut = folder / "cut"
    cut.mkdir()
    for file in bag.iterdir():
        data = file.read_bytes()
        (cut / file.name).write_bytes(data[: len(data) // 2] if file == bag_file else data)
    scene = folder / "scene"
    assert glace(["prepare", "bag", str(bag), str(scene)]) == 0
    (scene / "train" / "prepared.json").unlink()
    for split in ("train", "test"):
        (folder / "data" / "7scenes_chess" / split / "rgb").mkdir(parents=True)
    (folder / "seven" / "chess").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "text.txt").write_text("hello\n")
    tiny_map(local_encoder_hash=weights_hash([NetworkName("xfeat")])).save(folder / "map.glace")
    whole = (folder / "map.glace").read_bytes()
    (folder / "cut.glace").write_bytes(whole[: len(whole) // 2])
    shapes = {name: tuple(part.shape) for name, part in AceNetwork().state_dict().items()}
    torch.save(seeded(shapes, 1), folder / "ace.pt")
    return SimpleNamespace(
        none=folder / "none", empty=folder / "empty", text=folder / "text.txt", bag=bag, cut=cut,
        bag_file=bag_file, scene=scene, truck=truck, other=other, data=folder / "data",
        seven=folder / "seven",
        map=folder / "map.glace", cut_map=folder / "cut.glace", ace=folder / "ace.pt",
    )  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence_that_names_it(
    places, words, expected, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    before = sorted(os.listdir(places.empty.parent))
    program, named = words.split()[0], vars(places) | {"new": tmp_path / "new"}
    capsys.readouterr()
    code = glace([word.format(**named) for word in words.split()])
    stderr = capsys.readouterr().err
    assert code not in (0, 130)
    assert "Traceback" not in stderr
    said = [line for line in stderr.splitlines() if line.startswith(f"{program}: ")]
    assert len(said) == 1, stderr
    assert stderr.rstrip().endswith(said[0])
    paths = {name: re.escape(str(path)) for name, path in named.items()}
    assert re.search(expected.format(**paths), said[0]), said[0]
    assert sorted(os.listdir(places.empty.parent)) == before
