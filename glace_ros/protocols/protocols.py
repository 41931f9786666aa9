"""The protocols of the paper's tables: which scenes, which preset, which table, which variants."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from glace_ros.datasets.data_sets import aachen_of, cambridge_of, seven_scenes_of, twelve_scenes_of
from glace_ros.errors import GlaceError, RecordingError
from glace_ros.protocols import reported_metrics as reported
from glace_ros.protocols.reported_metrics import ReportedTable

if TYPE_CHECKING:
    from pathlib import Path

_DATA_SETS = {
    "7scenes": ("7scenes",),
    "12scenes": ("12scenes",),
    "i7": ("7scenes",),
    "i12": ("12scenes",),
    "i19": ("7scenes", "12scenes"),
    "cambridge": ("cambridge",),
    "aachen-day": ("aachen",),
}
PROTOCOLS = tuple(_DATA_SETS)
ABLATIONS: dict[str, dict[str, tuple[str, ...]]] = {
    # the names that the paper's rows have, and what build_map is told
    "cambridge": {
        "identity": ("--sigma", "0"),
        **{f"K={k}": ("--global-encoder", f"kmeans:{k}") for k in (4, 32, 128)},
        "diffusion": (),
    },
    "i19": {f"clusters={k}": ("--clusters", str(k)) for k in (1, 4, 19, 50)},
}


class Protocol(NamedTuple):
    """What a table of the paper compares.

    folders: of the scenes, each with the data set that `glace prepare` makes it from.
    one_map: whether all scenes are in one map.
    sfm: whether the poses are those of structure from motion.
    preset: of `build_map`.
    table: the paper's, with no systems where it has none.
    column: the one that ours belongs into, empty where each scene has its own.
    """

    name: str
    folders: dict[str, str]
    one_map: bool
    sfm: bool
    preset: str
    table: ReportedTable
    column: str

    def chosen(self, names: list[str]) -> list[str]:
        """The folders of the scenes of these names, with or without what stands before them; all
        where none is given. Raises GlaceError with the names that there are.
        """
        by_name = {name: name for name in self.folders}
        for folder in self.folders:
            by_name[folder.removeprefix("pgt_").partition("_")[2] or folder] = folder
        for name in names:
            if name not in by_name:
                there_are = ", ".join(n for n in by_name if n not in self.folders)
                raise GlaceError(f"--scenes {name}: {self.name} has {there_are or 'aachen'}")
        wanted = [by_name[name] for name in names] or list(self.folders)
        return [folder for folder in self.folders if folder in wanted]

    def require(self, data: Path, folders: list[str]) -> None:
        """Raises RecordingError that names the first scene folder that is not there, and the
        command that makes it.
        """
        for folder in folders:
            for split in ("train", "test"):
                if not (data / folder / split / "rgb").is_dir():
                    sfm = " --sfm CHECKOUT" if self.sfm else ""
                    raise RecordingError(
                        f"{data / folder / split} is not there: make it with 'glace prepare "
                        f"{self.folders[folder]} SRC {data}{sfm}', or choose others by --scenes"
                    )


def protocol(name: str, *, sfm: bool, ablation: bool) -> Protocol:
    """One of PROTOCOLS.

    name: its key.
    sfm: with the poses of structure from motion, which 7- and 12-Scenes have.
    ablation: with the table of the variants.
    Raises GlaceError where there is no such thing.
    """
    data_sets, indoor = _DATA_SETS[name], name not in ("cambridge", "aachen-day")
    if sfm and not indoor:
        raise GlaceError(f"--sfm: {name} has one kind of poses only, leave it out")
    if ablation and name not in ABLATIONS:
        raise GlaceError(f"--ablation: the paper has none of {name}, but of cambridge and of i19")
    folders = {folder: data_set for data_set in data_sets for folder in _folders(data_set, sfm=sfm)}
    made = partial(Protocol, name, folders, sfm=sfm)
    poses = "SfM" if sfm else "D-SLAM"
    if name in ("7scenes", "12scenes"):
        column = f"{name.replace('scenes', '-Scenes')}, {poses}"
        return made(one_map=False, preset="paper-7scenes", table=reported.TABLE_1, column=column)
    if name in ("i7", "i12", "i19"):
        table = reported.TABLE_3 if sfm else reported.TABLE_2
        table = reported.FIGURE_6 if ablation else table
        if name == "i7":
            table = ReportedTable("", reported.RECALL, (name,), ())
        return made(one_map=True, preset="paper-rooms", table=table, column=name)
    if name == "cambridge":
        table = reported.TABLE_6 if ablation else reported.TABLE_4
        return made(one_map=False, preset="paper-cambridge", table=table, column="")
    return made(one_map=False, preset="paper-aachen", table=reported.TABLE_5, column="")


def _folders(data_set: str, *, sfm: bool) -> list[str]:
    scenes = {
        "7scenes": seven_scenes_of(None),
        "12scenes": twelve_scenes_of(None),
        "cambridge": cambridge_of(),
        "aachen": aachen_of(night=False),
    }[data_set]
    return [f"pgt_{scene.folder}" if sfm else scene.folder for scene in scenes]
