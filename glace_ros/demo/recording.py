"""The demo's two recordings: a mapping drive, and another drive through the same building."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.atomic_write import write_atomically
from glace_ros.simulation import drive
from glace_ros.simulation.bag import BagConfig, write_bag
from glace_ros.simulation.building import BuildingConfig, build
from glace_ros.simulation.photographer import Photographer
from glace_ros.simulation.program_hash import program_hash

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True)
class DemoRecordingConfig:
    """What the two drives record; see the classes of the attributes for the defaults.

    One room and a corridor: what two cores learn to centimetres in the minutes of a demo.
    """

    building: BuildingConfig = field(default_factory=lambda: BuildingConfig(rooms=1))
    """What is driven through."""
    mapping: BagConfig = field(
        default_factory=lambda: BagConfig(with_map_frame=True, image_rate_hz=2.8, seed=1)
    )
    """What is recorded on the mapping drive."""
    query: BagConfig = field(
        default_factory=lambda: BagConfig(
            with_truth=True, image_rate_hz=2.5, seed=2, start_ns=BagConfig.start_ns + _DAY_NS
        )
    )
    """What is recorded on the query drive, a day later."""

    def with_seed(self, seed: int) -> DemoRecordingConfig:
        """Another building and other drives for another seed."""
        return replace(
            self,
            building=replace(self.building, seed=self.building.seed + seed),
            mapping=replace(self.mapping, seed=self.mapping.seed + 2 * seed),
            query=replace(self.query, seed=self.query.seed + 2 * seed),
        )


@dataclass(frozen=True, eq=False)
class DemoRecording:
    """The two drives as recorded.

    mapping, query: the bags.
    obstacles_m: (n, 4) x0, y0, x1, y1 of walls and furniture, in the map.
    new: recorded now, not found from before.
    """

    mapping: Path
    query: Path
    obstacles_m: NDArray[np.float64]
    new: bool


def record_demo(folder: Path, config: DemoRecordingConfig, progress: Progress) -> DemoRecording:
    """Records both drives into `folder`, unless they are there already, of the same config.

    progress: opened for each drive with its name; is then called with images done and in all.
    """
    note = folder / "recording.json"
    made_of = {"config": repr(config), "program": program_hash()}
    paths = folder / "mapping", folder / "query"
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = json.loads(note.read_text())
        if found["made_of"] == made_of:
            return DemoRecording(*paths, np.array(found["obstacles_m"]), new=False)
    note.unlink(missing_ok=True)
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
    with progress("build the flat"):
        building = build(config.building)
        photographer = Photographer(building)
    routes = drive.mapping_route(building), drive.query_route(building, config.query.seed)
    with photographer:
        for path, route, bag in zip(paths, routes, (config.mapping, config.query), strict=True):
            with progress(f"record {path.name}") as advance:
                write_bag(path, drive.drive(building, route), photographer, bag, advance)
    obstacles_m = building.obstacles_m
    content = {"made_of": made_of, "obstacles_m": obstacles_m.tolist()}
    write_atomically(note, json.dumps(content))
    return DemoRecording(*paths, obstacles_m, new=True)
