"""A scene folder `{train,test}/{rgb,poses,calibration}`: which files belong to which image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from glace_ros.errors import RecordingError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
SPLITS = ("train", "test")


class SceneImage(NamedTuple):
    """The files of one image."""

    rgb: Path
    pose: Path | None
    """None in a folder that has no poses at all."""
    calibration: Path


def scene_images(folder: Path) -> list[SceneImage]:
    """The images of a folder that has rgb, poses and calibration, in order of their names.

    Sorted files pair up. Raises RecordingError where their names before the first dot say that they
    do not, and where the numbers of files differ.
    """
    images = _files(folder / "rgb", IMAGE_SUFFIXES)
    if not images:
        raise RecordingError(f"{folder / 'rgb'} holds no images")
    calibrations = _paired(images, folder / "calibration")
    poses: list[Path] | list[None] = [None] * len(images)
    if (folder / "poses").is_dir():
        poses = _paired(images, folder / "poses")
    return [SceneImage(*files) for files in zip(images, poses, calibrations, strict=True)]


def split_folder(scene: Path, split: str) -> Path:
    """The folder with rgb in it: scene/split, or scene itself.

    split: one of SPLITS.
    Raises RecordingError where neither has it.
    """
    for folder in (scene, scene / split):
        if (folder / "rgb").is_dir():
            return folder
    if (scene / "metadata.yaml").is_file():
        raise RecordingError(f"{scene} is no scene folder but a bag: give it with --bag")
    what = "holds neither rgb nor" if scene.is_dir() else "is no folder with"
    raise RecordingError(
        f"{scene} {what} {split}/rgb; a scene folder is {split}/{{rgb,poses,calibration}}"
    )


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError as error:
        raise RecordingError(f"{folder} cannot be read: {error.strerror}") from error
    names = [name for name in names if not name.startswith(".")]
    names = [name for name in names if name.lower().endswith(suffixes)]
    return [folder / name for name in sorted(names, key=_by_number)]


def _paired(images: list[Path], folder: Path) -> list[Path]:
    """The text files of a folder, one for each image, in the images' order."""
    files = _files(folder, (".txt",))
    stems = {_stem(path) for path in files}
    image_stems = [_stem(path) for path in images]
    named_alike = not stems.isdisjoint(image_stems)
    if named_alike:
        for path, stem in zip(images, image_stems, strict=True):
            if stem not in stems:
                raise RecordingError(f"{path} has no file {stem}.*.txt in {folder}")
    if len(files) != len(images):
        raise RecordingError(
            f"{folder} holds {len(files)} text files for {len(images)} images in "
            f"{images[0].parent}; each image needs one"
        )
    if named_alike:
        for image, file in zip(images, files, strict=True):
            if _stem(image) != _stem(file):
                raise RecordingError(f"{file} is of no image: {image.name} takes its place")
    return files


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def _by_number(name: str) -> list[tuple[int, str]]:
    """frame-9 before frame-10."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
