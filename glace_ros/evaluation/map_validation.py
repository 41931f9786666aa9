"""How good a new map is, by images that training never saw, and what that means for its use."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glace_ros.evaluation.calibration import (
    LEAST_BESIDE_LANDMARKS,
    RATIO_BOUNDS,
    acceptance_threshold,
    covariance_model,
    covariance_scale,
    is_gross_error,
    second_best_threshold,
    window_thresholds,
)
from glace_ros.evaluation.localized_frame import (
    LocalizedFrame,
    localize_frame,
    localized_frame,
)
from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.evaluation.window_runs import WindowRuns
from glace_ros.evaluation.wrong_places import WrongPlaces
from glace_ros.geometry.covariance import CovarianceModel
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.mapping.parallel import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.maps.scene_map import SceneMap
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.rejection import Rejection

FAILED_HELD_OUT = 3
"""Exit code of programs that made a map which is not usable."""
_HELD_OUT_METRICS = (
    "frames",
    "localized",
    "median_translation_m",
    "median_rotation_deg",
    "recall",
)
_AT_ONCE = 8
"""Non-keyframes in memory, worked on together: how long one takes is not asked of them."""
WRONG_PLACES = 30
"""Held-out frames that also show what wrong places give; no more, as RANSAC takes longest there."""
USABLE_RECALL = 0.3
"""Ratio of held-out frames that must come within 50 cm / 5 deg for a map to count as usable.
Held-out blocks are gaps in the map's coverage: a robot on the recording's own trajectory sees more.
"""


@dataclass(frozen=True, eq=False)
class MapValidation:
    """What held-out images say of a map."""

    scene_map: SceneMap
    """The map with its held-out accuracy, acceptance threshold and covariance scales."""
    frames: list[LocalizedFrame]
    """The held-out ones, with the errors of their poses."""
    metrics: dict[str, Any]
    """As `summarize_frames` gives them."""
    usable: bool | None
    """None where nothing was held out."""
    localizer: Localizer
    """With the map, accepting any ratio of inliers."""

    def exit_code(self, program: str = "build_map", why: str = "") -> int:
        """0, or FAILED_HELD_OUT of a map that is not usable; then stderr says why.

        program: in whose name.
        why: where it is known, and what to do.
        """
        if self.usable is not False:
            return 0
        print(
            f"{program}: the map failed its check: under {USABLE_RECALL:.0%} of the "
            "held-out frames came within 50 cm / 5 deg; "
            + (why or "record more views of the same places, or give it more --minutes"),
            file=sys.stderr,
        )
        return FAILED_HELD_OUT


def validate_map(
    scene_map: SceneMap,
    held_out: Iterable[PosedImage],
    base_from_camera: Pose,
    device: str,
    on_result: Callable[[PosedImage, PoseEstimate | Rejection], None] | None = None,
    non_keyframes: Container[tuple[int, int]] = (),
) -> MapValidation:
    """Localizes the held-out images, whatever their ratio of inliers.

    How large that ratio must be, when an image is ambiguous, alone or with those before it, and by
    how much the covariances are too small, is learned from them.

    held_out: images that training never saw.
    base_from_camera: the camera on the robot; errors are those of the base.
    device: auto, cpu or cuda.
    on_result: is handed every image but non-keyframes, with its result.
    non_keyframes: (drive, stamp in ns) of those of the images that were taken between mapped ones:
        they tell what poses by landmarks err by, as the others do, and nothing else.
    """
    lenient_map = scene_map.with_metadata(
        min_inlier_ratio=0.0,
        covariance_scale=1.0,
        landmark_covariance_scale=1.0,
        landmark_sigma_m=0.0,
        landmark_sigma_rad=0.0,
    )
    lenient = Localizer(lenient_map, device=device)
    head_alone = Localizer(lenient_map, LocalizerConfig(refinement=None), device)
    wrong_places = WrongPlaces(scene_map, device, is_gross_error)
    # beside landmarks the bounds of the ratio leave nothing to learn of them
    shown = 0 if scene_map.landmarks else WRONG_PLACES
    runs = WindowRuns(lenient, is_gross_error)
    frames, of_head = [], []
    waiting: list[PosedImage] = []
    between: list[LocalizedFrame] = []

    def localize_waiting() -> None:
        of_each = in_parallel(lambda each: localize_frame(lenient, each, base_from_camera), waiting)
        between.extend(of_each)
        waiting.clear()

    for image in held_out:
        if (image.drive, image.stamp_ns) in non_keyframes:
            waiting.append(image)
            if len(waiting) == _AT_ONCE:
                localize_waiting()
            continue
        start = time.perf_counter()
        regression = lenient.regress(image.image_rgb_hwc, image.camera, image.moved)
        hypotheses = lenient.hypotheses(regression, image.camera, start)
        result = lenient.decide(hypotheses, start)
        runs.learn_from(image, hypotheses, base_from_camera)
        frames.append(localized_frame(result, image, base_from_camera))
        if on_result:
            on_result(image, result)
        result = head_alone.solve(regression, image.camera, start)
        of_head.append(localized_frame(result, image, base_from_camera))
        if image.map_from_camera is not None and len(frames) <= shown:
            wrong_places.learn_from(regression, image.camera, image.map_from_camera)
    localize_waiting()
    if not frames:
        return MapValidation(scene_map, [], summarize_frames([]), None, lenient)
    least = LEAST_BESIDE_LANDMARKS if scene_map.landmarks else RATIO_BOUNDS[0]
    threshold = acceptance_threshold(frames, wrong_places.ratios, least)
    frames, between = (
        [frame.accepted_from(threshold) for frame in some] for some in (frames, between)
    )
    scale = covariance_scale([frame.accepted_from(threshold) for frame in of_head])
    by_landmarks = covariance_model([frame for frame in (*frames, *between) if frame.landmarks])
    by_head = CovarianceModel(scale)
    frames = [
        frame.with_covariance_of(by_landmarks if frame.landmarks else by_head) for frame in frames
    ]
    metrics = summarize_frames(frames)
    validated = scene_map.with_metadata(
        held_out={name: metrics[name] for name in _HELD_OUT_METRICS},
        covariance_scale=scale,
        landmark_covariance_scale=by_landmarks.scale,
        landmark_sigma_m=by_landmarks.sigma_m,
        landmark_sigma_rad=by_landmarks.sigma_rad,
        min_inlier_ratio=threshold,
        max_rival=second_best_threshold(frames),
        window_rivals=window_thresholds(runs.leads),
    )
    usable = metrics["recall"]["50cm_5deg"] >= USABLE_RECALL
    return MapValidation(validated, frames, metrics, usable, lenient)
