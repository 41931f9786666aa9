"""What every published data set comes down to: images with a calibration and a pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glace_ros.datasets.scene_writer import SceneWriter, scene_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from glace_ros.geometry.pose import Pose


@dataclass(frozen=True, eq=False)
class PublishedImage:
    """One image of a scene.

    split: train or test.
    name: of its file in the scene folder.
    write: makes that file.
    calibration: its text.
    map_from_camera: None where the owners keep it; a few words, why, where the image is left out.
    done: ratio of the scene that is done with this image.
    """

    split: str
    name: str
    write: Callable[[Path], None]
    calibration: str
    map_from_camera: Pose | str | None
    done: float


def write_scene(
    folder: Path,
    made_from: dict[str, str],
    images: Iterable[PublishedImage],
    advance: Callable[[float], None],
) -> SceneWriter | None:
    """The scene folder of these images; None where it is there already (`scene_folder`)."""
    with scene_folder(folder, made_from) as writer:
        if writer is None:
            return None
        for image in images:
            if isinstance(image.map_from_camera, str):
                writer.left_out[f"{image.split}: {image.map_from_camera}"] += 1
            else:
                writer.add(
                    image.split, image.name, image.write, image.calibration, image.map_from_camera
                )
            advance(image.done)
    return writer
