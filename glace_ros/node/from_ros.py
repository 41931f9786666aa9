"""Python modules of a ROS installation, for what has another implementation here without one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def import_from_ros(name: str) -> ModuleType | None:
    """A Python module of a ROS package, or None where that is not part of the ROS installation.

    PyPI has packages of the same names: its cv-bridge is ROS 1's and silently decodes padded images
    wrongly. So a module only counts if it lies below the prefix where ament says the package is.
    """
    from ament_index_python.packages import get_package_prefix

    try:
        prefix = Path(get_package_prefix(name.split(".")[0])).resolve()
        module = importlib.import_module(name)
    except Exception:  # not there, nothing sourced at all, or built for another NumPy
        return None
    origin = Path(module.__file__ or "/").resolve()
    return module if prefix in origin.parents else None
