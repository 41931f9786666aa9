"""A map file on its way into the live node: what is checked at once, and what the node gets."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy")

from support.core_scenes import tiny_map

from glace_ros.errors import MapFileError, WeightsError
from glace_ros.features.global_encoder import VladEncoder
from glace_ros.features.local_encoder import local_encoder
from glace_ros.localization.localizer import Localizer
from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig
from glace_ros.maps.scene_map import SceneMap
from glace_ros.node.localizing.map_loading import read_map
from glace_ros.node.ros_interface.parameters import LocalizeParameters

POSITIONS_V3 = torch.tensor([[1.0, 2.0, 0.5], [-3.0, 4.0, 0.5]])


@pytest.fixture(scope="module")
def weights_hash():
    return local_encoder("xfeat", torch.device("cpu")).weights_hash


def parameters_of(path) -> LocalizeParameters:
    return LocalizeParameters(map=str(path), device="cpu")


def map_with_views(weights_hash, **changes) -> SceneMap:
    torch.manual_seed(0)
    encoder = VladEncoder(
        torch.randn(4, 64), torch.randn(256), torch.randn(6, 256), 30,
        views_vG=torch.randn(2, 6), positions_v3=POSITIONS_V3,
    )  # fmt: skip
    head = CoordinateHeadConfig(width=16, global_channels=6)
    metadata = replace(
        tiny_map().metadata, global_encoder="vlad", vlad_patches=30, head=head,
        local_encoder_hash=weights_hash, origin_m=(1000.0, -2000.0, 3.0), **changes,
    )  # fmt: skip
    return SceneMap(metadata, [CoordinateHead(head)], encoder)


def test_views_are_in_the_frame_of_the_map(tmp_path, weights_hash):
    path = tmp_path / "views.glace"
    map_with_views(weights_hash).save(path)
    loaded = read_map(parameters_of(path)).make_ready()
    np.testing.assert_allclose(loaded.views_v3, POSITIONS_V3.numpy() + [1000.0, -2000.0, 3.0])
    assert loaded.map_id.startswith("views.glace ")


def test_without_a_name_it_is_the_newest_map(tmp_path, weights_hash, monkeypatch):
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    parameters = LocalizeParameters(device="cpu")
    with pytest.raises(MapFileError, match=r"'map' is empty and there is no .*latest\.glace: give"):
        read_map(parameters)
    folder = tmp_path / "glace"
    folder.mkdir()
    tiny_map().with_metadata(local_encoder_hash=weights_hash).save(folder / "office.glace")
    (folder / "latest.glace").symlink_to("office.glace")
    assert read_map(parameters).make_ready().map_id.startswith("office.glace ")


def test_a_blank_image_of_the_map_s_camera_warms_the_localizer(tmp_path, weights_hash, monkeypatch):
    path, encoded, regress = tmp_path / "plain.glace", [], Localizer.regress
    scene_map = tiny_map().with_metadata(local_encoder_hash=weights_hash)
    scene_map.save(path)
    monkeypatch.setattr(
        Localizer, "regress",
        lambda self, image, camera: encoded.append(image) or regress(self, image, camera),
    )  # fmt: skip
    checked = read_map(parameters_of(path))
    assert encoded == []
    checked.make_ready()
    camera = scene_map.metadata.camera
    assert [image.shape for image in encoded] == [(camera.height_px, camera.width_px, 3)]


def test_a_map_without_views_has_none(tmp_path, weights_hash):
    path = tmp_path / "plain.glace"
    tiny_map().with_metadata(local_encoder_hash=weights_hash).save(path)
    assert read_map(parameters_of(path)).make_ready().views_v3 is None


def test_a_map_that_was_moved_gives_other_poses(tmp_path, weights_hash):
    path = tmp_path / "map.glace"
    scene_map = map_with_views(weights_hash)
    scene_map.save(path)
    first, again = (read_map(parameters_of(path)).make_ready() for _ in range(2))
    assert first.gives_poses_of(again)
    copy = tmp_path / "a copy.glace"
    copy.write_bytes(path.read_bytes())
    copied = read_map(parameters_of(copy)).make_ready()
    assert copied.map_id != first.map_id
    assert copied.gives_poses_of(first)
    torch.manual_seed(1)
    heads = [CoordinateHead(scene_map.metadata.head)]
    SceneMap(scene_map.metadata, heads, scene_map.global_encoder).save(copy)
    assert not read_map(parameters_of(copy)).make_ready().gives_poses_of(first)
    scene_map.with_metadata(origin_m=(0.0, 0.0, 0.0)).save(path)
    moved = read_map(parameters_of(path)).make_ready()
    assert moved.map_id == first.map_id  # the weights are the same
    assert not moved.gives_poses_of(first)


def test_contents_differ_wherever_the_file_does(tmp_path, weights_hash):
    path, copy = tmp_path / "map.glace", tmp_path / "copy.glace"
    scene_map = map_with_views(weights_hash)
    scene_map.save(path)
    contents = read_map(parameters_of(path)).contents
    assert read_map(parameters_of(path)).contents == contents
    copy.write_bytes(path.read_bytes())
    assert read_map(parameters_of(copy)).contents != contents  # ~/status is to say its name
    for changed in ({"origin_m": (0.0, 0.0, 0.0)}, {"min_inlier_ratio": 0.2}):
        scene_map.with_metadata(**changed).save(path)
        assert read_map(parameters_of(path)).contents != contents
    map_with_views(weights_hash, held_out={"frames": 20, "median_m": 0.01}).save(path)
    assert read_map(parameters_of(path)).contents == read_map(parameters_of(path)).contents


def test_what_is_wrong_with_a_file_is_known_before_the_device_has_work(tmp_path, weights_hash):
    path = tmp_path / "map.glace"
    with pytest.raises(MapFileError, match="there is no map file"):
        read_map(parameters_of(path))
    map_with_views(weights_hash).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MapFileError, match=r"is not a whole \.glace map"):
        read_map(parameters_of(path))
    map_with_views("of another release").save(path)
    with pytest.raises(WeightsError, match="other weights of 'xfeat' than are here"):
        read_map(parameters_of(path))


UNTIL_A_MAP_IS_WANTED = """
import sys
from glace_ros.commands import localize
from glace_ros.node.ros_interface.parameters import LocalizeParameters
before = "torch" in sys.modules
try:
    localize.read_map(LocalizeParameters(map="/no.glace"))
except localize.import_module("glace_ros.errors").MapFileError:
    print("torch imported:", before, "torch" in sys.modules)
"""


def test_the_node_comes_up_without_torch():
    process = subprocess.run(
        [sys.executable, "-c", UNTIL_A_MAP_IS_WANTED],
        capture_output=True, text=True, timeout=150.0, check=True,
    )  # fmt: skip
    assert process.stdout.strip() == "torch imported: False True"


def test_networks_take_as_many_threads_as_the_parameter_says(tmp_path, weights_hash):
    path = tmp_path / "views.glace"
    map_with_views(weights_hash).save(path)
    before, taken = torch.get_num_threads(), []
    try:
        for threads in (3, 0):  # 0 leaves them as they are
            read_map(replace(parameters_of(path), threads=threads)).make_ready()
            localizing = threading.Thread(target=lambda: taken.append(torch.get_num_threads()))
            localizing.start()
            localizing.join()
    finally:
        torch.set_num_threads(before)
    assert taken == [3, 3]
