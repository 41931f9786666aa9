"""The published data sets by name: which scenes they have, and where these lie in what was
downloaded.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glace_ros.datasets import cambridge, seven_scenes, twelve_scenes
from glace_ros.datasets.aachen import aachen_images
from glace_ros.datasets.archive import FolderSource, Source, inside, open_source
from glace_ros.datasets.pose_lists import read_pose_list
from glace_ros.errors import RecordingError
from glace_ros.recording.scene_folder import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from glace_ros.datasets.pose_lists import SfmPoses
    from glace_ros.datasets.published import PublishedImage


@dataclass(frozen=True)
class PublishedScene:
    """A scene of a data set, as its owners publish it.

    folder: what its scene folder is called.
    path: where it lies, each step a folder or a zip.
    made_from: what decides its content, as JSON.
    images: gives them, from the scene's files and a folder for what is unpacked.
    """

    folder: str
    path: tuple[str, ...]
    made_from: dict[str, str]
    images: Callable[[Source, Path], Iterator[PublishedImage]]


def seven_scenes_of(sfm: Path | None) -> list[PublishedScene]:
    """7-Scenes.

    sfm: a checkout of visloc_pseudo_gt_limitations, for its poses; None: the recorded ones.
    """
    return [
        _indoor("7scenes", (scene,), sfm, seven_scenes.seven_scenes_images)
        for scene in seven_scenes.SCENES
    ]


def twelve_scenes_of(sfm: Path | None) -> list[PublishedScene]:
    """12-Scenes.

    sfm: as in `seven_scenes_of`.
    """
    return [
        _indoor("12scenes", (place, room), sfm, twelve_scenes.twelve_scenes_images)
        for place, rooms in twelve_scenes.SCENES.items()
        for room in rooms
    ]


def cambridge_of() -> list[PublishedScene]:
    """Cambridge Landmarks, the five scenes that papers use."""

    def images(source: Source, _: Path) -> Iterator[PublishedImage]:
        return cambridge.cambridge_images(source)

    return [
        PublishedScene(
            f"Cambridge_{name}", (name,), {"data set": "cambridge", "scene": name}, images
        )
        for name in cambridge.SCENES
    ]


def aachen_of(*, night: bool) -> list[PublishedScene]:
    """Aachen Day-Night, one scene.

    night: with the queries by night.
    """

    def images(source: Source, scratch: Path) -> Iterator[PublishedImage]:
        return aachen_images(source, scratch, night=night)

    queries = "day and night" if night else "day"
    return [PublishedScene("aachen", (), {"data set": "aachen", "queries": queries}, images)]


@contextmanager
def scene_source(path: Path, scene: PublishedScene, scratch: Path) -> Iterator[Source | None]:
    """The scene's files below `path`, which may also be the first step's folder or zip itself; None
    where it is not there.
    """
    with ExitStack() as stack:
        root = stack.enter_context(open_source(path))
        source: Source | None = root
        for number, step in enumerate(scene.path):
            if source is not None:
                source = stack.enter_context(inside(source, step, scratch))
            if number == 0 and source is None and path.resolve().stem == step:
                source = root
        yield source


def _indoor(
    data_set: str,
    path: tuple[str, ...],
    sfm: Path | None,
    images_of: Callable[[Source, SfmPoses | None, Path], Iterator[PublishedImage]],
) -> PublishedScene:
    name = "_".join(path)
    made_from = {"data set": data_set, "scene": name, "poses": "sfm" if sfm else "recorded"}

    def images(source: Source, scratch: Path) -> Iterator[PublishedImage]:
        lists = _sfm_poses(sfm, data_set, name) if sfm else None
        return images_of(source, lists, scratch)

    prefix = "pgt_" if sfm else ""
    return PublishedScene(f"{prefix}{data_set}_{name}", path, made_from, images)


def _sfm_poses(checkout: Path, data_set: str, scene: str) -> SfmPoses:
    for folder in (checkout / "pgt/sfm" / data_set, checkout / data_set, checkout):
        if (folder / f"{scene}_train.txt").is_file():
            source = FolderSource(folder)
            return {split: read_pose_list(source, f"{scene}_{split}.txt") for split in SPLITS}
    raise RecordingError(
        f"{checkout} has no pgt/sfm/{data_set}/{scene}_train.txt: check out "
        "github.com/tsattler/visloc_pseudo_gt_limitations there"
    )
