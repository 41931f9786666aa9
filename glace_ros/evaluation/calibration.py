"""What held-out images teach: thresholds and covariance scales."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtri

from glace_ros.geometry.covariance import CovarianceModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.evaluation.localized_frame import LocalizedFrame
    from glace_ros.evaluation.window_runs import Lead
    from glace_ros.geometry.pose import Pose


_LOWEST_NINE_TENTHS = 0.864
"""Mean of chi-square with 6 degrees of freedom over 6 below its 90 % quantile q: that is
F_8(q) / 0.9, where F_8 is the distribution function with 8 degrees (Johnson, Kotz, Balakrishnan,
Continuous Univariate Distributions 1, chapter 18)."""
_LEAST_FRAMES = 5
"""Fewer do not tell what poses err by."""
_FIRST_SIGMAS = 1e-3, 5e-4
"""m and rad, from where the likeliest are looked for."""
GROSS_ERROR = (0.5, 10.0)
"""(m, deg) beyond which a held-out frame speaks for a stricter acceptance."""


RATIO_BOUNDS = (0.10, 0.25)
"""Out-of-map photographs reach 0.095 on the office's map:
docs/experiments/2026-11-22-wrong-poses.md.
"""


LEAST_BESIDE_LANDMARKS = 0.25
"""In place of the first one in a map with landmarks, which verify nearly all right poses (all of
1,538 images of look-alike rooms, 141 of 141 of the office): what they do not verify needs more. The
office's head, trained for 900 to 1,350 steps, gave images of a simulated building up to 0.184.
"""


RATIO_MARGIN = 1.25
"""The next wrong place may have a few more inliers than those that were seen."""


SECOND_BEST_BOUNDS = (0.5, 0.8)
"""Of second_best_ratio: under the first nearly every image of repeated rooms would be ambiguous."""


WINDOW_BOUNDS = (0.5, 0.95)
"""As SECOND_BEST_BOUNDS, of several images together."""


LEAST_LEADS = 12
"""With fewer windows nothing is learned of them."""


_PASSING = 1e-3
"""Ratio of windows that may pass a learned threshold with a wrong place."""


SECOND_BEST_MARGIN = 0.95
"""The next gross error may come with a little less agreement than those that were seen."""


def is_gross_error(estimate: Pose, truth: Pose) -> bool:
    """Whether a pose is further off than GROSS_ERROR."""
    metres, degrees = GROSS_ERROR
    angle_deg = float(np.degrees(estimate.angle_rad(truth)))
    return estimate.distance_m(truth) > metres or angle_deg > degrees


def acceptance_threshold(
    frames: Sequence[LocalizedFrame],
    wrong_ratios: Sequence[float] = (),
    least: float = RATIO_BOUNDS[0],
) -> float:
    """Least inlier ratio of an accepted pose: by RATIO_MARGIN above that of every gross error among
    the held-out frames and of every wrong place, within RATIO_BOUNDS.

    frames: accepted whatever their ratio.
    wrong_ratios: inlier ratios of wrong places.
    least: in place of the lower bound.
    """
    gross_errors = [
        frame.inliers / frame.points
        for frame in _gross_errors(frames)
        if not frame.landmark_verified
    ]
    _, highest = RATIO_BOUNDS
    return float(
        np.clip(RATIO_MARGIN * max([*gross_errors, *wrong_ratios], default=0.0), least, highest)
    )


def second_best_threshold(frames: Sequence[LocalizedFrame]) -> float:
    """second_best_ratio from which a pose is ambiguous: by SECOND_BEST_MARGIN under that of every
    gross error among the held-out frames, within SECOND_BEST_BOUNDS.
    """
    second_best_ratios = [
        frame.second_best_ratio for frame in _gross_errors(frames) if frame.second_best_ratio > 0.0
    ]
    lowest, highest = SECOND_BEST_BOUNDS
    return float(
        np.clip(SECOND_BEST_MARGIN * min(second_best_ratios, default=1.0), lowest, highest)
    )


def window_thresholds(leads: Sequence[Lead]) -> tuple[float, ...] | None:
    """second_best_ratio from which windows are ambiguous, by the number of images (1, 2, ..., the
    last one for more); None where too few had a second-best hypothesis.

    Where a wrong place has more agreement than the right one, by how much is taken for
    half-normal: one window in a thousand would pass the threshold with it. It is also by
    SECOND_BEST_MARGIN under each that was seen, within WINDOW_BOUNDS.

    leads: of the right place over the best wrong one, of windows of held-out images.
    """
    if len(leads) < LEAST_LEADS:
        return None
    lowest, highest = WINDOW_BOUNDS
    thresholds = [1.0]  # of one image: second_best_threshold
    for images in range(2, max(lead.images for lead in leads) + 1):
        some = [lead.log_ratio for lead in leads if lead.images >= images]
        wrong_w = np.array([-log_ratio for log_ratio in some if log_ratio < 0.0])
        ratio = highest
        if len(wrong_w):
            # a standard error more than the most likely, as of covariance_scale
            spread = math.sqrt(float(np.mean(wrong_w**2))) * (
                1.0 + 1.0 / math.sqrt(2 * len(wrong_w))
            )
            passing = min(0.5, 0.5 * _PASSING / (len(wrong_w) / len(some)))
            ratio = min(
                math.exp(spread * float(ndtri(passing))),
                SECOND_BEST_MARGIN * math.exp(-float(wrong_w.max())),
            )
        thresholds.append(float(np.clip(ratio, lowest, highest)))
    return tuple(thresholds)


def _gross_errors(frames: Sequence[LocalizedFrame]) -> list[LocalizedFrame]:
    return [
        frame
        for frame in frames
        if frame.estimate is not None
        and frame.truth is not None
        and is_gross_error(frame.estimate, frame.truth)
    ]


def covariance_scale(frames: Sequence[LocalizedFrame]) -> float:
    """What makes the mean NEES of these held-out frames that of a consistent filter, at least 1.

    The residuals of neighbouring patches err together, which the solver's Jacobian cannot know.
    The largest tenth is left out, so that one wrong pose does not blur all others, and what that
    leaves out of a consistent filter's is added. Frames are few: of what they may mean, the scale
    is a standard error more than the most likely, since a pose that says too little of its error
    is worse than one that says too much. 1 where fewer than five frames can tell.
    """
    lowest = np.array([frame.nees for frame in _lowest_nine_tenths(frames)]) / _LOWEST_NINE_TENTHS
    if len(lowest) < _LEAST_FRAMES:
        return 1.0
    return max(1.0, float(lowest.mean() + lowest.std(ddof=1) / math.sqrt(len(lowest))))


def covariance_model(frames: Sequence[LocalizedFrame]) -> CovarianceModel:
    """What held-out frames err by, given the solver's covariances: how much of it grows with them
    and how much is on top, by maximum likelihood (errors normally distributed, without the tenth
    that fits worst), and all of it together by `covariance_scale`.
    """
    told = _lowest_nine_tenths(frames)
    if len(told) < _LEAST_FRAMES:
        return CovarianceModel()
    error_n6 = np.array([each.error_6 for each in told])
    covariance_n66 = np.array([each.covariance_66 for each in told])

    def model(logarithms_3: NDArray[np.float64]) -> CovarianceModel:
        scale, sigma_m, sigma_rad = np.exp(logarithms_3)
        return CovarianceModel(float(scale), float(sigma_m), float(sigma_rad))

    def unlikely(logarithms_3: NDArray[np.float64]) -> float:
        by_model_n66 = model(logarithms_3).of(covariance_n66)
        spread_n = np.linalg.slogdet(by_model_n66)[1]
        off_n = (error_n6 * np.linalg.solve(by_model_n66, error_n6[..., None])[..., 0]).sum(axis=1)
        return float((spread_n + off_n).sum())

    start = np.log([max(1.0, covariance_scale(frames)), *_FIRST_SIGMAS])
    fitted = model(minimize(unlikely, start, method="Nelder-Mead", options={"maxiter": 1000}).x)
    more = covariance_scale([frame.with_covariance_of(fitted) for frame in frames])
    return CovarianceModel(
        more * fitted.scale, math.sqrt(more) * fitted.sigma_m, math.sqrt(more) * fitted.sigma_rad
    )


def _lowest_nine_tenths(frames: Sequence[LocalizedFrame]) -> list[LocalizedFrame]:
    """Of the frames whose truth is known, those with the lowest NEES."""
    told = [frame for frame in frames if frame.nees is not None]
    told.sort(key=lambda frame: frame.nees or 0.0)
    return told[: math.ceil(0.9 * len(told))]
