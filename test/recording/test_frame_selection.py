"""Keyframes lie as far apart as asked; blurred and repeated images are told from good ones."""

import cv2
import numpy as np
import pytest

from glace_ros.geometry.pose import Pose
from glace_ros.recording.frame_selection import FrameSelection, FrameSelector, sharpness_of


def keyframes(selection: FrameSelection, poses: list[Pose]) -> list[int]:
    selector = FrameSelector(selection)
    kept = []
    for i, pose in enumerate(poses):
        if selector.too_close(pose) is None:
            selector.keep(pose)
            kept.append(i)
    return kept


def test_keyframes_by_distance():
    poses = [Pose.from_planar(0.03 * i, 0, 0) for i in range(20)]
    assert keyframes(FrameSelection(0.1, 5.0), poses) == [0, 4, 8, 12, 16]


def test_keyframes_by_angle():
    poses = [Pose.from_planar(0, 0, np.deg2rad(2.0 * i)) for i in range(10)]
    assert keyframes(FrameSelection(0.1, 5.0), poses) == [0, 3, 6, 9]


def test_zero_takes_every_frame():
    assert keyframes(FrameSelection(0.0, 0.0), [Pose.identity()] * 4) == [0, 1, 2, 3]


def test_a_rejected_frame_does_not_move_the_measure():
    """Slow motion adds up: each step is too small, the way is not."""
    poses = [Pose.from_planar(0.001 * i, 0, 0) for i in range(250)]
    assert keyframes(FrameSelection(0.1, 5.0), poses) == [0, 100, 200]


def picture(seed: int, contrast: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = 128 + contrast * (rng.integers(0, 256, (60, 80, 3)) - 128.0)
    return cv2.resize(small.astype(np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("length_px", [25, 41])
def test_motion_blur_is_seen_and_contrast_is_not_mistaken_for_it(length_px):
    selector = FrameSelector(FrameSelection())
    assert [selector.blurred(picture(i)) for i in range(10)] == [None] * 10
    assert selector.blurred(picture(11, contrast=0.6)) is None
    kernel = np.full((1, length_px), 1 / length_px)
    streaks = cv2.filter2D(cv2.filter2D(picture(12), -1, kernel), -1, kernel.T)
    assert selector.blurred(streaks) == "blurred"


def test_the_first_images_are_not_judged():
    selector = FrameSelector(FrameSelection())
    flat = np.full((48, 64, 3), 90, np.uint8)
    assert [selector.blurred(image) for image in (picture(0), picture(1), flat)] == [None] * 3


def test_a_darker_room_becomes_the_new_measure():
    """The median runs: after many soft images, soft images are normal."""
    selector = FrameSelector(FrameSelection())
    for i in range(50):
        selector.blurred(picture(i))
    soft = [selector.blurred(picture(i, contrast=0.3)) for i in range(60)]
    assert soft[0] == "blurred"
    assert soft[-1] is None


def test_sharpness_hardly_depends_on_the_resolution():
    sharp = picture(1)
    double = cv2.resize(sharp, (1280, 960), interpolation=cv2.INTER_CUBIC)
    assert sharpness_of(double) == pytest.approx(sharpness_of(sharp), rel=0.3)


def test_repeated_bytes():
    a, b = (np.random.default_rng(i).integers(0, 256, 5000, dtype=np.uint8) for i in range(2))
    selector = FrameSelector(FrameSelection())
    asked = [selector.repeated(data) is not None for data in (a, a.copy(), b, a, a)]
    assert asked == [False, True, False, False, True]
    other = FrameSelector(FrameSelection(skip_repeated=False))
    assert [other.repeated(data) for data in (a, a)] == [None, None]
