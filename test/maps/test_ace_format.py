"""Maps as the published code saves them: the same points, and the same file again."""

import os

import numpy as np
import pytest
import torch
from support.core_scenes import tiny_map
from support.published_networks import GOLDEN, HEADS, head_inputs, official_head

from glace_ros.errors import MapFileError
from glace_ros.maps.ace_export import official_paths, write_official_map
from glace_ros.maps.ace_format import read_official_ensemble, read_official_map
from glace_ros.maps.scene_map import SceneMap


class Encoder:
    """Stands for one of which only name and size matter here."""

    weights_hash = "1" * 64

    def __init__(self, name: str, channels: int) -> None:
        self.name, self.channels = name, channels


ACE = Encoder("ace:/where/ever/ace_encoder.pt", 512)
R2FORMER = Encoder("r2former:/where/ever/codes.pth", 256)


def imported(tensors, tmp_path, local=ACE, codes=None) -> SceneMap:
    torch.save(tensors, tmp_path / "published.pt")
    return read_official_map(tmp_path / "published.pt", local, codes)


@pytest.mark.parametrize("name", HEADS)
def test_an_imported_map_gives_the_published_points(name, tmp_path):
    codes = R2FORMER if HEADS[name][0] == 768 else None
    imported(official_head(name), tmp_path, codes=codes).save(tmp_path / "map.glace")
    scene_map = SceneMap.load(tmp_path / "map.glace")
    input_nC = head_inputs(name)
    points = []
    for row_C in input_nC:
        descriptor_G = row_C[:256] if codes else None
        points.append(scene_map.points(row_C[None, 256 if codes else 0 :], descriptor_G)[0, 0])
    expected_n3 = np.array(GOLDEN[name]).reshape(-1, 3)
    np.testing.assert_allclose(torch.stack(points).numpy(), expected_n3, atol=1e-4, rtol=0)
    assert scene_map.metadata.head.clusters == HEADS[name][4]
    assert scene_map.metadata.short_side_px == 480


@pytest.mark.parametrize("name", HEADS)
def test_an_exported_map_is_the_imported_one_to_the_bit(name, tmp_path):
    tensors = official_head(name)
    codes = R2FORMER if HEADS[name][0] == 768 else None
    imported(tensors, tmp_path, codes=codes).save(tmp_path / "map.glace")
    moved_m = write_official_map(SceneMap.load(tmp_path / "map.glace"), tmp_path / "again.pt")
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert set(again) == set(tensors)
    for key, tensor in tensors.items():
        assert again[key].dtype == torch.float16
        assert torch.equal(again[key], tensor)
        assert again[key].shape == tensor.shape
    assert moved_m == 0.0


def test_published_maps_of_parts_of_a_scene_become_one_and_come_back_to_the_bit(tmp_path):
    """As ACE's Poker leaves them: a file for each cluster of the cameras."""
    parts = [official_head("ace") for _ in range(3)]
    for part in range(1, 3):
        parts[part]["fc1.bias"] = parts[part]["fc1.bias"] + part
        parts[part]["mean"] = parts[part]["mean"] - 7 * part
    given = [tmp_path / f"{part}_3.pt" for part in range(3)]
    for tensors, path in zip(parts, given, strict=True):
        torch.save(tensors, path)
    read_official_ensemble(given, ACE).save(tmp_path / "map.glace")
    scene_map = SceneMap.load(tmp_path / "map.glace")
    assert scene_map.metadata.heads == 3
    assert scene_map.metadata.training == {"imported_from": "0_3.pt, 1_3.pt, 2_3.pt"}
    points_hn3 = scene_map.points(head_inputs("ace"), None)
    for points_n3, path in zip(points_hn3, given, strict=True):
        alone = read_official_map(path, ACE).points(head_inputs("ace"), None)
        assert torch.equal(alone[0], points_n3)
    assert write_official_map(scene_map, tmp_path / "back.pt") == 0.0
    back = official_paths(tmp_path / "back.pt", 3)
    assert [path.name for path in back] == ["back_0.pt", "back_1.pt", "back_2.pt"]
    for tensors, path in zip(parts, back, strict=True):
        again = torch.load(path, weights_only=True)
        assert all(torch.equal(again[key], tensor) for key, tensor in tensors.items())
    assert not (tmp_path / "back.pt").exists()


