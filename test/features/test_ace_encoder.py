"""The paper's local encoder: the published network's features, at the pixels that they look at."""

import os
import pickle

import numpy as np
import pytest
import torch
from support.core_scenes import patchwork, rgb
from support.published_networks import GOLDEN, picture, seeded, some

from glace_ros.commands.build_map_config import map_builder_config
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.errors import GlaceError, WeightsError
from glace_ros.features.ace_encoder import AceEncoder, AceNetwork, spread_order
from glace_ros.features.encoder_names import LocalEncoderName, NetworkName
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.preprocessing import encode_image, to_tensor, working_size
from glace_ros.features.weights_location import check_weights, found_beside
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.localizer import Localizer
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.map_builder_config import MapBuilderConfig
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.maps.coordinate_head import CoordinateHeadConfig
from glace_ros.maps.map_metadata import RecordingDescription
from glace_ros.maps.scene_map import SceneMap
from glace_ros.recording.posed_images import PosedImage

CPU = torch.device("cpu")


def ace_weights() -> dict[str, torch.Tensor]:
    return seeded({k: tuple(v.shape) for k, v in AceNetwork().state_dict().items()}, seed=1)


@pytest.fixture(scope="module")
def weights_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "ace_encoder.pt"
    torch.save(ace_weights(), path)
    return path


@pytest.fixture(scope="module")
def encoder(weights_path):
    return local_encoder(f"ace:{weights_path}", CPU)


def test_features_are_those_of_the_published_network(encoder):
    grey_hw = picture(48, 64, 1)[..., 0]
    features = encoder.encode(to_tensor(grey_hw, CPU), 48)
    u_n, v_n = ((features.pixels_n2 + 0.5) / 8).long().T
    dense_chw = torch.empty(512, 6, 8)
    dense_chw[:, v_n, u_n] = features.descriptors_nC.T
    assert some(dense_chw) == pytest.approx(GOLDEN["encoder"], abs=1e-5)


def test_a_cell_looks_at_its_centre(encoder):
    """8 * (i + 0.5) from the image's corner; ours are counted from the first pixel's centre."""
    features = encoder.encode(to_tensor(picture(48, 64, 1)[..., 0], CPU), 48)
    assert sorted(set(features.pixels_n2[:, 0].tolist())) == [8 * i + 3.5 for i in range(8)]
    assert sorted(set(features.pixels_n2[:, 1].tolist())) == [8 * i + 3.5 for i in range(6)]
    # each descriptor stays with its pixel, however few are asked for
    few = encoder.encode(to_tensor(picture(48, 64, 1)[..., 0], CPU), 7)
    assert all(torch.equal(a[:7], b) for a, b in zip(features, few, strict=True))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (640, 480)),
        ((320, 240), (640, 480)),
        ((240, 320), (480, 640)),  # portrait: the focal lengths follow the axes (defect 1)
        ((1920, 1080), (856, 480)),
    ],
)
def test_every_image_is_encoded_with_a_short_side_of_480(size, expected):
    camera = Camera(*size, 500.0, 500.0, size[0] / 2, size[1] / 2)

    class SmallEncoder:
        device, size_multiple_px, enlarges = CPU, 8, True

        def encode(self, grey_11HW, count, valid_HW=None):
            assert grey_11HW.shape == (1, 1, expected[1], expected[0])

    assert AceEncoder.size_multiple_px == 8
    assert AceEncoder.enlarges
    image_hwc = rgb(np.zeros(size[::-1], np.uint8))
    _, working, _ = encode_image(SmallEncoder(), image_hwc, camera, 480, 10)
    assert working.fx_px == pytest.approx(500.0 * expected[0] / size[0])
    assert working.fy_px == pytest.approx(500.0 * expected[1] / size[1])
    assert working_size(*size, 480, 8, enlarge=True) == expected


@pytest.mark.parametrize("count", [8, 100, 1000])
def test_the_first_cells_cover_the_image_evenly(count):
    order_n = spread_order(60, 80)
    assert torch.equal(order_n.sort().values, torch.arange(4800))
    i_n, j_n = order_n[:count] // 80, order_n[:count] % 80
    share = torch.histogramdd(
        torch.stack([i_n, j_n], dim=1).float(), [2, 2], range=[0.0, 60.0, 0.0, 80.0]
    ).hist / count  # fmt: skip
    assert (share - 0.25).abs().max() <= 1.0 / count**0.5 / 2
    nearest_n = torch.cdist(*[torch.stack([i_n, j_n], dim=1).float()] * 2)
    nearest_n.fill_diagonal_(1e3)
    # blue noise rather than white: nobody has a neighbour much nearer than an even grid would
    assert nearest_n.min() > 0.4 * (4800 / count) ** 0.5


