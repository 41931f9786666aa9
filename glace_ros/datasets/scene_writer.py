"""Writing scene folders: one is there whole or not at all, and an interrupted one goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from glace_ros.atomic_write import replacing
from glace_ros.errors import GlaceError, RecordingError
from glace_ros.recording.scene_files import text_of_pose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from glace_ros.geometry.pose import Pose

_RECORD = "prepared.json"


class SceneWriter:
    """Files of a scene that is being written.

    left_out: frames by reason.
    images: how many were written or found written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.left_out: Counter[str] = Counter()
        self.images = 0

    def add(
        self,
        split: str,
        name: str,
        write_image: Callable[[Path], None],
        calibration: str,
        pose: Pose | None,
    ) -> None:
        """One image, if it is not there yet. It comes last, so that it stands for the rest.

        split: train or test, or nothing where the folder is one.
        name: of the image's file.
        write_image: makes the file at the path that it is given.
        calibration: text of the calibration's file.
        pose: map_from_camera; None in a split without poses.
        """
        folder = self._folder / split
        image = folder / "rgb" / name
        self.images += 1
        if image.exists():
            return
        text_name = image.stem + ".txt"
        _write(folder / "calibration" / text_name, lambda path: _text(path, calibration))
        if pose is not None:
            text = text_of_pose(pose)
            _write(folder / "poses" / text_name, lambda path: _text(path, text))
        _write(image, write_image)


@contextmanager
def scene_folder(folder: Path, made_from: dict[str, Any]) -> Iterator[SceneWriter | None]:
    """A writer of the folder, which gets its name when all of it is written.

    None where it is there already, made from the same.
    folder: the scene folder to be.
    made_from: what decides its content, as JSON.
    Raises GlaceError where the folder is another one, RecordingError where no image came.
    """
    if folder.exists():
        if _record_of(folder) != made_from:
            raise GlaceError(f"{folder} is there already and made from something else: remove it")
        yield None
        return
    partial = folder.with_name(f".{folder.name}.partial")
    if partial.exists() and _record_of(partial) != made_from:
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    _write_record(partial, {"made_from": made_from})
    writer = SceneWriter(partial)
    yield writer
    if not writer.images:
        reasons = (
            ", ".join(f"{why} ({n})" for why, n in writer.left_out.items()) or "there are none"
        )
        raise RecordingError(f"{folder} would have no images: {reasons}")
    result = {"images": writer.images, "left_out": dict(writer.left_out)}
    _write_record(partial, {"made_from": made_from, **result})
    os.sync()  # once for all its files: what has the name is whole, even after a power cut
    partial.rename(folder)


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for the file where both are on one disk, else a copy."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _write(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # the ending stays at the end: OpenCV takes the format from it
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    # not durable: 10 ms a file, of which 7-Scenes has 78,000
    with replacing(path, partial, durable=False):
        write(partial)


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=2) + "\n"
    _write(folder / _RECORD, lambda path: _text(path, text))


def _record_of(folder: Path) -> Any:
    """What the folder was made from; None where it does not say."""
    try:
        return json.loads((folder / _RECORD).read_text(encoding="utf-8"))["made_from"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
