"""The demo's page: what was measured, and a look at the map through the localizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.localization.localizer import Localizer
from glace_ros.localization.pose_estimate import PoseEstimate, errors_px
from glace_ros.maps.scene_map import SceneMap
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.report.charts import Run, error_over_time, recall_curve, turnable_points
from glace_ros.report.page import (
    Metric,
    Page,
    Verdict,
    chart,
    listed,
    metric_table,
    paragraph,
    picture_grid,
    section,
    side_by_side,
)
from glace_ros.report.pictures import Picture
from glace_ros.report.plan import plan_of_run
from glace_ros.report.point_cloud import PointCloud, joined, points_seen

if TYPE_CHECKING:
    from pathlib import Path

    from glace_ros.demo.recording import DemoRecording
    from glace_ros.demo.results import DemoResults
    from glace_ros.recording.posed_images import PosedImage

_MAP_IMAGES = 45
"""About so many images of the mapping drive are localized for the page's points."""


def demo_page(
    recording: DemoRecording,
    map_path: Path,
    results: DemoResults,
    left_out: dict[str, int],
    seconds: dict[str, float],
) -> Page:
    """The page of a demo.

    left_out: of the mapping drive, by reason.
    seconds: what each stage took.
    """
    localizer = Localizer(SceneMap.load(map_path))
    cloud = _map_points(localizer, recording.mapping)
    pictures = _pictures(localizer, recording.query, results)
    size = Metric("size of the map file", f"{map_path.stat().st_size / 1e6:.2f} MB")
    run = _run(results)
    between_s_n = (results.between_ns - results.stamps_ns[0]) * 1e-9
    reasons = [Metric(f"mapping image: {reason}", str(count)) for reason, count in left_out.items()]
    without_pose = results.without_pose.items()
    reasons += [Metric(f"query image: {why.words}", str(count)) for why, count in without_pose]
    timings = [Metric(what, f"{spent_s:.1f} s") for what, spent_s in seconds.items()]
    return Page(
        "glace_ros demo: a simulated flat, mapped and found again",
        Verdict("good", "Passed", results.verdict)
        if results.passed
        else Verdict("bad", "Not reached", results.verdict),
        [
            section("Figures", metric_table([*results.metrics(), size])),
            section(
                "Seen from above",
                chart(
                    plan_of_run(run, results.mapping_xy_n2, recording.obstacles_m),
                    700,
                    bottom_px=92,
                ),
                "A dot is the pose published for one image; a line joins it to where the robot "
                "was.",
            ),
            section(
                "How many images are how exact",
                side_by_side(
                    chart(recall_curve(run.error_cm_f, "cm"), 320, top_px=14),
                    chart(recall_curve(run.error_deg_f, "deg"), 320, top_px=14),
                ),
            ),
            section(
                "Error along the drive",
                chart(error_over_time(run, between_s_n, results.between_m_n), 420),
            ),
            section(
                "The map",
                chart(turnable_points(cloud, run.truth_f3, "robot"), 640, most_slender=1.0),
                "Points that the network sees in the pictures, where it says they are. Turn it.",
            ),
            section(
                "Pictures",
                picture_grid(pictures),
                "Rings: patches that agree with the pose (blue: within 1 px, brown: 20 px).",
            ),
            section(
                "Left out, and why",
                metric_table(reasons) if reasons else paragraph("Nothing was left out."),
            ),
            section("Time it took", metric_table(timings)),
            section("Notes", listed(_NOTES)),
        ],
    )


_NOTES = [
    "The building, both drives, odometry and its drift are simulated; the query drive is another "
    "than the mapping drive, through the same rooms.",
    "The poses were published by a `localize` process while the query bag was played to it in real "
    "time over ROS 2 topics. The truth was not in that graph.",
    "An image without a pose counts as infinitely wrong in medians and shares.",
]


def _run(results: DemoResults) -> Run:
    nothing_3 = np.full(3, np.nan)
    estimates = [nothing_3 if e is None else e.translation_3 for e in results.estimates]
    return Run(
        (results.stamps_ns - results.stamps_ns[0]) * 1e-9,
        np.stack([pose.translation_3 for pose in results.truth]),
        np.stack(estimates),
        results.error_m_f,
        results.error_deg_f,
    )


def _map_points(localizer: Localizer, bag: Path) -> PointCloud:
    """What the map says of images of its own drive, where that agrees with their poses."""
    clouds = []
    with RecordingReader(bag) as reader:
        every = max(1, reader.info.image_count // _MAP_IMAGES)
        for index, image in enumerate(reader.images()):
            if index % every == 0 and image.map_from_camera is not None:
                result = localizer.localize(image.image_rgb_hwc, image.camera, image.moved)
                clouds.append(points_seen(result, image, image.map_from_camera))
    return joined(clouds)


def _pictures(localizer: Localizer, bag: Path, results: DemoResults) -> list[Picture]:
    """The best, the median and the worst image of those that got a pose, and one that got none."""
    found = np.flatnonzero(np.isfinite(results.error_m_f))
    ranked = found[np.argsort(results.error_m_f[found])]
    missing = np.flatnonzero(~np.isfinite(results.error_m_f))
    chosen: dict[int, str] = {}
    if len(ranked):
        chosen[int(ranked[len(ranked) // 2])] = "The median of those that got a pose"
        chosen[int(ranked[len(ranked) // 10])] = "One of the best"
        chosen[int(ranked[-1])] = "The worst that got a pose"
    if len(missing):
        chosen[int(missing[0])] = "One without a pose"
    pictures = {}
    with RecordingReader(bag, pose_source="tf:odom") as reader:
        for index, image in enumerate(reader.images()):
            if index in chosen:
                pictures[index] = _picture(localizer, image, chosen[index], results, index)
    return [pictures[index] for index in chosen if index in pictures]


def _picture(
    localizer: Localizer, image: PosedImage, what: str, results: DemoResults, index: int
) -> Picture:
    result = localizer.localize(image.image_rgb_hwc, image.camera, image.moved)
    if not isinstance(result, PoseEstimate):
        return Picture(image.image_rgb_hwc, f"{what}: {result.reason}")
    errors_m = errors_px(result, result.map_from_camera)
    caption = (
        f"{what}: {100 * results.error_m_f[index]:.1f} cm, {results.error_deg_f[index]:.2f}°; "
        f"{result.inliers} of {result.points} points agree"
    )
    return Picture(image.image_rgb_hwc, caption, result.pixels_m2, errors_m)
