"""Where maps go when nobody says where."""

from __future__ import annotations

import os
from pathlib import Path


def default_folder() -> Path:
    """Where maps go and where the launch file looks: $ROS_HOME/glace, ~/.ros/glace."""
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "glace"


def newest_map_path() -> Path:
    """Where `build_map` without --output leaves a link to its newest map."""
    ros_home = os.environ.get("ROS_HOME") or "~/.ros"
    return Path(ros_home).expanduser() / "glace" / "latest.glace"


def _point_latest_at(output: Path) -> None:
    link = output.with_name("latest.glace")
    partial = link.with_name("latest.glace.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(output.name)
    partial.replace(link)
