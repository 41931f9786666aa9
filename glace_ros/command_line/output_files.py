"""Files that a program writes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glace_ros.atomic_write import write_output
from glace_ros.errors import GlaceError

if TYPE_CHECKING:
    from collections.abc import Mapping


def require_writable(option: str, path: Path) -> None:
    """Makes the folder of a file, so that what is wrong is said at once, not when the work is done.

    option: that names it, for the sentence.
    path: of the file.
    Raises GlaceError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise GlaceError(f"{option} {path} is a folder: name a file")
        probe = path.with_name(path.name + ".probe")
        probe.touch()
        probe.unlink(missing_ok=True)  # another rank may have looked at the same time
    except OSError as error:
        raise GlaceError(f"{option} {path} cannot be written: {error.strerror}") from error


def require_distinct(files: Mapping[str, str | Path | None]) -> None:
    """Raises GlaceError where two options name one file, which would be written over.

    files: by option; None where it is not given.
    """
    options: dict[str, str] = {}
    for option, file in files.items():
        if not file:
            continue
        place = os.path.realpath(file)
        if place in options:
            raise GlaceError(
                f"{option} and {options[place]} name the same file, {file}: name another for one "
                "of them"
            )
        options[place] = option


def write_json(path: Path, metrics: dict[str, Any]) -> None:
    """Writes metrics for programs: two spaces deep, a newline at the end.

    path: of the file, which is there whole or not at all.
    metrics: what JSON can hold.
    Raises ValueError for NaN and infinity, OSError where the file cannot be written.
    """
    write_output(path, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
