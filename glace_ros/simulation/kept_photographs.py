"""Photographs of a long drive, kept in parts on disk: what was killed goes on with the next part.

Where all parts are there, nothing is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.atomic_write import replacing
from glace_ros.simulation.photographer import Photographer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.simulation.building import Building


@dataclass(frozen=True)
class KeptPhotographs:
    """A photographer of one drive.

    folder: of its parts, and of no other drive's.
    building: what is photographed.
    workers: see `Photographer`.
    part: how many photographs a part has.
    """

    folder: Path
    building: Building
    workers: int | None = None
    part: int = 50

    def photographs(
        self, camera: Camera, poses: Sequence[Pose], seed: int
    ) -> Iterator[NDArray[np.uint8]]:
        """Pictures uint8 (height, width, 3), RGB, from map_from_camera poses, in their order."""
        self.folder.mkdir(parents=True, exist_ok=True)
        starts = range(0, len(poses), self.part)
        there = [start for start in starts if self._file(start).is_file()]
        yield from (picture for start in there for picture in np.load(self._file(start)))
        if len(there) == len(starts):
            return
        first = len(there) * self.part
        with Photographer(self.building, workers=self.workers) as photographer:
            new = photographer.photographs(camera, poses[first:], seed, first)
            for start in starts[len(there) :]:
                pictures = [next(new) for _ in poses[start : start + self.part]]
                with replacing(self._file(start)) as partial, partial.open("wb") as file:
                    np.save(file, np.stack(pictures))
                yield from pictures

    def _file(self, start: int) -> Path:
        return self.folder / f"{start:06d}.npy"
