"""What is remembered while a map is built, for its report. Of a fixed size, however long the
recording is.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.transform_tree import TransformError
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.report.coverage import Views
from glace_ros.report.point_cloud import points_seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.localizer import Localizer
    from glace_ros.mapping.training.schedule import TrainingProgress
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.rejection import Rejection
    from glace_ros.report.point_cloud import PointCloud

MAPPING_IMAGES = 16
"""So many mapping images are remembered of a longer recording, or up to twice as many."""
_POINTS_PER_IMAGE = 400
"""Of the cloud; with _MOST_CLOUDS at most 200 000 points in the PLY file."""
_MOST_CLOUDS = 500
_WORST_FOUND = 4
"""Held-out images with a pose that the page shows."""
_WORST_MISSED = 2
"""And of those without one."""
_APART_NS = 1_000_000_000
"""Nearer images show the same failure."""
_TRAJECTORY_STEP_NS = 250_000_000
"""A robot drives a few decimetres in that time, less than what counts as near on the plan."""
_MOST_TRAJECTORY = 5000
"""Of a drive of over 20 minutes the steps are longer."""


class HeldOutView(NamedTuple):
    """Where a held-out image was taken, and where by the map."""

    stamp_ns: int
    map_from_camera: Pose
    """As recorded; optical axes."""
    estimate: Pose | None
    """Of the camera in the map; None: it got no pose."""
    drive: int = 0
    """Which of the recordings it is from."""


class ShownImage(NamedTuple):
    """An image that the report may show, and where it was taken."""

    error_m: float
    """Infinite where it got no pose."""
    image: PosedImage
    map_from_camera: Pose
    """As recorded; optical axes."""
    result: PoseEstimate | Rejection
    """What the map made of it."""


class BuildRecord:
    """Hand it what comes by: mapping images, training progress, held-out results."""

    def __init__(self) -> None:
        self.mapping_images: list[PosedImage] = []
        """Some of the images that the map is made of, evenly spread."""
        self.training: list[TrainingProgress] = []
        """How training went, in order of its steps."""
        self.held_out: list[HeldOutView] = []
        """All held-out images that have a recorded pose."""
        self.clouds: list[PointCloud] = []
        """What the map was seen to give rightly: a cloud an image."""
        self.depths_m: list[float] = []
        """How far the camera looks: the median depth of each cloud."""
        self._found: list[ShownImage] = []
        self._missed: list[ShownImage] = []

    def watch(self, images: Iterable[PosedImage]) -> Iterator[PosedImage]:
        """The same images; some of them, evenly spread, are remembered."""
        every = 1
        for index, image in enumerate(images):
            if index % every == 0:
                self.mapping_images.append(image)
                if len(self.mapping_images) >= 2 * MAPPING_IMAGES:
                    del self.mapping_images[1::2]
                    every *= 2
            yield image

    def add_held_out(self, image: PosedImage, result: PoseEstimate | Rejection) -> None:
        """One held-out image and what the localizer made of it."""
        truth = image.map_from_camera
        if truth is None:
            return
        estimate = result.map_from_camera if isinstance(result, PoseEstimate) else None
        self.held_out.append(HeldOutView(image.stamp_ns, truth, estimate, image.drive))
        error_m = estimate.distance_m(truth) if estimate else float("inf")
        shown, most = (self._found, _WORST_FOUND) if estimate else (self._missed, _WORST_MISSED)
        _keep_worst(shown, ShownImage(error_m, image, truth, result), most)
        self._add_points(image, truth, result)

    def look_at_mapping_images(self, localizer: Localizer) -> None:
        """Adds the points that the map sees in the mapping images that were remembered."""
        for image in self.mapping_images:
            if image.map_from_camera is not None:
                result = localizer.localize(image.image_rgb_hwc, image.camera, image.moved)
                self._add_points(image, image.map_from_camera, result)

    @property
    def worst(self) -> list[ShownImage]:
        """Held-out images to show: the most wrong poses, then images without one."""
        return [*self._found, *self._missed]

    def _add_points(
        self, image: PosedImage, map_from_camera: Pose, result: PoseEstimate | Rejection
    ) -> None:
        if len(self.clouds) >= _MOST_CLOUDS:
            return
        cloud = points_seen(result, image, map_from_camera)
        if len(cloud):
            depth_p = map_from_camera.inverse().transform(cloud.points_p3)[:, 2]
            self.depths_m.append(float(np.median(depth_p)))
            self.clouds.append(cloud.thinned(_POINTS_PER_IMAGE))


def _keep_worst(shown: list[ShownImage], new: ShownImage, most: int) -> None:
    """Takes `new` in, worst first; of images within a second of each other the worst alone."""
    shown.append(new)
    shown.sort(key=lambda other: -other.error_m)
    worst: list[ShownImage] = []
    for other in shown:
        stamp_ns = other.image.stamp_ns
        if all(abs(stamp_ns - worse.image.stamp_ns) >= _APART_NS for worse in worst):
            worst.append(other)
    shown[:] = worst[:most]


def drive_starts_ns(reader: DrivesReader) -> list[int]:
    """When by the clock of each drive it was 0:00 of the first one, ns, as if each drive had begun
    where the one before it ended.
    """
    before_s = drive_begins_s(reader)
    return [d.zero_ns() - round(s * 1e9) for d, s in zip(reader.drives, before_s, strict=True)]


def drive_begins_s(reader: DrivesReader) -> list[float]:
    """Where each drive begins, from 0:00 of the first one."""
    durations_s = [drive.info.duration_s for drive in reader.drives]
    return list(accumulate(durations_s[:-1], initial=0.0))


def recorded_trajectory(
    reader: DrivesReader, starts_ns: Sequence[int], of_camera: Callable[[int, int, Pose], Pose]
) -> tuple[Views, float]:
    """The camera along all drives, and the seconds between two of these views.

    starts_ns: 0:00 by the clock of each drive. Moments without a pose are left out.
    of_camera: as in `map_report`.
    """
    spans_ns = [_span_ns(drive) for drive in reader.drives]
    length_ns = sum(last_ns - first_ns for first_ns, last_ns in spans_ns)
    step_ns = max(_TRAJECTORY_STEP_NS, length_ns // _MOST_TRAJECTORY)
    times_s, poses = [], []
    for number, (drive, span_ns) in enumerate(zip(reader.drives, spans_ns, strict=True)):
        for stamp_ns in range(*span_ns, step_ns):
            try:
                poses.append(of_camera(number, stamp_ns, drive.map_from_camera(stamp_ns)))
            except TransformError:
                continue
            times_s.append((stamp_ns - starts_ns[number]) * 1e-9)
    return views_of(poses, times_s), step_ns * 1e-9


def _span_ns(drive: PosedImageReader) -> tuple[int, int]:
    """From the first to the last of its poses."""
    stamps_n = drive.pose_stamps_n()
    return (int(stamps_n[0]), int(stamps_n[-1])) if len(stamps_n) else (0, 0)


def views_of(poses: Sequence[Pose], time_s: Sequence[float]) -> Views:
    """Camera poses as views.

    poses: map_from_camera.
    time_s: of each, from 0:00 of the recording.
    """
    return Views(
        np.asarray(time_s, np.float64),
        np.array([pose.translation_3 for pose in poses]).reshape(-1, 3),
        np.array([pose.rotation_33[:, 2] for pose in poses]).reshape(-1, 3),
    )
