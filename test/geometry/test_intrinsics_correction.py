"""A correction of the intrinsics is of a calibration, whatever the size of its images."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.intrinsics_correction import IntrinsicsCorrection, is_same_calibration

RECORDED = Camera(640, 480, 500.0, 510.0, 321.0, 238.0)
SIDES = st.integers(64, 2000)


@given(SIDES, SIDES, st.tuples(*[st.floats(-0.05, 0.05)] * 4))
def test_correcting_and_resizing_can_change_places(width, height, numbers):
    correction = IntrinsicsCorrection(*numbers)
    resized = correction.of(RECORDED.scaled_to(width, height))
    corrected = correction.of(RECORDED).scaled_to(width, height)
    assert resized.matrix_33 == pytest.approx(corrected.matrix_33, rel=1e-9)


def test_a_correction_says_what_is_true_of_what_is_recorded():
    true = IntrinsicsCorrection(-0.01, 0.02, 0.004, -0.002).of(RECORDED)
    assert (true.fx_px, true.fy_px) == pytest.approx((495.0, 520.2))
    assert (true.cx_px, true.cy_px) == pytest.approx((323.0, 236.98))
    assert (true.width_px, true.height_px) == (640, 480)


def test_views_are_corrected_as_cameras_are():
    correction = IntrinsicsCorrection(-0.01, 0.02, 0.004, -0.002)
    corrected_14 = correction.corrected_n4(np.array([[500.0, 510.0, 321.0, 238.0]]))
    assert corrected_14 == pytest.approx(np.array([[495.0, 520.2, 323.0, 236.98]]))


@given(SIDES, SIDES)
def test_a_resized_image_is_of_the_same_calibration(width, height):
    assert is_same_calibration(RECORDED.scaled_to(width, height), RECORDED)


@pytest.mark.parametrize("field", ["fx_px", "fy_px", "cx_px", "cy_px"])
def test_another_calibration_is_not_the_same(field):
    other = replace(RECORDED, **{field: 1.002 * getattr(RECORDED, field)})
    assert not is_same_calibration(other, RECORDED)
