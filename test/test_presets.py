"""Presets are the paper's where they say so: its networks have the sizes that it reports."""

from dataclasses import replace

import pytest

from glace_ros.mapping.presets import PRESETS, preset
from glace_ros.nodes.build_options import build_map_parser, map_builder_config
from glace_ros.scene.coordinate_head import CoordinateHead


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


def test_the_papers_presets_add_nothing_of_ours():
    for name in PRESETS:
        if name.startswith("paper-"):
            config = preset(name)
            assert config.triangulation is None
            assert config.landmarks.most == 0
            assert config.trainer.loss.error_norm == 1
            assert config.minutes == 0  # iterations, not a clock


def test_what_is_said_goes_before_the_preset():
    arguments = ["--bag", "x", "--preset", "paper-aachen", "--minutes", "3", "--clusters", "4"]
    config = map_builder_config(
        build_map_parser(None).parse_args([*arguments, "--width", "128", "--landmarks", "10"])
    )
    assert (config.minutes, config.head.clusters, config.head.width) == (3.0, 4, 128)
    assert config.landmarks.most == 10
    assert config.head.blocks == 3
    config = map_builder_config(
        build_map_parser(None).parse_args(["--bag", "x", "--iterations", "7"])
    )
    assert (config.minutes, config.trainer.iterations) == (0.0, 7)


def test_an_unknown_preset_is_a_key_error():
    with pytest.raises(KeyError):
        preset("paper-mars")


@pytest.mark.parametrize("name", ["vlad", "none", "kmeans:4", "r2former:a.pth"])
def test_global_encoders_by_name(name):
    arguments = ["--bag", "x", "--global-encoder", name]
    assert map_builder_config(build_map_parser(None).parse_args(arguments)).global_encoder == name


@pytest.mark.parametrize(
    "name", ["kmeans", "kmeans:0", "kmeans:-4", "netvlad", "r2former", "r2former:"]
)
def test_other_global_encoders_are_refused(name, capsys):
    with pytest.raises(SystemExit):
        build_map_parser(None).parse_args(["--bag", "x", "--global-encoder", name])
    assert "must be vlad, none or kmeans:K" in capsys.readouterr().err
