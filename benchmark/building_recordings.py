"""The recordings of benchmark/building.py: drives through the simulated ring of offices.

Each is written once; what another version of the simulation recorded is recorded anew.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.camera import Camera
from glace_ros.simulation import drive, ring_routes
from glace_ros.simulation.bag import DEMO_CAMERA, BagConfig, write_bag
from glace_ros.simulation.kept_photographs import KeptPhotographs
from glace_ros.simulation.lighting import DAYLIGHT
from glace_ros.simulation.odometry import OdometryNoise
from glace_ros.simulation.program_hash import program_hash
from glace_ros.simulation.ring_building import RingConfig, build_ring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from glace_ros.simulation.drive import Waypoint

WHEELS = OdometryNoise(
    distance_scale=0.01, distance_per_root_m=0.006, turn_scale=0.01,
    yaw_per_m_rad=float(np.radians(0.05)), yaw_per_root_m_rad=float(np.radians(0.3)),
    yaw_per_root_rad=float(np.radians(0.3)),
)  # fmt: skip
WIDE = Camera(
    400, 300, 214.3, 213.1, 203.9, 146.2, DEMO_CAMERA.distortion_model, DEMO_CAMERA.distortion
)
"""86 degrees, as many robots have."""
BASE = BagConfig(camera=WIDE, noise=WHEELS, with_truth=True)
_DAY_NS = 86_400 * 1_000_000_000
_MOTION = drive.DriveConfig(speed_mps=0.6, turn_rate_radps=0.6)
FIRST_DAY = RingConfig()
OTHER_DAY = replace(FIRST_DAY, day=1, light=DAYLIGHT)


@dataclass(frozen=True)
class Recording:
    """One drive.

    building: as it is on the drive's day.
    route: its way.
    bag: what is recorded.
    """

    building: RingConfig
    route: Callable[[RingConfig], list[Waypoint]]
    bag: BagConfig

    @property
    def fingerprint(self) -> str:
        """Of all that it depends on."""
        made_of = f"{self.building} {self.route.__name__} {self.bag} {_MOTION} {program_hash()}"
        return hashlib.sha256(made_of.encode()).hexdigest()[:16]


def _first_query(config: RingConfig) -> list[Waypoint]:
    return ring_routes.query_route(config, seed=1)


def _other_query(config: RingConfig) -> list[Waypoint]:
    return ring_routes.query_route(config, seed=2)


def recordings(seed: int, rate_hz: float = 1.1) -> dict[str, Recording]:
    """By name.

    seed: of the odometry's and the pictures' noise.
    rate_hz: of the images of the first mapping drive.
    """

    def bag(number: int, rate_hz: float) -> BagConfig:
        start_ns = BASE.start_ns + number * _DAY_NS
        return replace(BASE, seed=10 * seed + number, start_ns=start_ns, image_rate_hz=rate_hz)

    return {
        "mapping": Recording(FIRST_DAY, ring_routes.mapping_route, bag(0, rate_hz)),
        "query": Recording(FIRST_DAY, _first_query, bag(1, 0.5)),
        "other_mapping": Recording(OTHER_DAY, ring_routes.second_route, bag(2, 0.9)),
        "other_query": Recording(OTHER_DAY, _other_query, bag(3, 0.5)),
    }


def record(
    folder: Path, name: str, recording: Recording, progress: Callable[[int, int], None]
) -> Path:
    """The recording's bag below `folder`, written where it is not there."""
    path = folder / f"{name}_{recording.fingerprint}" / name
    if not path.is_dir():
        building, parts = build_ring(recording.building), path.parent / "parts"
        pictures = KeptPhotographs(parts, building)
        way = drive.drive(building, recording.route(recording.building), _MOTION)
        write_bag(path, way, pictures, recording.bag, progress)
        shutil.rmtree(parts)
    return path
