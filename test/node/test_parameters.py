"""The parameters' one source, and what holds against it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")

from glace_ros.fusion.odometry_fusion_config import OdometryFusionConfig
from glace_ros.localization.acceptance import AcceptanceConfig
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.node.ros_interface.parameter_checks import checked, descriptor, from_values
from glace_ros.node.ros_interface.parameters import PARAMETERS, LocalizeParameters, ParameterError

CONFIG = Path(__file__).parents[2] / "config" / "localize.yaml"


def named(values: dict, prefix: str = "") -> dict:
    """As ROS names them: groups in groups become names with dots."""
    flat = {}
    for name, value in values.items():
        inner = isinstance(value, dict)
        value = tuple(value) if isinstance(value, list) else value
        flat |= named(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat


def test_the_yaml_file_has_every_parameter_with_its_default():
    (node,) = yaml.safe_load(CONFIG.read_text()).values()
    values = named(node["ros__parameters"])
    assert values == {name: field.default for name, field in PARAMETERS.items()}
    types = {name: type(value) for name, value in values.items()}
    assert types == {name: type(field.default) for name, field in PARAMETERS.items()}
    assert from_values(values) == LocalizeParameters()


def test_the_yaml_file_describes_every_parameter():
    lines = CONFIG.read_text().splitlines()
    for name, field in PARAMETERS.items():
        *_, group, last = "", *name.split(".")
        indent = "      " if group else "    "
        line = next(i for i, text in enumerate(lines) if text.startswith(f"{indent}{last}:"))
        comment = []
        while lines[line - 1].startswith(f"{indent}# ") and "---" not in lines[line - 1]:
            line -= 1
            comment.insert(0, lines[line].removeprefix(f"{indent}# "))
        said = " ".join(comment)
        assert field.metadata["description"] in said
        if field.metadata["low"] is not None:
            assert f"[{field.metadata['low']:g}, {field.metadata['high']:g}]" in said


def test_every_default_is_in_its_range():
    for name, field in PARAMETERS.items():
        assert checked(name, field.default) == field.default


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_rat", 5.0, "Unknown parameter 'max_rat': did you mean 'max_rate'?"),
        ("xyzzy", 5.0, "Unknown parameter 'xyzzy': there are map, "),
        ("max_rate", 0.0, "'max_rate' is 0.0, but must be in the range 0.1 to 60"),
        ("max_rate", 60.1, "in the range 0.1 to 60"),
        ("max_rate", float("nan"), "in the range 0.1 to 60"),
        ("max_rate", True, "'max_rate' is True, but must be a number in the range"),
        ("max_rate", "5", "'max_rate' is '5', but must be a number in the range"),
        ("max_rate", [5.0], "must be a number"),
        ("min_inliers", 50.5, "'min_inliers' is 50.5, but must be an integer in the range 4 to"),
        ("map", 7, "'map' is 7, but must be a string"),
        ("two_d_mode", 1, "must be true or false"),
        ("tf_on_lost", "pause", "must be one of hold, stop"),
        ("tf_on_lost", None, "must be one of hold, stop"),
        ("camera_names", "front", "'camera_names' is 'front', but must be a list of strings"),
        ("camera_names", [1, 2], "must be a list of strings"),
        ("camera_names", 7, "must be a list of strings"),
    ],
)
def test_what_cannot_be_is_said_with_name_and_range(name, value, said):
    with pytest.raises(ParameterError, match=r"^[^\n]*$") as error:
        checked(name, value)
    assert said in str(error.value)


def test_an_integer_is_a_number_too():
    assert checked("max_rate", 7) == 7.0
    assert type(checked("max_rate", 7)) is float


def test_names_of_cameras_begin_topics():
    assert from_values({"camera_names": [""]}) == LocalizeParameters()
    assert from_values({"camera_names": ["front", "left/a_1"]}).camera_names == (
        "front", "left/a_1",
    )  # fmt: skip
    for names in (
        ["front", "front"],
        ["front", ""],
        [],
        ["1st"],
        ["/front"],
        ["front/"],
        ["a b"],
        ["~/x"],
    ):
        with pytest.raises(ParameterError, match="'camera_names' is .* must be different names"):
            from_values({"camera_names": names})


def test_values_that_contradict_each_other_are_refused():
    with pytest.raises(ParameterError, match=r"'lost_timeout' .* less than 'degraded_timeout'"):
        from_values({"lost_timeout": 1.0, "degraded_timeout": 2.0})
    with pytest.raises(ParameterError, match="must differ"):
        from_values({"odom_frame_id": "/map"})
    with pytest.raises(ParameterError, match="'base_frame_id' is empty"):
        from_values({"base_frame_id": ""})


def test_values_reach_the_configs_that_they_are_for():
    parameters = from_values(
        {"min_inliers": 77, "ransac_px": 3.0, "two_d_mode": False, "degraded_timeout": 1.5,
         "lost_timeout": 7.0, "covariance_scale": 2.0, "min_sigma_xy": 0.5, "min_sigma_yaw": 0.25,
         "gate_sigma": 3.0, "reinit_consensus": 5, "initial_pose.yaw": 1.5}
    )  # fmt: skip
    assert parameters.localizer == LocalizerConfig(
        ransac_px=3.0, acceptance=AcceptanceConfig(min_inliers=77)
    )
    assert parameters.fusion == OdometryFusionConfig(
        two_d_mode=False, degraded_timeout_s=1.5, lost_timeout_s=7.0, covariance_scale=2.0,
        min_sigma_xy_m=0.5, min_sigma_yaw_rad=0.25, gate_sigma=3.0, reinit_consensus=5,
    )  # fmt: skip
    assert parameters.initial_pose__yaw == 1.5
    assert LocalizeParameters().localizer == LocalizerConfig()
    assert LocalizeParameters().fusion == OdometryFusionConfig()


def test_descriptors_say_range_and_choices():
    rate = descriptor("max_rate").floating_point_range[0]
    assert (rate.from_value, rate.to_value) == (0.1, 60.0)
    inliers = descriptor("min_inliers").integer_range[0]
    assert (inliers.from_value, inliers.to_value) == (4, 100_000)
    assert descriptor("tf_on_lost").additional_constraints == "one of hold, stop"
    assert all(descriptor(name).description for name in PARAMETERS)


def test_defaults_and_ranges_are_those_that_were_promised():
    promised = {
        "map": "", "global_frame_id": "map", "odom_frame_id": "odom",
        "base_frame_id": "base_footprint", "tf_broadcast": True,
        "transform_tolerance": (0.1, 0.0, 2.0), "tf_publish_rate": (20.0, 1.0, 100.0),
        "two_d_mode": True, "max_rate": (5.0, 0.1, 60.0), "max_image_age": (0.5, 0.05, 60.0),
        "ransac_px": (10.0, 0.5, 100.0), "gate_sigma": (4.0, 0.0, 100.0),
        "reinit_consensus": (3, 1, 100), "covariance_scale": (1.0, 0.01, 100.0),
        "min_sigma_xy": (0.02, 0.0001, 10.0), "min_sigma_yaw": (0.005, 0.0001, 3.0),
        "degraded_timeout": (2.0, 0.1, 3600.0), "lost_timeout": (10.0, 0.1, 3600.0),
        "tf_on_lost": ("hold", "stop"), "device": ("auto", "cpu", "cuda"),
        "set_initial_pose": False, "saved_pose_file": "",
    }  # fmt: skip
    found = {}
    for name in promised:
        field, metadata = PARAMETERS[name], PARAMETERS[name].metadata
        if metadata["choices"]:
            assert field.default == metadata["choices"][0]
            found[name] = metadata["choices"]
        elif metadata["low"] is not None:
            found[name] = (field.default, metadata["low"], metadata["high"])
        else:
            found[name] = field.default
    assert found == promised
    assert {"min_inliers", *(f"initial_pose.{axis}" for axis in ("x", "y", "z", "yaw"))} <= set(
        PARAMETERS
    )