def test_published_maps_that_differ_in_shape_do_not_become_one(tmp_path):
    wider = official_head("ace") | {"max_scale": torch.tensor([8.0]).half()}
    for name, tensors in (("a.pt", official_head("ace")), ("b.pt", wider)):
        torch.save(tensors, tmp_path / name)
    with pytest.raises(MapFileError, match=r"a\.pt and .*b\.pt differ in shape"):
        read_official_ensemble([tmp_path / "a.pt", tmp_path / "b.pt"], ACE)
    with pytest.raises(MapFileError, match="65 maps: one map holds 64 heads at most"):
        read_official_ensemble([tmp_path / "a.pt"] * 65, ACE)


def test_a_head_without_homogeneous_coordinates_is_one_too(tmp_path):
    tensors = official_head("ace")
    for name in ("max_scale", "min_scale", "max_inv_scale", "min_inv_scale", "h_beta"):
        del tensors[name]
    for name in ("fc3.weight", "fc3.bias"):
        tensors[name] = tensors[name][:3]
    scene_map = imported(tensors, tmp_path)
    assert scene_map.points(head_inputs("ace"), None).shape == (1, 6, 3)
    write_official_map(scene_map, tmp_path / "again.pt")
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert all(torch.equal(again[key], tensor) for key, tensor in tensors.items())
    assert len(again) == len(tensors)


def test_nothing_is_made_up_about_an_imported_map(tmp_path):
    metadata = imported(official_head("ace"), tmp_path).metadata
    assert metadata.held_out is None
    assert metadata.camera is None
    assert (metadata.map_frame, metadata.base_frame, metadata.camera_frame) == ("", "", "")
    assert metadata.origin_m == (0.0, 0.0, 0.0)
    assert metadata.local_encoder_hash == ACE.weights_hash


def test_a_wrong_file_is_named_and_says_what_is_wrong(tmp_path):
    def refusal(codes=None, local=ACE, without=(), **changes) -> str:
        tensors = official_head("ace") | changes
        for name in without:
            del tensors[name]
        with pytest.raises(MapFileError) as caught:
            imported(tensors, tmp_path, local, codes)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert caught.value.exit_code == 4
        return sentence

    half = torch.zeros
    assert "no tensor 'res3_conv1.weight'" in refusal(without=["res3_conv1.weight"])
    assert "no tensor 'fc1.bias'" in refusal(without=["fc1.bias"])
    assert "'0c1.bias' has the wrong shape" in refusal(**{"0c1.bias": half(3)})
    assert "'fc3.weight' gives 5 numbers" in refusal(**{"fc3.weight": half(5, 512, 1, 1)})
    assert "'mean' has the wrong shape" in refusal(mean=half(1, 4, 1, 1))
    assert "it has 'encoder.bias' besides" in refusal(**{"encoder.bias": half(3)})
    assert "no finite fp16" in refusal(**{"fc2.bias": torch.full((512,), 1e30)})
    assert "not of positive numbers" in refusal(h_beta=half(1))
    assert "takes none: leave out --global" in refusal(codes=R2FORMER)
    wider = Encoder("ace:wide.pt", 640)
    assert "takes features of 512 numbers, the local encoder gives 640" in refusal(local=wider)
    with pytest.raises(MapFileError, match=r"a global code of 256 numbers .* --global r2former"):
        imported(official_head("glace_k1"), tmp_path)
    with pytest.raises(MapFileError, match="there is no file"):
        read_official_map(tmp_path / "nothing.pt", ACE)


def test_a_map_with_code_in_it_is_refused_and_runs_nothing(tmp_path):
    class Malice:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trace"),)

    with pytest.raises(MapFileError, match="published.pt is no file of weights alone"):
        imported(official_head("ace") | {"mean": Malice()}, tmp_path)
    assert not (tmp_path / "trace").exists()


def test_what_the_published_code_cannot_use_is_not_exported(tmp_path):
    def refusal(scene_map) -> str:
        with pytest.raises(MapFileError, match="the map cannot be exported") as caught:
            write_official_map(scene_map, tmp_path / "out.pt")
        assert not (tmp_path / "out.pt").exists()
        return str(caught.value)

    assert "the local encoder 'xfeat'" in refusal(tiny_map())
    ours = imported(official_head("ace"), tmp_path)
    assert "'vlad'" in refusal(ours.with_metadata(global_encoder="vlad"))
    far = ours.with_metadata(origin_m=(448_262.1, 4_500_000.9, 215.5))
    assert "65 km" in refusal(far)
    # defect 3 of the reference: it is said by how much a map moves
    near = ours.with_metadata(origin_m=(700.3, 0.0, 0.0))
    assert 0.0 < write_official_map(near, tmp_path / "out.pt") < 0.3
