"""Prints everything that building, testing and running glace_ros takes, from pyproject.toml.

    python dev/requirements.py [kilted]

For `pip install -r`: pip itself cannot install the requirements of a package without the package.
With a distribution, its wheels (dev/kilted.txt) stand in for those of ROS 2 Jazzy.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

DEV = Path(__file__).resolve().parent
PYPROJECT = DEV.parent / "pyproject.toml"
LEFT_OUT = {"colmap"}
"""Extras that nothing here needs: for whoever compares with others."""


def main() -> None:
    """Build requirements, dependencies and the extras but those left out, one on a line."""
    metadata = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    project = metadata["project"]
    requirements = metadata["build-system"]["requires"] + project["dependencies"]
    for name, extra in project["optional-dependencies"].items():
        requirements += [] if name in LEFT_OUT else extra
    for distro in sys.argv[1:]:
        requirements = [line for line in requirements if not line.startswith("ros-jazzy-")]
        requirements += (DEV / f"{distro}.txt").read_text(encoding="utf-8").splitlines()
    print("\n".join(requirements))


if __name__ == "__main__":
    main()
