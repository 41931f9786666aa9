"""What unfinished work depends on is written out by hand: no field may be forgotten."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from glace_ros.commands import build_map_fingerprint
from glace_ros.commands.build_map_config import BuildRequest, build_request
from glace_ros.commands.build_map_features import features_key
from glace_ros.commands.build_map_fingerprint import NOT_OF_THE_MAP, fingerprint
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.geometry.pose import Pose
from glace_ros.ros_messages.value_range import FULL_RANGE, ValueRange


def request_of(*words: object) -> BuildRequest:
    arguments = ["--bag", "drive", *map(str, words)]
    return build_request(build_map_parser(None).parse_args(arguments))


def name_of(request: BuildRequest, content: str = "0" * 64, weights=("a",)) -> str:
    return fingerprint(request, content, weights)


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Of all fields, those of configurations within configurations too."""
    if not is_dataclass(value):
        yield path
        return
    for field in fields(value):
        yield from paths(getattr(value, field.name), f"{path}.{field.name}".removeprefix("."))


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return Path("other") if value is None or isinstance(value, Path) else f"{value}x"


def changed(value: Any, path: str) -> Any:
    """The same but for the field at that path."""
    name, _, rest = path.partition(".")
    inner = getattr(value, name)
    return replace(value, **{name: changed(inner, rest) if rest else another(inner)})


REQUEST = request_of(
    "--image-topic", "/image", "--camera-info-topic", "/info", "--pose-source", "p",
    "--tf-topic", "/tf", "--tf-static-topic", "/tf_static", "--max-pose-gap", 1,
)  # fmt: skip
PATHS = list(paths(REQUEST))


def test_all_configurations_are_looked_into():
    """Of the request itself, of frames, of each step; none of them is off in this request."""
    assert len(PATHS) > 70
    assert {"holdout", "recording.scenes", "selection.min_sharpness", "config.seed"} <= set(PATHS)
    for inner in (
        "head.scale.h_beta", "vlad.words", "buffer.patches", "augmentation.views",
        "triangulation.min_views", "landmarks.most", "trainer.loss.near_m",
    ):  # fmt: skip
        assert f"config.{inner}" in PATHS


@pytest.mark.parametrize("path", PATHS)
def test_every_field_counts_or_is_said_not_to(path):
    """A new field fails here until it is in one of the two lists."""
    other = changed(REQUEST, path)
    assert other != REQUEST
    assert (name_of(other) == name_of(REQUEST)) == (path in NOT_OF_THE_MAP)


def test_no_field_that_is_gone_is_said_not_to_count():
    assert set(PATHS) >= NOT_OF_THE_MAP


def test_recording_and_weights_count():
    names = {
        name_of(REQUEST), name_of(REQUEST, "1" * 64), name_of(REQUEST, weights=("b",)),
        name_of(REQUEST, weights=("a", "b")),
    }  # fmt: skip
    assert len(names) == 4


def test_the_order_of_drives_counts():
    """The map is in the frame of the first one."""
    names = {
        name_of(build_request(build_map_parser(None).parse_args(words.split())))
        for words in ("--bag a", "--bag b", "--bag a --bag b", "--bag b --bag a", "--scene a")
    }
    assert len(names) == 5


@pytest.mark.parametrize("config", ["triangulation", "head"])
def test_a_step_that_is_left_out_counts(config):
    off = {
        "triangulation": replace(REQUEST.config, triangulation=None),
        "head": replace(REQUEST.config, head=replace(REQUEST.config.head, scale=None)),
    }[config]
    assert name_of(replace(REQUEST, config=off)) != name_of(REQUEST)


# of BuildRequest: on what the features of a drive depend
OF_FEATURES = {
    "holdout", "config.local_encoder", "config.seed", "recording.camera_info",
    "recording.camera_pose", "recording.tf_topic", "recording.tf_static_topic",
    "recording.max_pose_gap",
    *(f"selection.{field.name}" for field in fields(REQUEST.selection)),
    *(f"config.augmentation.{field.name}" for field in fields(REQUEST.config.augmentation)),
    *(
        f"config.buffer.{field.name}" for field in fields(REQUEST.config.buffer)
        if field.name != "max_bytes"
    ),
}  # fmt: skip


def key_of(
    request, topic="/image", content="0" * 64, weights=("a",), device="cpu", values=None
) -> str:
    drive = SimpleNamespace(
        image_topic=topic, camera_info_topic="/info", pose_source="/odom", value_range=values,
        base_from_camera=Pose.identity(),
    )  # fmt: skip
    return features_key(request, drive, content, weights, torch.device(device))


@pytest.mark.parametrize("path", PATHS)
def test_features_are_kept_under_all_that_they_depend_on_and_no_more(path):
    other = changed(REQUEST, path)
    if path == "config.global_encoder":  # vlad is learned from the features
        other = replace(REQUEST, config=replace(REQUEST.config, global_encoder="none"))
    assert (key_of(other) != key_of(REQUEST)) == (path in OF_FEATURES)


def test_the_drive_the_weights_and_the_device_count_for_features():
    r2former = replace(REQUEST, config=replace(REQUEST.config, global_encoder="r2former:x"))
    keys = {
        key_of(REQUEST), key_of(REQUEST, "/other"), key_of(REQUEST, content="1" * 64),
        key_of(REQUEST, weights=("b",)), key_of(REQUEST, device="cuda"), key_of(r2former),
        key_of(REQUEST, values=FULL_RANGE), key_of(REQUEST, values=ValueRange(0, 4095)),
    }  # fmt: skip
    assert len(keys) == 8


def test_a_calibration_that_was_edited_is_another_one(tmp_path):
    file = tmp_path / "camera.yaml"
    file.write_text("a: 1")
    request = request_of("--camera-info", file)
    names = name_of(request), key_of(request)
    file.write_text("a: 2")
    assert name_of(request) != names[0]
    assert key_of(request) != names[1]


def test_what_may_change_between_two_runs():
    """How long, with how much memory, where to and how often: not whether minutes count at all."""
    plain = name_of(request_of("--minutes", 5))
    for more in (
        ("--minutes", 7), ("--output", "x.glace"), ("--json", "x.json"), ("--no-report",),
        ("--resume",), ("--buffer-gb", 1), ("--checkpoint-every", 3), ("--device", "cpu"),
        ("--features-cache-gb", 0),
    ):  # fmt: skip
        assert name_of(request_of("--minutes", 5, *more)) == plain
    for more in (("--seed", 1), ("--width", 64), ("--sigma", 0.2), ("--preset", "fast")):
        assert name_of(request_of("--minutes", 5, *more)) != plain
    default_iterations = request_of("--iterations", REQUEST.config.trainer.iterations)
    assert name_of(default_iterations) != plain


def test_a_new_version_is_another_name(monkeypatch):
    before = name_of(REQUEST)
    monkeypatch.setattr(build_map_fingerprint, "VERSION", build_map_fingerprint.VERSION + 1)
    assert name_of(REQUEST) != before


def test_a_renamed_field_leaves_the_name():
    """The values are what counts, whatever the attributes are called by then."""

    class Renamed:
        def __init__(self, config) -> None:
            self._config = config

        def __getattr__(self, name: str) -> Any:
            return getattr(self._config, name)

    renamed = replace(REQUEST, config=Renamed(REQUEST.config))
    assert repr(renamed) != repr(REQUEST)
    assert name_of(renamed) == name_of(REQUEST)
