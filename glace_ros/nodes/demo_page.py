"""The demo's page: what was measured, and a look at the map through the localizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.localization.localizer import Localizer, PoseEstimate
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.report import Figure, Picture, Report
from glace_ros.scene.scene_map import SceneMap

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.nodes.demo_results import DemoResults
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.simulation.demo_recording import DemoRecording

_MAP_IMAGES = 45


def demo_report(
    recording: DemoRecording,
    map_path: Path,
    results: DemoResults,
    left_out: dict[str, int],
    seconds: dict[str, float],
) -> Report:
    """left_out: of the mapping drive, by reason. seconds: what each stage took."""
    scene_map = SceneMap.load(map_path)
    localizer = Localizer(scene_map)
    points_p3, colours_p3 = _map_points(localizer, recording.mapping)
    started_ns = results.stamps_ns[0]
    size = Figure("size of the map file", f"{map_path.stat().st_size / 1e6:.2f} MB")
    nothing_3 = np.full(3, np.nan)
    estimate_f3 = [nothing_3 if e is None else e.translation_3 for e in results.estimates]
    return Report(
        title="glace_ros demo: a simulated flat, mapped and found again",
        passed=results.passed,
        verdict=results.verdict,
        figures=[*results.figures(), size],
        time_s_f=(results.stamps_ns - started_ns) * 1e-9,
        truth_f3=np.stack([pose.translation_3 for pose in results.truth]),
        estimate_f3=np.stack(estimate_f3),
        error_m_f=results.error_m_f,
        error_deg_f=results.error_deg_f,
        between_time_s_n=(results.between_ns - started_ns) * 1e-9,
        between_error_m_n=results.between_m_n,
        mapping_xy_n2=results.mapping_xy_n2,
        obstacles_m=recording.obstacles_m,
        points_p3=points_p3,
        colours_p3=colours_p3,
        pictures=_pictures(localizer, recording.query, results),
        left_out=[(f"mapping image: {reason}", count) for reason, count in left_out.items()]
        + [(f"query image: {reason}", count) for reason, count in results.reasons.items()],
        timings=list(seconds.items()),
        notes=[
            "The building, both drives, odometry and its drift are simulated; the query drive is "
            "another than the mapping drive, through the same rooms.",
            "The poses were published by a `localize` process while the query bag was played to "
            "it in real time over ROS 2 topics. The truth was not in that graph.",
            "An image without a pose counts as infinitely wrong in medians and shares.",
        ],
    )


def _map_points(localizer: Localizer, bag: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Points (p, 3) that the map gives for patches of its own drive, and their colours (p, 3)."""
    points, colours = [np.empty((0, 3))], [np.empty((0, 3), np.uint8)]
    with RecordingReader(bag) as reader:
        every = max(1, reader.image_count // _MAP_IMAGES)
        for index, image in enumerate(reader.images()):
            result = (
                localizer.localize(image.image_rgb_hwc, image.camera)
                if index % every == 0
                else None
            )
            if not isinstance(result, PoseEstimate):
                continue
            # of those that agree with the pose, the ones that do so closely
            close_m = _errors_px(result, image) < 3.0
            rows, columns = np.round(result.pixels_m2[close_m, ::-1]).astype(int).T
            height, width = image.image_rgb_hwc.shape[:2]
            points.append(result.points_m3[close_m])
            colours.append(
                image.image_rgb_hwc[rows.clip(0, height - 1), columns.clip(0, width - 1)]
            )
    return np.concatenate(points), np.concatenate(colours)


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
    result = localizer.localize(image.image_rgb_hwc, image.camera)
    if not isinstance(result, PoseEstimate):
        return Picture(image.image_rgb_hwc, f"{what}: {result.reason}")
    errors_m = _errors_px(result, image)
    caption = (
        f"{what}: {100 * results.error_m_f[index]:.1f} cm, {results.error_deg_f[index]:.2f}°; "
        f"{result.inliers} of {result.points} points agree"
    )
    return Picture(image.image_rgb_hwc, caption, result.pixels_m2, errors_m)


def _errors_px(estimate: PoseEstimate, image: PosedImage) -> NDArray[np.float64]:
    """How far (m,) each inlier's projection is from its pixel."""
    points_m3 = estimate.map_from_camera.inverse().transform(estimate.points_m3)
    pixels_m2 = image.camera.project(points_m3)
    return np.asarray(np.linalg.norm(pixels_m2 - estimate.pixels_m2, axis=1))
