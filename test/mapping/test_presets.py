"""Presets are the paper's where they say so: its networks have the sizes that it reports."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.core_scenes import patchwork, rgb
from support.small_builds import arguments, write_wall

from glace_ros.commands.build_map import main as build_map
from glace_ros.commands.build_map_config import map_builder_config
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.errors import GlaceError
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.localizer import Localizer
from glace_ros.mapping import presets
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.presets import PAPER, PRESETS, preset
from glace_ros.mapping.training import map_trainer
from glace_ros.mapping.training.reprojection_loss import reprojection_loss
from glace_ros.mapping.views.augmentation import AugmentationConfig, augment
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig, Observations
from glace_ros.mapping.views.mapping_views import sample_bytes
from glace_ros.maps.coordinate_head import CoordinateHead
from glace_ros.maps.map_metadata import RecordingDescription
from glace_ros.recording.posed_images import PosedImage

CPU = torch.device("cpu")
# the paper's section 4.2 and its published settings:
# batch of all GPUs, iterations, blocks after the first, ratio, K
TABLE = {
    "paper-7scenes": (5_120, 30_000, 1, 1.0, 1),
    "paper-cambridge": (163_840, 30_000, 2, 1.0, 1),
    "paper-rooms": (327_680, 100_000, 1, 1.0, 50),
    "paper-aachen": (327_680, 100_000, 3, 2.0, 50),
}


@pytest.mark.parametrize(
    ("name", "megabytes"),
    [("paper-7scenes", 9.4), ("paper-cambridge", 13.0), ("paper-aachen", 27.3)],
)
def test_the_papers_networks_have_the_papers_map_size(name, megabytes):
    """With its encoders: 512 numbers of ACE's and 256 of R2Former's. fp16 weights."""
    shape = replace(preset(name).head, local_channels=512, global_channels=256)
    parameters = sum(tensor.numel() for tensor in CoordinateHead(shape).parameters())
    assert 2 * parameters / 1e6 == pytest.approx(megabytes, abs=0.06)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_choice_of_the_command_line_and_its_name_is_kept(name):
    config = map_builder_config(build_map_parser(None).parse_args(["--bag", "x", "--preset", name]))
    assert config == preset(name)
    assert config.preset == name
    assert config.buffer.sampled is (name in PAPER)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_presets_have_its_numbers(name):
    config = preset(name)
    head, trainer, augmentation = config.head, config.trainer, config.augmentation
    assert TABLE[name] == (
        trainer.batch, trainer.iterations, head.blocks, head.mlp_ratio, head.clusters,
    )  # fmt: skip
    assert (head.width, config.buffer.patches, config.buffer.short_side_px) == (768, 1024, 480)
    assert config.buffer.max_bytes == 16e6 * sample_bytes(512)
    assert config.buffer.samples == 16e6
    assert (augmentation.scale, augmentation.roll_deg) == (1.5, 15.0)
    assert (augmentation.brightness, augmentation.contrast) == (0.1, 0.1)
    assert (trainer.learning_rate, trainer.warm_up, trainer.weight_decay) == (5e-3, 0.3, 0.01)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_loss_is_the_papers(name):
    """A camera of 100 px at the origin; points 3 and 4 px aside at 2 m, behind it, and too far
    off; by hand.
    """
    points_n3 = torch.tensor([[0.06, 0.08, 2.0], [0.3, -0.2, -1.0], [30.0, 0.0, 2.0]])
    count = len(points_n3)
    seen = Observations(
        torch.eye(4)[:3].repeat(count, 1, 1), torch.tensor([[100.0, 100.0, 0.0, 0.0]] * count),
        torch.zeros(count, 2), torch.zeros(count, 3), torch.zeros(count, dtype=torch.bool),
    )  # fmt: skip
    loss, _ = reprojection_loss(points_n3, seen, 0.6, preset(name).trainer.loss)
    expected = [41.0 * math.tanh(7.0 / 41.0), 0.3 + 0.2 + 11.0, 30.0 + 8.0]
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_paper_preset_trains_as_it_says(monkeypatch):
    """With an encoder that finds corners, which our own presets would triangulate."""
    losses, sigmas = [], []
    real_loss, real_draw = map_trainer.reprojection_loss, map_trainer.sample_descriptors

    def loss_spy(predicted_n3, observed, progress, config):
        losses.append((progress, config, bool(observed.has_point_n.any()), len(predicted_n3)))
        return real_loss(predicted_n3, observed, progress, config)

    def draw_spy(descriptors_vG, view_n, sigma, neighbours_vk, generator):
        sigmas.append((sigma, neighbours_vk))
        return real_draw(descriptors_vG, view_n, sigma, neighbours_vk, generator)

    monkeypatch.setattr(map_trainer, "reprojection_loss", loss_spy)
    monkeypatch.setattr(map_trainer, "sample_descriptors", draw_spy)
    config = preset("paper-rooms")
    small = replace(
        config, sigma=0.1,
        trainer=replace(config.trainer, batch=64, iterations=4),
        head=replace(config.head, width=16),
        buffer=replace(config.buffer, patches=20, short_side_px=96, samples=20 * 32),
    )  # fmt: skip
    scene_map = built(small)
    assert [progress for progress, *_ in losses] == [0.0, 0.25, 0.5, 0.75]
    assert {(told, count) for _, _, told, count in losses} == {(False, 64)}
    assert {loss for _, loss, *_ in losses} == {config.trainer.loss}
    assert sigmas == [(0.1, None)] * 4
    assert not scene_map.landmarks
    assert scene_map.metadata.head.clusters == 12  # of 12 views there are no 50 clusters
    assert scene_map.metadata.training["steps"] == 4
    # a robot looks at the likeliest, whatever patches were drawn
    seen = Localizer(scene_map, device="cpu").regress(*wall()).features
    assert (seen.scores_n.diff() <= 0).all()
    assert len(seen.scores_n) > 20


def test_a_paper_preset_fills_its_buffer_from_the_images_that_are_mapped(tmp_path, monkeypatch):
    """Of 40 images some are held out; and the keyframes are fewer than the images."""
    buffers, mapped = [], []
    real_buffer = EncodedViews.buffer

    def spy(encoded, *arguments):
        mapped.append(encoded.views)
        buffers.append(real_buffer(encoded, *arguments))
        return buffers[-1]

    monkeypatch.setattr(EncodedViews, "buffer", spy)
    monkeypatch.setattr(map_trainer, "faster_dtype", lambda *_: torch.float32)
    monkeypatch.setattr(presets, "_BUFFER_SAMPLES", 50 * 100)
    monkeypatch.setattr(
        presets, "FeatureBufferConfig", lambda **of: FeatureBufferConfig(**of | {"patches": 100})
    )
    words = arguments(
        write_wall(tmp_path / "wall", 40), tmp_path / "map.glace", "--preset", "paper-7scenes",
        "--iterations", 2, "--global-encoder", "none", "--keyframe-dist", 0.06,
        "--keyframe-angle", 90,
    )  # fmt: skip
    assert build_map(words) in (0, 3)
    (buffer,) = buffers
    assert 10 <= len(buffer.views) <= 20
    assert len(buffer) == 50 * 100
    counts = buffer.samples.view_n.bincount()
    assert counts.max() - counts.min() == 100
    (views,) = mapped  # all of them augmented, and their patches drawn
    assert not any(
        (views.features(view, copy).scores_n.diff() <= 0).all()
        for view in range(len(views))
        for copy in range(2)
    )


@pytest.mark.parametrize(
    ("encoder", "plain"),
    [("vlad", True), ("kmeans:3", True), ("none", False), ("r2former:x.pth", False)],
)
def test_the_papers_views_are_all_augmented_but_for_learned_codes(encoder, plain):
    words = ["--bag", "x", "--preset", "paper-aachen", "--global-encoder", encoder]
    assert map_builder_config(build_map_parser(None).parse_args(words)).augmentation == replace(
        preset("paper-aachen").augmentation, plain_first=plain
    )
    words[3] = "quality"
    assert map_builder_config(build_map_parser(None).parse_args(words)).augmentation.plain_first


def wall():
    return rgb(patchwork(128, 96)), Camera(128, 96, 110.0, 110.0, 63.5, 47.5)


def wall_images():
    """12 pictures of it."""
    picture_hwc, camera = wall()
    return (
        PosedImage(stamp, np.roll(picture_hwc, -2 * stamp, axis=1), camera,
                   Pose(np.eye(3), np.array([0.05 * stamp, 0.0, 0.0])))
        for stamp in range(12)
    )  # fmt: skip


def built(config):
    """A map of 12 pictures of one wall."""
    _, camera = wall()
    builder = MapBuilder(config, CPU)
    prepared = builder.prepare(builder.encode(wall_images(), builder.no_views(12)))
    description = RecordingDescription(
        "map", "base", "camera", "/image", "/info", camera, "bag", "0" * 64
    )
    return builder.scene_map(prepared, builder.train(prepared), description)


@pytest.mark.parametrize(
    ("words", "most_views", "width"),
    [
        ([], 12, 128), ([], 11, 256), (["--width", "200"], 12, 200), (["--width", "48"], 12, 48),
        (["--landmarks", "0"], 12, 256), (["--preset", "quality"], 12, 384),
        (["--preset", "fast"], 12, 128), (["--preset", "paper-7scenes"], 12, 768),
    ],
)  # fmt: skip
def test_a_map_with_landmarks_and_few_views_has_a_narrow_head(words, most_views, width):
    config = map_builder_config(build_map_parser(None).parse_args(["--bag", "x", *words]))
    if config.narrow_head:
        config = replace(config, narrow_head=replace(config.narrow_head, most_views=most_views))
    small = replace(config.buffer, patches=20, short_side_px=96, samples=0, max_bytes=2**20)
    builder = MapBuilder(replace(config, sigma=0.1, buffer=small), CPU)
    encoded = builder.encode(wall_images(), builder.no_views(12))
    assert builder.prepare(encoded).head.width == width


def test_the_papers_diffusion_goes_with_the_papers_codes():
    def sigma(*arguments):
        parser = build_map_parser(None)
        return map_builder_config(parser.parse_args(["--bag", "x", *arguments])).sigma

    paper, codes = ("--preset", "paper-7scenes"), ("--global-encoder", "r2former:a.pth")
    assert sigma(*paper, *codes) == 0.1
    assert sigma(*paper, *codes, "--sigma", "0.3") == 0.3
    assert sigma(*paper) == sigma(*codes) == sigma(*paper, *codes, "--sigma", "-1") == -1.0


def test_memory_is_the_presets_where_none_is_said():
    def max_bytes(*arguments):
        parser = build_map_parser(None)
        return map_builder_config(parser.parse_args(["--bag", "x", *arguments])).buffer.max_bytes

    assert max_bytes() == 2 << 30
    assert max_bytes("--preset", "paper-aachen") == 16_000_000 * sample_bytes(512)
    assert max_bytes("--preset", "paper-aachen", "--buffer-gb", "3") == 3 << 30


@pytest.mark.parametrize(("even", "mean"), [(True, (1.5 + 2 / 3) / 2), (False, 1.027)])
def test_the_papers_scales_are_all_as_likely(even, mean):
    """Others: the mean of a scale whose logarithm is even, (b - a) / ln(b / a)."""
    config = AugmentationConfig(roll_deg=0.0, even_scale=even)
    camera, rng = Camera(32, 24, 30.0, 30.0, 15.5, 11.5), np.random.default_rng(0)
    grey_hw = np.zeros((24, 32), np.uint8)
    scales = [
        1.0 / augment(grey_hw, camera, config, rng).recorded_from_view_33[0, 0] for _ in range(3000)
    ]
    assert np.mean(scales) == pytest.approx(mean, abs=0.014)
    assert 0.66 < min(scales) < 0.68
    assert 1.48 < max(scales) < 1.501


def test_what_is_said_goes_before_the_preset():
    words = ["--bag", "x", "--preset", "paper-aachen", "--minutes", "3", "--clusters", "4"]
    config = map_builder_config(
        build_map_parser(None).parse_args([*words, "--width", "128", "--landmarks", "0"])
    )
    assert (config.minutes, config.head.clusters, config.head.width) == (3.0, 4, 128)
    assert (config.landmarks.most, config.head.blocks) == (0, 3)
    words[3] = "quality"
    config = map_builder_config(build_map_parser(None).parse_args([*words, "--landmarks", "10"]))
    assert config.landmarks.most == 10
    assert config.ensemble == 1
    config = map_builder_config(
        build_map_parser(None).parse_args(["--bag", "x", "--ensemble", "64"])
    )
    assert config.ensemble == 64
    with pytest.raises(GlaceError, match="--ensemble 65: a map holds 64 heads at most"):
        map_builder_config(build_map_parser(None).parse_args(["--bag", "x", "--ensemble", "65"]))
    config = map_builder_config(
        build_map_parser(None).parse_args(["--bag", "x", "--iterations", "7"])
    )
    assert (config.minutes, config.trainer.iterations) == (0.0, 7)


def test_landmarks_of_a_preset_that_triangulates_nothing_are_refused(tmp_path, capsys):
    words = ["--bag", "x", "--output", tmp_path / "x.glace", "--preset", "paper-rooms"]
    assert build_map([*map(str, words), "--landmarks", "100"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert "--landmarks 100" in said
    assert "--preset paper-rooms" in said


def test_an_unknown_preset_is_a_key_error():
    with pytest.raises(KeyError):
        preset("paper-mars")


@pytest.mark.parametrize(
    "name", ["vlad", "none", "kmeans:4", "r2former:a.pth", "kmeans:32+r2former:a.pth"]
)
def test_global_encoders_by_name(name):
    arguments = ["--bag", "x", "--global-encoder", name]
    assert map_builder_config(build_map_parser(None).parse_args(arguments)).global_encoder == name


@pytest.mark.parametrize(
    "name",
    [
        "kmeans",
        "kmeans:0",
        "kmeans:-4",
        "netvlad",
        "r2former",
        "r2former:",
        "vlad+r2former:a.pth",
        "kmeans:0+r2former:a.pth",
        "kmeans:4+r2former:",
    ],
)
def test_other_global_encoders_are_refused(name, capsys):
    with pytest.raises(SystemExit):
        build_map_parser(None).parse_args(["--bag", "x", "--global-encoder", name])
    assert "must be vlad, none or kmeans:K" in capsys.readouterr().err
