"""Why an image gave no fix: a code to count by, the values behind it, and the sentence for people.

All sentences are here, so that no one has to read a code or a number out of one.
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, asdict, dataclass
from enum import IntEnum


class RejectionCode(IntEnum):
    """The numbers of glace_ros/msg/LocalizationStatus (REJECTION_...): never given anew."""

    NONE = 0
    # the localizer, of one image
    NO_POSE = 1
    FEW_INLIERS = 2
    LOW_INLIER_RATIO = 3
    DEGENERATE_POINTS = 4
    UNCERTAIN_POSITION = 5
    NOT_REPEATED = 6
    REPEATED_ELSEWHERE = 7
    # the fusion with odometry
    NOT_NEWER_THAN_CAMERA = 20
    NOT_NEWER_THAN_FIX = 21
    INVALID_COVARIANCE = 22
    LARGE_COVARIANCE = 23
    OFF_THE_EARTH = 24
    TILTED_BASE = 25
    AMBIGUOUS = 26
    AMBIGUOUS_OUTSIDE_GATE = 27
    OUTSIDE_GATE = 28
    # the live node's input
    IMAGE_TOO_OLD = 40
    IMAGE_IN_FUTURE = 41
    NO_CAMERA_INFO = 42
    NO_FRAME_ID = 43
    UNUSABLE_IMAGE = 44
    NO_TRANSFORM = 45
    # the live node's localizer
    LOCALIZER_FAILED = 60

    @property
    def key(self) -> str:
        """The name in JSON, such as `few_inliers`."""
        return self.name.lower()

    @property
    def words(self) -> str:
        """For a table: the sentence with "n" in place of numbers, "..." in place of words."""
        if self in _WORDS:
            return _WORDS[self]
        return re.sub(r"\{(\w+)[^}]*\}", _stands_for, _SENTENCES[self])


_OTHER_PLACE = "its image may as well be of another place of the map"
_OTHER_CLOCK = (
    "more than max_image_age ({limit_s:g} s): do the camera and this node use the same clock "
    "(use_sim_time)?"
)
_SENTENCES = {
    RejectionCode.NONE: "",
    RejectionCode.NO_POSE: "no pose fits any of {points} points",
    RejectionCode.FEW_INLIERS: "{inliers} inliers of {points} points, fewer than {needed_inliers}",
    RejectionCode.LOW_INLIER_RATIO: (
        "{inliers} inliers of {points} points, a smaller share than {needed_ratio:.2f}"
    ),
    RejectionCode.DEGENERATE_POINTS: "the {inliers} inliers do not fix the pose",
    RejectionCode.UNCERTAIN_POSITION: "the position is uncertain by {sigma_m:.2f} m",
    RejectionCode.NOT_REPEATED: "another seed of RANSAC finds no pose",
    RejectionCode.REPEATED_ELSEWHERE: (
        "another seed of RANSAC finds a pose {apart_m:.2f} m and {apart_deg:.0f} deg away"
    ),
    RejectionCode.NOT_NEWER_THAN_CAMERA: "its image is not newer than the last one of its camera",
    RejectionCode.NOT_NEWER_THAN_FIX: "its image is not newer than that of the last fix",
    RejectionCode.INVALID_COVARIANCE: "its covariance is not positive definite",
    RejectionCode.LARGE_COVARIANCE: (
        "its standard deviation is {sigma_m:.1f} m, {sigma_rad:.1f} rad"
    ),
    RejectionCode.OFF_THE_EARTH: "its position is off the Earth",
    RejectionCode.TILTED_BASE: (
        "the base is tilted by {tilt_deg:.0f} deg, but two_d_mode needs a map with z up and a base "
        "that stands on its floor"
    ),
    RejectionCode.AMBIGUOUS: _OTHER_PLACE,
    RejectionCode.AMBIGUOUS_OUTSIDE_GATE: (
        _OTHER_PLACE + ", and it is {sigmas:.1f} sigma from the prediction"
    ),
    RejectionCode.OUTSIDE_GATE: (
        "{sigmas:.1f} sigma from the prediction "
        "({agreeing}/{needed_agreeing} toward re-initialisation)"
    ),
    RejectionCode.IMAGE_TOO_OLD: (
        "The image on {topic} is stamped {age_s:.2f} s ago, " + _OTHER_CLOCK
    ),
    RejectionCode.IMAGE_IN_FUTURE: (
        "The image on {topic} is stamped {age_s:.2f} s in the future, " + _OTHER_CLOCK
    ),
    RejectionCode.NO_CAMERA_INFO: "No camera_info on {topic} yet.",
    RejectionCode.NO_FRAME_ID: "The images on {topic} have no frame_id.",
    RejectionCode.UNUSABLE_IMAGE: "The image on {topic} cannot be used: {detail}.",
    RejectionCode.NO_TRANSFORM: "{detail}",
    RejectionCode.LOCALIZER_FAILED: "{detail}",
}
# of a frame that was accepted, and is rejected by a ratio that its map learned afterwards
_LEARNED_RATIO_SENTENCE = "a smaller share of inliers than {needed_ratio:.2f}"
# where others say the whole sentence
_WORDS = {
    RejectionCode.NO_TRANSFORM: "a transform of the image's time is missing",
    RejectionCode.LOCALIZER_FAILED: "the localizer failed",
}
_TEXT_FIELDS = {"topic", "detail"}


@dataclass(frozen=True)
class Rejection:
    """No fix, and why. Of the values behind it those count that the code is about, the others are 0
    or empty.

    code: the reason.
    inliers, points: of the predicted points those that agree with the best pose, and all.
    seconds: s, spent in the localizer.
    needed_inliers, needed_ratio: the least that would have been enough.
    sigma_m, sigma_rad: standard deviation of the position (m) and of the angle (rad), the
        largest of all directions.
    apart_m, apart_deg: between the poses of two seeds of RANSAC.
    sigmas: distance from the prediction, in standard deviations.
    agreeing, needed_agreeing: fixes in a row that agree on another place than the prediction,
        and how many of them overrule it.
    tilt_deg: between the base's z axis and the map's.
    age_s, limit_s: s, how far the image's stamp is from now, either way, and how far it may be.
    topic: of the image or the camera_info.
    detail: what others say: a whole sentence, or the part of one behind a colon.
    """

    code: RejectionCode
    _: KW_ONLY
    inliers: int = 0
    points: int = 0
    seconds: float = 0.0
    needed_inliers: int = 0
    needed_ratio: float = 0.0
    sigma_m: float = 0.0
    sigma_rad: float = 0.0
    apart_m: float = 0.0
    apart_deg: float = 0.0
    sigmas: float = 0.0
    agreeing: int = 0
    needed_agreeing: int = 0
    tilt_deg: float = 0.0
    age_s: float = 0.0
    limit_s: float = 0.0
    topic: str = ""
    detail: str = ""

    @property
    def reason(self) -> str:
        """The sentence, or the half of one that "Rejected fix: " begins, without a line break."""
        if self.code == RejectionCode.LOW_INLIER_RATIO and not self.points:
            return _LEARNED_RATIO_SENTENCE.format(**asdict(self))
        return _SENTENCES[self.code].format(**asdict(self))

    @property
    def inlier_ratio(self) -> float:
        """Ratio of the predicted points that agreed with the best pose found."""
        return self.inliers / self.points if self.points else 0.0


def _stands_for(field: re.Match[str]) -> str:
    return "..." if field[1] in _TEXT_FIELDS else "n"
