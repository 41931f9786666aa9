"""Photographs along a drive, by several processes: rendering is the recording's main work."""

from __future__ import annotations

import multiprocessing
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from glace_ros.simulation.renderer import Renderer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.simulation.building import Building
    from glace_ros.simulation.renderer import SensorConfig

# of a worker process: each has the building for itself
_renderer: Renderer | None = None


class Photographer:
    """Takes photographs in one building. Context manager: ends its processes.

    building: what is photographed.
    sensor: what the camera adds; None: the default.
    workers: processes beside this one; 0 renders here, None takes one for each core. Pictures do
        not depend on it: each has a random generator of its own.
    """

    def __init__(
        self,
        building: Building,
        sensor: SensorConfig | None = None,
        workers: int | None = None,
    ) -> None:
        self._renderer = Renderer(building, sensor)
        self._workers = len(os.sched_getaffinity(0)) if workers is None else workers
        self._pool: multiprocessing.pool.Pool | None = None

    def __enter__(self) -> Photographer:
        if self._workers:
            # not forked: the parent may run threads (a progress bar, PyTorch's)
            self._pool = multiprocessing.get_context("spawn").Pool(
                self._workers, _start_worker, (self._renderer,)
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    def photographs(
        self, camera: Camera, poses: Sequence[Pose], seed: int, first: int = 0
    ) -> Iterator[NDArray[np.uint8]]:
        """Pictures uint8 (height, width, 3), RGB, from map_from_camera poses, in their order.

        first: the number of the first among all of the drive's pictures.
        """
        jobs = [(camera, pose, [seed, index]) for index, pose in enumerate(poses, first)]
        if self._pool is not None:
            yield from self._pool.imap(_photograph, jobs, chunksize=2)
        else:
            yield from map(partial(_photograph, renderer=self._renderer), jobs)


def _start_worker(renderer: Renderer) -> None:
    global _renderer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    cv2.setNumThreads(1)
    _renderer = renderer


def _photograph(
    job: tuple[Camera, Pose, list[int]], renderer: Renderer | None = None
) -> NDArray[np.uint8]:
    camera, map_from_camera, seed = job
    renderer = renderer or _renderer
    assert renderer is not None
    return renderer.photograph(camera, map_from_camera, np.random.default_rng(seed))