def test_no_cell_lies_outside_of_the_valid_mask(encoder):
    valid_HW = torch.zeros(48, 64, dtype=torch.bool)
    valid_HW[8:33, 12:50] = True
    pixels_n2 = encoder.encode(torch.zeros(1, 1, 48, 64), 100, valid_HW).pixels_n2
    assert sorted(set(pixels_n2[:, 0].tolist())) == [19.5, 27.5, 35.5, 43.5]
    assert sorted(set(pixels_n2[:, 1].tolist())) == [11.5, 19.5, 27.5]
    assert len(pixels_n2) == 12


class Malice:
    """Unpickled, it would leave a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_with_code_is_refused_and_runs_nothing(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"conv1.weight": Malice(trace)}, tmp_path / "torch.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"conv1.weight": Malice(trace)}))
    for name in ("torch.pt", "plain.pt"):
        with pytest.raises(WeightsError, match=f"{name} is no file of weights alone") as caught:
            AceEncoder(NetworkName("ace", str(tmp_path / name)), CPU)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 5
    assert not trace.exists()


def test_a_wrong_file_is_named(tmp_path, weights_path):
    def refusal(content) -> str:
        path = tmp_path / "wrong.pt"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(WeightsError) as caught:
            AceEncoder(NetworkName("ace", str(path)), CPU)
        assert str(path) in str(caught.value)
        return str(caught.value)

    whole = ace_weights()
    assert "not a whole file" in refusal(weights_path.read_bytes()[:5000])
    assert "no dictionary" in refusal([torch.zeros(3)])
    assert "'conv1.weight' must be a tensor [32, 1, 3, 3], there is none" in refusal({})
    assert "there is [32, 3, 3, 3]" in refusal(whole | {"conv1.weight": torch.zeros(32, 3, 3, 3)})
    assert "not finite" in refusal(whole | {"conv2.bias": torch.full((64,), torch.nan)})
    assert "'more.bias' besides" in refusal(whole | {"more.bias": torch.zeros(1)})
    with pytest.raises(WeightsError, match="there are no weights .*nothing.pt"):
        AceEncoder(NetworkName("ace", str(tmp_path / "nothing.pt")), CPU)
    with pytest.raises(WeightsError, match="name the file"):
        local_encoder("ace:", CPU)


def test_a_map_names_the_file_but_not_its_folder(tmp_path, monkeypatch, encoder, weights_path):
    xfeat, bare = NetworkName("xfeat"), NetworkName("ace", "ace_encoder.pt")
    there = NetworkName("ace", str(weights_path))
    assert there.without_folder() == bare
    assert xfeat.without_folder() == found_beside(xfeat, tmp_path) == xfeat
    assert found_beside(bare, weights_path.parent) == there
    # a map from elsewhere leads nowhere but beside itself
    assert found_beside(there, tmp_path) == bare
    with pytest.raises(WeightsError, match="put it beside the map, or .* GLACE_WEIGHTS"):
        check_weights([bare], encoder.weights_hash)
    monkeypatch.setenv("GLACE_WEIGHTS", str(weights_path.parent))
    network = found_beside(NetworkName("ace", "../elsewhere/ace_encoder.pt"), tmp_path)
    assert network == there
    check_weights([network], encoder.weights_hash)
    with pytest.raises(WeightsError, match=f"{weights_path} holds other weights"):
        check_weights([network], "0" * 64)


@pytest.mark.parametrize("file", ["x" * 300, "a\0b", "..", ""])
def test_a_name_that_is_none_is_not_found(tmp_path, file):
    network = NetworkName("ace", file)
    assert found_beside(network, tmp_path) == network.without_folder()
    with pytest.raises(WeightsError):
        check_weights([found_beside(network, tmp_path)], "0" * 64)


@pytest.mark.slow
def test_a_map_of_cells_is_built_saved_and_localizes(tmp_path, weights_path):
    """Whatever needs corners is left out, and 512 numbers of no unit norm go where 64 do."""
    rng = np.random.default_rng(0)
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
    config = MapBuilderConfig(
        minutes=0.0,
        local_encoder=f"ace:{weights_path}",
        sigma=0.1,
        buffer=FeatureBufferConfig(patches=20, short_side_px=48),
        trainer=MapTrainerConfig(batch=64, iterations=3),
        head=CoordinateHeadConfig(width=16),
    )
    builder = MapBuilder(config, CPU)
    images = (
        PosedImage(
            stamp, rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), camera,
            Pose(np.eye(3), np.array([0.1 * stamp, 0.0, 0.0])),
        )
        for stamp in range(12)
    )  # fmt: skip
    encoded = builder.encode(images, builder.no_views())
    prepared = builder.prepare(encoded)
    trained = builder.train(prepared)
    description = RecordingDescription(
        "map", "base", "camera", "/image", "/info", camera, "bag", "0" * 64
    )
    scene_map = builder.scene_map(prepared, trained, description)
    assert scene_map.landmarks is None
    assert scene_map.metadata.head.local_channels == 512
    assert scene_map.metadata.local_encoder == f"ace:{weights_path}"
    words, channels = scene_map.global_encoder.vocabulary_wC.shape
    assert (words, channels) == (16, 512)
    features = scene_map.global_encoder.encode(encoded.views[0].features)
    assert torch.isfinite(features).all()
    path = weights_path.parent / "map.glace"
    scene_map.save(path)
    assert str(weights_path.parent).encode() not in path.read_bytes()
    localizer = Localizer(SceneMap.load(path), device="cpu")
    result = localizer.localize(np.zeros((48, 64, 3), np.uint8), camera)
    assert result.points == 48
    # the same features meet the same network, as they are
    regression = localizer.regress(picture(48, 64, 3), camera)
    code_nG = regression.global_descriptor().expand(48, -1)
    expected_n3 = scene_map.heads[0](
        torch.cat([code_nG, regression.features.descriptors_nC], dim=1)
    )
    assert regression.points_n3() == pytest.approx(expected_n3.numpy(), abs=1e-4)


def test_both_encoders_together_look_where_xfeat_does(weights_path, encoder):
    both = local_encoder(f"xfeat+ace:{weights_path}", CPU)
    grey_11HW = to_tensor(patchwork(96, 64), CPU)
    valid_HW = torch.zeros(64, 96, dtype=torch.bool)
    valid_HW[10:50, 10:90] = True
    found = both.encode(grey_11HW, 40, valid_HW)
    alone = XFeatEncoder(CPU).encode(grey_11HW, 40, valid_HW)
    assert torch.equal(found.pixels_n2, alone.pixels_n2)
    assert found.descriptors_nC.shape == (len(alone.scores_n), 64 + 512) == (40, both.channels)
    assert torch.allclose(found.descriptors_nC[:, :64], 8 * alone.descriptors_nC)
    # what ACE's cells say, weighted by how near the patch is to their centres
    dense_chw = encoder.dense(grey_11HW)
    for (u, v), descriptor_C in zip(found.pixels_n2[:5].tolist(), found[0][:5], strict=True):
        near_u, near_v = (
            (1 - ((8 * torch.arange(cells) + 3.5 - place).abs() / 8)).clamp(min=0)
            for cells, place in ((12, u), (8, v))
        )
        expected_C = torch.einsum("chw,h,w->c", dense_chw, near_v, near_u)
        assert torch.allclose(descriptor_C[64:], expected_C, atol=1e-3)
    # the hash is of both, and a map finds the file
    assert both.weights_hash not in (encoder.weights_hash, XFeatEncoder(CPU).weights_hash)
    name = LocalEncoderName.parse(both.name)
    check_weights(name.networks, both.weights_hash)
    with pytest.raises(WeightsError, match="other weights"):
        check_weights(name.networks, encoder.weights_hash)
    bare = name.with_networks(NetworkName.without_folder)
    assert str(bare) == "xfeat+ace:ace_encoder.pt"
    assert bare.with_networks(lambda each: found_beside(each, weights_path.parent)) == name


def test_landmarks_are_refused_for_an_encoder_of_cells():
    words = ["--bag", "x", "--local-encoder", "ace:f.pt"]
    with pytest.raises(
        GlaceError, match="--landmarks 100: 'ace:f.pt' has no descriptors of corners"
    ):
        map_builder_config(build_map_parser(None).parse_args([*words, "--landmarks", "100"]))
    config = map_builder_config(build_map_parser(None).parse_args(words))
    assert config.local_encoder == "ace:f.pt"
