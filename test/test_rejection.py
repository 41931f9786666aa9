"""Each rejection has a stable number, a key, and one sentence: those that people know from logs."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from glace_ros.rejection import Rejection, RejectionCode

REPO = Path(__file__).resolve().parents[1]
SAME_CLOCK = (
    "more than max_image_age (0.5 s): do the camera and this node use the same clock "
    "(use_sim_time)?"
)
OTHER_PLACE = "its image may as well be of another place of the map"
# (code, its number, its values, the sentence): numbers and sentences that are out are kept to
TOLD = [
    ("NONE", 0, {}, ""),
    ("NO_POSE", 1, {"points": 3}, "no pose fits any of 3 points"),
    (
        "FEW_INLIERS", 2, {"inliers": 9, "points": 1000, "needed_inliers": 50},
        "9 inliers of 1000 points, fewer than 50",
    ),
    (
        "LOW_INLIER_RATIO", 3, {"inliers": 90, "points": 1000, "needed_ratio": 0.104},
        "90 inliers of 1000 points, a smaller share than 0.10",
    ),
    (
        "LOW_INLIER_RATIO", 3, {"needed_ratio": 0.125},
        "a smaller share of inliers than 0.12",
    ),
    ("DEGENERATE_POINTS", 4, {"inliers": 55, "points": 90}, "the 55 inliers do not fix the pose"),
    ("UNCERTAIN_POSITION", 5, {"sigma_m": 1.234}, "the position is uncertain by 1.23 m"),
    ("NOT_REPEATED", 6, {}, "another seed of RANSAC finds no pose"),
    (
        "REPEATED_ELSEWHERE", 7, {"apart_m": 1.333, "apart_deg": 41.4},
        "another seed of RANSAC finds a pose 1.33 m and 41 deg away",
    ),
    ("NOT_NEWER_THAN_CAMERA", 20, {}, "its image is not newer than the last one of its camera"),
    ("NOT_NEWER_THAN_FIX", 21, {}, "its image is not newer than that of the last fix"),
    ("INVALID_COVARIANCE", 22, {}, "its covariance is not positive definite"),
    (
        "LARGE_COVARIANCE", 23, {"sigma_m": 33.33, "sigma_rad": 0.27},
        "its standard deviation is 33.3 m, 0.3 rad",
    ),
    ("OFF_THE_EARTH", 24, {}, "its position is off the Earth"),
    (
        "TILTED_BASE", 25, {"tilt_deg": 89.6},
        "the base is tilted by 90 deg, but two_d_mode needs a map with z up and a base that stands "
        "on its floor",
    ),
    ("AMBIGUOUS", 26, {}, OTHER_PLACE),
    (
        "AMBIGUOUS_OUTSIDE_GATE", 27, {"sigmas": 7.14},
        f"{OTHER_PLACE}, and it is 7.1 sigma from the prediction",
    ),
    (
        "OUTSIDE_GATE", 28, {"sigmas": 7.14, "agreeing": 2, "needed_agreeing": 3},
        "7.1 sigma from the prediction (2/3 toward re-initialisation)",
    ),
    (
        "IMAGE_TOO_OLD", 40, {"topic": "/image", "age_s": 2.004, "limit_s": 0.5},
        f"The image on /image is stamped 2.00 s ago, {SAME_CLOCK}",
    ),
    (
        "IMAGE_IN_FUTURE", 41, {"topic": "/image", "age_s": 2.004, "limit_s": 0.5},
        f"The image on /image is stamped 2.00 s in the future, {SAME_CLOCK}",
    ),
    ("NO_CAMERA_INFO", 42, {"topic": "/camera_info"}, "No camera_info on /camera_info yet."),
    ("NO_FRAME_ID", 43, {"topic": "/image"}, "The images on /image have no frame_id."),
    (
        "UNUSABLE_IMAGE", 44, {"topic": "/image", "detail": "encoding '{x}'"},
        "The image on /image cannot be used: encoding '{x}'.",
    ),
    (
        "NO_TRANSFORM", 45, {"detail": "No odom->base at image time (latest is 0.41 s older)"},
        "No odom->base at image time (latest is 0.41 s older)",
    ),
    ("LOCALIZER_FAILED", 60, {"detail": "RuntimeError: a bug"}, "RuntimeError: a bug"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "number", "values", "sentence"), TOLD)
def test_numbers_and_sentences_stay_as_they_are(name, number, values, sentence):
    assert RejectionCode[name] == number
    assert Rejection(RejectionCode[name], **values).reason == sentence


def test_every_code_is_in_the_table_above():
    assert {name for name, *_ in TOLD} == set(RejectionCode.__members__)


def test_words_of_a_code_are_those_of_its_sentence_without_its_values():
    assert RejectionCode.FEW_INLIERS.words == "n inliers of n points, fewer than n"
    assert RejectionCode.OUTSIDE_GATE.words == (
        "n sigma from the prediction (n/n toward re-initialisation)"
    )
    assert RejectionCode.NO_CAMERA_INFO.words == "No camera_info on ... yet."
    words = [code.words for code in RejectionCode if code]
    assert len(set(words)) == len(words)
    assert not re.search(r"[{}\d]", "".join(words).replace("two_d", ""))
    assert all(len(re.findall(r"[a-z]{2,}", each)) >= 3 for each in words)


def test_keys_are_names_in_snake_case():
    for code in RejectionCode:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code.key)
        assert RejectionCode[code.key.upper()] == code


def test_a_rejection_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Rejection(RejectionCode.NO_POSE).points = 3


def test_the_message_has_a_constant_for_every_code():
    source = (REPO / "msg" / "LocalizationStatus.msg").read_text(encoding="utf-8")
    constants = re.findall(r"^uint8 REJECTION_(\w+)=(\d+)", source, re.MULTILINE)
    assert {name: int(number) for name, number in constants} == dict(RejectionCode.__members__)
    assert len(constants) == len(RejectionCode)
    assert re.search(r"^uint8 rejection_code\b", source, re.MULTILINE)
    assert max(RejectionCode) < 256


def test_the_document_has_every_code():
    text = (REPO / "docs" / "ros_interface.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `REJECTION_(\w+)` \| (\d+) \|", text, re.MULTILINE))
    assert {name: int(number) for name, number in rows.items()} == dict(RejectionCode.__members__)
    keys = re.findall(r"^\| `REJECTION_\w+` \| \d+ \| `(\w+)` \|", text, re.MULTILINE)
    assert keys == [code.key for code in RejectionCode if code]
