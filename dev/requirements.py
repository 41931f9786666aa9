"""Prints everything that building, testing and running glace_ros takes, from pyproject.toml.

For `pip install -r`: pip itself cannot install the requirements of a package without the package.
"""

from __future__ import annotations

from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def main() -> None:
    """Build requirements, dependencies and all extras, one on a line."""
    metadata = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    project = metadata["project"]
    requirements = metadata["build-system"]["requires"] + project["dependencies"]
    for extra in project["optional-dependencies"].values():
        requirements += extra
    print("\n".join(requirements))


if __name__ == "__main__":
    main()
