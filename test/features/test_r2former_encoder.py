"""The paper's global encoder: the published network's code of an image."""

import numpy as np
import pytest
import torch
from support.published_networks import GOLDEN, picture, seeded, some

from glace_ros.errors import WeightsError
from glace_ros.features.encoder_names import NetworkName
from glace_ros.features.r2former_encoder import R2FormerEncoder, R2FormerNetwork
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.localizer import Localizer
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.map_builder_config import MapBuilderConfig
from glace_ros.mapping.resume.encoding_journal import EncodingJournal
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.views.augmentation import AugmentationConfig
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.maps.coordinate_head import CoordinateHeadConfig
from glace_ros.maps.map_metadata import RecordingDescription
from glace_ros.maps.scene_map import SceneMap
from glace_ros.ranks import Ranks
from glace_ros.recording.posed_images import PosedImage

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint():
    """As it is published: the weights among what training goes on from, numpy's numbers too."""
    shapes = {name: tuple(part.shape) for name, part in R2FormerNetwork().state_dict().items()}
    weights = {f"module.backbone.{name}": part for name, part in seeded(shapes, seed=2).items()}
    return {
        "epoch_num": 7,
        "model_state_dict": {**weights, "module.Reranker.norm.bias": torch.zeros(32)},
        "recalls": np.array([70.5, 80.25]),
        "best_r5": np.float64(80.25),
        "not_improved_num": 3,
    }


@pytest.fixture(scope="module")
def encoder(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "deit.pth"
    torch.save(checkpoint, path)
    return R2FormerEncoder(NetworkName("r2former", str(path)), CPU)


def test_the_code_is_that_of_the_published_network(encoder):
    descriptor_G = encoder.encode(picture(96, 150, 3))
    assert descriptor_G.shape == (encoder.channels,) == (256,)
    assert some(descriptor_G) == pytest.approx(GOLDEN["r2former"], abs=1e-5)
    assert descriptor_G.norm().item() == pytest.approx(1.0, abs=1e-5)


def test_a_wrong_checkpoint_is_named(checkpoint, tmp_path):
    def refusal(content) -> str:
        torch.save(content, tmp_path / "wrong.pth")
        with pytest.raises(WeightsError, match="wrong.pth") as caught:
            R2FormerEncoder(NetworkName("r2former", str(tmp_path / "wrong.pth")), CPU)
        return str(caught.value)

    assert "no 'model_state_dict'" in refusal({"epoch_num": 3})
    assert "'cls_token' must be a tensor [1, 1, 384], there is none" in refusal(
        {"model_state_dict": {}}
    )
    small = {"module.backbone.cls_token": torch.zeros(1, 1, 192)}
    assert "there is [1, 1, 192]" in refusal({"model_state_dict": small})
    with pytest.raises(WeightsError, match="name the file with the weights of r2former"):
        R2FormerEncoder(NetworkName("r2former", ""), CPU)


class MeanColour:
    """Stands for the transformer, which takes a second for an image."""

    channels, weights_hash = 4, "2" * 64

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = name

    def encode(self, image_rgb_hwc: np.ndarray) -> torch.Tensor:
        assert image_rgb_hwc.dtype == np.uint8
        colour_3 = torch.from_numpy(image_rgb_hwc.reshape(-1, 3).mean(axis=0)).float() / 255.0
        return torch.nn.functional.normalize(torch.cat([colour_3, torch.ones(1)]), dim=0)


def posed_images(count: int, camera: Camera) -> list[PosedImage]:
    """A drive past walls of other colours."""
    rng = np.random.default_rng(0)
    colours_n3 = rng.integers(0, 200, (count, 3))
    return [
        PosedImage(
            index, rng.integers(0, 55, (48, 64, 3), dtype=np.uint8) + np.uint8(colours_n3[index]),
            camera, Pose(np.eye(3), np.array([0.3 * index, 0.0, 0.0])),
        )
        for index in range(count)
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [0, 2])
def test_every_image_has_one_code_in_mapping_and_localization(tmp_path, monkeypatch, clusters):
    """Its own, or the nearest of K."""
    for module in ("mapping.map_builder", "localization.localizer"):
        monkeypatch.setattr(f"glace_ros.{module}.R2FormerEncoder", MeanColour)
    (tmp_path / "codes.pth").write_bytes(b"")
    hashed = MeanColour.weights_hash
    monkeypatch.setattr("glace_ros.features.weights_location._hash", lambda *_: hashed)
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
    config = MapBuilderConfig(
        minutes=0.0, sigma=0.1,
        global_encoder=f"kmeans:{clusters}+" * bool(clusters) + f"r2former:{tmp_path}/codes.pth",
        buffer=FeatureBufferConfig(patches=20, short_side_px=32),
        trainer=MapTrainerConfig(batch=64, iterations=2), head=CoordinateHeadConfig(width=16),
    )  # fmt: skip
    builder, images = MapBuilder(config, CPU), posed_images(12, camera)
    collected = builder.no_views()
    journal = EncodingJournal(tmp_path / "journal", "f", collected, dict, every_s=1e9)
    encoded = builder.encode(images, collected)
    expected_vG = torch.stack([MeanColour("", CPU).encode(image.image_rgb_hwc) for image in images])
    assert torch.equal(encoded.views.descriptors_vG, expected_vG)
    journal.save()
    # a run that was killed goes on with the same codes
    resumed = MapBuilder(config, CPU).no_views()
    EncodingJournal(tmp_path / "journal", "f", resumed, dict).restore()
    assert torch.equal(resumed.views.descriptors_vG, expected_vG)
    prepared = builder.prepare(encoded)
    trained = builder.train(prepared)
    description = RecordingDescription(
        "map", "base", "camera", "/image", "/info", camera, "bag", "0" * 64
    )
    scene_map = builder.scene_map(prepared, trained, description)
    assert scene_map.metadata.head.global_channels == 4
    assert scene_map.metadata.global_encoder_hash == hashed
    assert prepared.descriptors.statistics is not None  # measured: the diffusion's sigma can follow
    scene_map.save(tmp_path / "map.glace")
    loaded = SceneMap.load(tmp_path / "map.glace")
    assert loaded.metadata.global_encoder == config.global_encoder
    assert (loaded.metadata.sigma == 0.0) == bool(clusters)
    regression = Localizer(loaded, device="cpu").regress(images[3].image_rgb_hwc, camera)
    expected_G = expected_vG[3]
    if clusters:
        centres_kG = loaded.global_encoder.centres_kG
        assert centres_kG.shape == (clusters, 4)
        expected_G = centres_kG[torch.cdist(expected_vG, centres_kG)[3].argmin()]
    assert torch.equal(regression.global_descriptor(), expected_G)
    (expected_n3,) = loaded.points(regression.features.descriptors_nC, expected_G)
    assert np.array_equal(regression.points_n3(), expected_n3.numpy())


def test_codes_of_several_ranks_are_put_together(monkeypatch):
    """Each has zeros for the views of the others."""
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
    images, parts = posed_images(5, camera), []
    for rank in range(2):
        config = FeatureBufferConfig(patches=5, short_side_px=32)
        encoded = EncodedViews(
            XFeatEncoder(CPU), config, AugmentationConfig(views=0), 0, 5, Ranks(rank, 2),
            MeanColour("", CPU),
        )  # fmt: skip
        for image in images:
            encoded.add(image)
        parts.append(encoded.views.descriptors_vG)
    whole_vG = torch.stack([MeanColour("", CPU).encode(image.image_rgb_hwc) for image in images])
    assert torch.equal(sum(parts), whole_vG)
