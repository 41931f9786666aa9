"""Encoding journal: what was done before training so far, on disk beside the map to be.

Encoding 10,000 images takes an hour of a CPU. Every few seconds, what was added is written as one
file more, whole or not at all; `--resume` puts it back and goes on behind it. A recording that is
encoded before the first file is due leaves none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from glace_ros.errors import MappingError
from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.pose import Pose, stack
from glace_ros.mapping.resume.saved_file import damaged, read_saved, write_saved
from glace_ros.mapping.views.mapping_views import MappingView

if TYPE_CHECKING:
    from pathlib import Path

    from glace_ros.mapping.views.encoded_views import EncodedViews

Cached = Callable[[str, Callable[[], dict[str, torch.Tensor]]], dict[str, torch.Tensor]]
"""Gives the tensors of that name: those of an earlier run, or else what the function makes now."""

_MOST_PATCHES = 400_000
"""About 60 MB: as much as is written at once, however fast the GPU."""


class EncodingJournal:
    """Files in a folder. Construction looks at none: `restore` reads them, `remove` deletes them.

    folder: made when the first file is due.
    fingerprint: names recording and settings; only files of the same ones are gone on from.
    encoded: what is saved and restored.
    state: says, as JSON, where reading the recording stands; `restore` gives it back.
    every_s: seconds of work between two files.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        encoded: EncodedViews,
        state: Callable[[], dict[str, Any]],
        every_s: float = 20.0,
    ) -> None:
        self.folder = folder
        self._fingerprint = fingerprint
        self._encoded = encoded
        self._state = state
        self._every_s = every_s
        self._saved_at = time.perf_counter()
        self._views = self._triangulated = 0

    def save_if_due(self) -> None:
        """Call after each view that was encoded or triangulated. Raises MappingError."""
        views = self._encoded.views
        pending = len(views.samples.view_n) - self._first_row()
        due = time.perf_counter() - self._saved_at > self._every_s
        if due or pending > _MOST_PATCHES:
            self.save()

    def save(self) -> None:
        """Write what is not on disk yet. Raises MappingError."""
        views, triangulated = self._encoded.views, self._encoded.triangulated
        header = {"fingerprint": self._fingerprint, "patches": str(views.patches)}
        if len(views) > self._views:
            state = json.dumps(self._state())
            self._write(f"encoded-{self._views:08d}", self._encodings(), header | {"state": state})
            self._views = len(views)
        if triangulated > self._triangulated:
            rows = slice(
                views.rows(self._triangulated).start, views.rows(triangulated - 1, -1).stop
            )
            points = {
                "points_n3": views.samples.points_n3[rows],
                "has_point_n": views.samples.has_point_n[rows],
            }
            header |= {"views": str(len(views)), "placed": str(triangulated)}
            self._write(f"points-{self._triangulated:08d}", points, header)
            self._triangulated = triangulated
        self._saved_at = time.perf_counter()

    def cached(
        self, name: str, make: Callable[[], dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """What `make` gives for these views, or gave in an earlier run: a `Cached`. On disk if it
        took long. Raises MappingError.
        """
        views = self._encoded.views
        header = {
            "fingerprint": self._fingerprint,
            "views": str(len(views)),
            "patches": str(views.patches),
        }
        path = self.folder / f"learned-{name}.safetensors"
        if path.is_file():
            tensors, found = read_saved(path, self._fingerprint)
            if found == header:
                return tensors
        start = time.perf_counter()
        tensors = {key: part.contiguous() for key, part in make().items()}
        if time.perf_counter() - start > self._every_s:
            self._write(f"learned-{name}", tensors, header)
        return tensors

    def restore(self) -> dict[str, Any]:
        """Fill the views with what is on disk; the state of then, empty where there is nothing.

        Raises MappingError for files of another bag or other settings, or damaged ones.
        """
        state: dict[str, Any] = {}
        for path in sorted(self.folder.glob("encoded-*.safetensors")):
            tensors, header = read_saved(path, self._fingerprint)
            try:
                if path.stem != f"encoded-{len(self._encoded.views):08d}":
                    raise ValueError("a file before this one is missing")
                self._append(tensors, int(header["patches"]))
                state = json.loads(header["state"])
            except (KeyError, ValueError, RuntimeError, IndexError) as error:
                raise damaged(path) from error
        self._views = len(self._encoded.views)
        self._restore_points(sorted(self.folder.glob("points-*.safetensors")))
        self._triangulated = self._encoded.triangulated
        return state

    def _restore_points(self, paths: list[Path]) -> None:
        for path in paths:
            tensors, header = read_saved(path, self._fingerprint)
            try:
                if int(header["patches"]) != self._encoded.views.patches:
                    for outdated in paths:  # resumed with less memory: triangulated anew
                        outdated.unlink()
                    return
                if path.stem != f"points-{self._encoded.triangulated:08d}":
                    raise ValueError("a file before this one is missing")
                self._place(tensors, int(header["views"]), int(header["placed"]))
            except (KeyError, ValueError, RuntimeError, IndexError) as error:
                raise damaged(path) from error

    def remove(self) -> None:
        """The files have served, or are of a run that nobody goes on with. The last ones first:
        what a kill leaves can be gone on from.
        """
        for path in sorted(self.folder.glob("*.safetensors*"), reverse=True):
            path.unlink()
        with suppress(OSError):  # it is not there, or somebody put something into it
            self.folder.rmdir()

    def _first_row(self) -> int:
        views = self._encoded.views
        return views.rows(self._views).start if self._views < len(views) else views.end

    def _encodings(self) -> dict[str, torch.Tensor]:
        views = self._encoded.views
        rows = slice(self._first_row(), views.end)
        new = range(self._views, len(views))
        # not those of `features`, which other ranks may have lent
        rows_vk = [[views.rows(view, copy) for copy in range(views.copies)] for view in new]
        descriptors_vG = views.descriptors_vG
        descriptors = {} if descriptors_vG is None else {"codes_vG": descriptors_vG[self._views :]}
        return descriptors | {
            "descriptors_nC": views.samples.descriptors_nC[rows],
            "pixels_n2": views.samples.pixels_n2[rows],
            "scores_n": views.scores_n[rows],
            "lengths_vk": torch.tensor(
                [[copy.stop - copy.start for copy in view] for view in rows_vk]
            ),
            "map_from_camera_v34": torch.from_numpy(
                stack(views.recorded_map_from_camera[self._views :])
            ),
            "stamps_v": torch.from_numpy(views.stamps_v[self._views :]),
            "drives_v": torch.from_numpy(views.drives_v[self._views :]),
            "intrinsics_v4": views.recorded_intrinsics_v4[self._views :],
        }

    def _append(self, tensors: dict[str, torch.Tensor], patches: int) -> None:
        """What `_encodings` gave, with as few patches a view as there were then."""
        views = self._encoded.views
        if patches < views.patches:
            views.thin(patches)
        names = ("descriptors_nC", "pixels_n2", "scores_n")
        lengths = tensors["lengths_vk"].flatten().tolist()
        parts = zip(*(torch.split(tensors[name], lengths) for name in names), strict=True)
        copies = [LocalFeatures(*part) for part in parts]
        matrices_v34 = tensors["map_from_camera_v34"].numpy()
        descriptors_vG = tensors.get("codes_vG")
        for index, matrix_34 in enumerate(matrices_v34):
            own, *augmented = copies[index * views.copies : (index + 1) * views.copies]
            pose = Pose(matrix_34[:, :3], matrix_34[:, 3])
            descriptor_G = None if descriptors_vG is None else descriptors_vG[index]
            stamp_ns, drive = (int(tensors[name][index]) for name in ("stamps_v", "drives_v"))
            view = MappingView(
                own, pose, tensors["intrinsics_v4"][index], descriptor_G, stamp_ns, drive
            )
            views.append(view, augmented)

    def _place(self, tensors: dict[str, torch.Tensor], views_then: int, triangulated: int) -> None:
        views, first = self._encoded.views, self._encoded.triangulated
        if views_then != len(views):
            raise ValueError("the points are of other views")
        rows = slice(views.rows(first).start, views.rows(triangulated - 1, -1).stop)
        views.samples.points_n3[rows] = tensors["points_n3"]
        views.samples.has_point_n[rows] = tensors["has_point_n"]
        self._encoded.triangulated = triangulated

    def _write(self, name: str, tensors: dict[str, torch.Tensor], header: dict[str, str]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MappingError(f"{self.folder} cannot be made: {error.strerror}") from error
        write_saved(self.folder / f"{name}.safetensors", save(tensors, header))
