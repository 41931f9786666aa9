"""Where maps go when nobody says where."""

from __future__ import annotations

import os
from pathlib import Path

from glace_ros.atomic_write import replacing

_LATEST = "latest.glace"


def default_folder() -> Path:
    """Where maps go and where the launch file looks: $ROS_HOME/glace, ~/.ros/glace."""
    return Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser() / "glace"


def features_folder() -> Path:
    """Where `build_map` keeps what encoders made of images."""
    return default_folder() / "features"


def newest_map_path() -> Path:
    """Where `build_map` without --output leaves a link to its newest map."""
    return default_folder() / _LATEST


def point_latest_at(output: Path) -> None:
    """Makes `latest.glace` beside a map a link to it. Raises OSError where that cannot be."""
    with replacing(output.with_name(_LATEST)) as partial:
        partial.symlink_to(output.name)
