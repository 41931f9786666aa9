"""Values of the parameters as they come from outside: their types and ranges."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from glace_ros.node.ros_interface.parameters import PARAMETERS, LocalizeParameters, ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping


def checked(name: str, value: object) -> Any:
    """The value as the parameter's type. Raises ParameterError with name, value and range."""
    if name not in PARAMETERS:
        near = get_close_matches(name, PARAMETERS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(PARAMETERS)}."
        raise ParameterError(f"Unknown parameter '{name}': {hint}")
    metadata = PARAMETERS[name].metadata
    wanted = type(PARAMETERS[name].default)
    if wanted is float and type(value) is int:
        value = float(value)  # `max_rate: 5` in a YAML file
    if wanted is tuple and isinstance(value, list):
        value = tuple(value)
    strange = isinstance(value, tuple) and not all(type(item) is str for item in value)
    if type(value) is not wanted or strange:
        kind = "" if metadata["choices"] else f" {_TYPE_NAMES[wanted]}"
        raise ParameterError(f"Parameter '{name}' is {value!r}, but must be{kind}{_range(name)}.")
    low, high = metadata["low"], metadata["high"]
    if (low is not None and not low <= value <= high) or (
        metadata["choices"] and value not in metadata["choices"]
    ):
        raise ParameterError(f"Parameter '{name}' is {value!r}, but must be{_range(name)}.")
    return value


_TYPE_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    tuple: "a list of strings",
}


def _range(name: str) -> str:
    metadata = PARAMETERS[name].metadata
    if metadata["choices"]:
        return f" one of {', '.join(metadata['choices'])}"
    if metadata["low"] is not None:
        return f" in the range {metadata['low']:g} to {metadata['high']:g}"
    return ""


def from_values(values: Mapping[str, object]) -> LocalizeParameters:
    """The parameters with these values, defaults elsewhere. Raises ParameterError."""
    return LocalizeParameters(
        **{name.replace(".", "__"): checked(name, value) for name, value in values.items()}
    )


def descriptor(name: str) -> ParameterDescriptor:
    """What `ros2 param describe` shows, and what rclpy checks later changes against."""
    metadata = PARAMETERS[name].metadata
    message = ParameterDescriptor(name=name, description=metadata["description"])
    if metadata["choices"]:
        message.additional_constraints = f"one of {', '.join(metadata['choices'])}"
    low, high = metadata["low"], metadata["high"]
    if low is not None and type(PARAMETERS[name].default) is int:
        message.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    elif low is not None:
        message.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return message
