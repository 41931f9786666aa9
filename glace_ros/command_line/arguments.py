"""Types of command-line arguments."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from glace_ros.ros_messages.camera_pose_file import read_camera_pose

if TYPE_CHECKING:
    from collections.abc import Callable


def finite(text: str) -> float:
    """An argument that is a number."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError("must be a finite number")
    return value


def positive(text: str) -> float:
    """An argument greater than 0."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def not_negative(text: str) -> float:
    """An argument of 0 or more."""
    value = finite(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def share(text: str) -> float:
    """An argument between 0 and 0.5; argparse names this function in what it says of letters."""
    value = finite(text)
    if not 0 <= value <= 0.5:
        raise argparse.ArgumentTypeError("must be between 0 and 0.5")
    return value


def whole_number(least: int) -> Callable[[str], int]:
    """For an argument that is a whole number, `least` or more."""

    def parse(text: str) -> int:
        value = int(text)
        if not least <= value < 2**31:
            raise argparse.ArgumentTypeError(f"must be {least} or more, and below 2^31")
        return value

    parse.__name__ = "whole number"  # argparse: "invalid whole number value: 'x'"
    return parse


def pose_text(text: str) -> str:
    """An argument that `read_camera_pose` takes, as "x y z qx qy qz qw": what it stands for now."""
    try:
        pose = read_camera_pose(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return " ".join(map(repr, pose.as_seven()))
