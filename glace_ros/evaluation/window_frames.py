"""What each image of a bag gives together with those before it, beside what it gives alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.errors import RecordingError
from glace_ros.evaluation.localized_frame import LocalizedFrame, localized_frame
from glace_ros.evaluation.metrics import rejection_counts, summarize_frames
from glace_ros.evaluation.metrics_table import metrics_table
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.localization.image_window import ImageMotion
from glace_ros.localization.image_window_config import ImageWindowConfig, WindowConfig
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.localization.window_localizer import WindowLocalizer
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.ros_messages.reading import ODOMETRY

if TYPE_CHECKING:
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.localizer import Localizer
    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.recording.posed_images import PosedImage


class WindowFrames:
    """Looks at a bag's images in their order.

    localizer: of the map.
    images: of a window, at most.
    """

    def __init__(self, localizer: Localizer, images: int) -> None:
        config = WindowConfig(window=ImageWindowConfig(images=images))
        self._localizer, self._images = WindowLocalizer(localizer, config), images
        self._frames: list[LocalizedFrame] = []
        self._carried_by: list[int] = []
        self._ambiguous = self._ambiguous_alone = 0

    def look(
        self,
        image: PosedImage,
        base_from_camera: Pose,
        odometry: PosedImageReader,
        exposed_ns: int | None = None,
    ) -> LocalizedFrame:
        """What the image gives alone.

        image: with its truth.
        base_from_camera: where the camera sits.
        odometry: of the same bag.
        exposed_ns: of the image; None: its stamp.
        """
        at_ns = image.stamp_ns if exposed_ns is None else exposed_ns
        try:
            motion = ImageMotion(at_ns, odometry.map_from_base(at_ns), base_from_camera)
        except TransformError:
            motion = None
        glance = self._localizer.look(image.image_rgb_hwc, image.camera, image.moved)
        alone, together = glance.alone, self._localizer.resolve(glance, motion)
        self._ambiguous_alone += isinstance(alone, PoseEstimate) and alone.ambiguous
        if isinstance(together, PoseEstimate):
            self._ambiguous += together.ambiguous
            self._carried_by.append(together.images)
        self._frames.append(localized_frame(together, image, base_from_camera))
        return localized_frame(alone, image, base_from_camera)

    def metrics(self, *, foreign: bool) -> dict[str, Any]:
        """Under `window` in JSON. foreign: the images are out-of-map."""
        frames = [_without_truth(frame) for frame in self._frames] if foreign else self._frames
        metrics = {
            "images": self._images,
            "images_mean": float(np.mean(self._carried_by)) if self._carried_by else None,
            "ambiguous": self._ambiguous,
            "ambiguous_alone": self._ambiguous_alone,
            **summarize_frames(frames),
        }
        if foreign:
            metrics["foreign_accepts"] = len(self._carried_by)
        return metrics

    def rows(self, *, foreign: bool) -> list[tuple[str, str]]:
        """For a table, each row named so."""
        metrics = self.metrics(foreign=foreign)
        mean = metrics["images_mean"]
        rows = [
            ("images that carry a pose", "none" if mean is None else f"{mean:.1f} in the mean"),
            ("ambiguous", f"{self._ambiguous}, alone {self._ambiguous_alone}"),
        ]
        if foreign:
            rows.append(("accepted", str(metrics["foreign_accepts"])))
            counts = rejection_counts(self._frames)
            rows += [(f"refused: {code.words}", str(count)) for code, count in counts.items()]
        else:
            rows += metrics_table(metrics)
        return [(f"window of {self._images}: {what}", value) for what, value in rows]


def open_odometry(
    reader: RecordingReader, source: str | None, what: str = "--window"
) -> RecordingReader:
    """A reader of the same bag whose poses are those of odometry.

    reader: of the bag.
    source: an odometry topic or `tf:FRAME`; None: the bag's only odometry, else `tf:odom`.
    what: needs it.
    Raises RecordingError where there is none.
    """
    info = reader.info
    if source is None:
        topics = [each.name for each in info.topics.values() if each.msgtype == ODOMETRY]
        if len(topics) > 1:
            raise RecordingError(
                f"{info.path} has several odometry topics ({', '.join(sorted(topics))}); choose "
                "the one between its images with --odometry"
            )
        source = topics[0] if topics else "tf:odom"
    try:
        return reader.with_poses_of(source)
    except RecordingError as error:
        raise RecordingError(
            f"{what} needs odometry between the images: {error}; choose it with --odometry"
        ) from error


def _without_truth(frame: LocalizedFrame) -> LocalizedFrame:
    return replace(frame, truth=None)
