"""Which of 16 bits a camera uses is told by its pictures, whatever the camera."""

import numpy as np
import pytest

from glace_ros.ros_messages.value_range import FULL_RANGE, ValueRange, used_range

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (40, 60)).astype(np.uint16)


@pytest.mark.parametrize(
    ("factor", "scale"), [(1, 255), (4, 1023), (16, 4095), (64, 16383), (256, 65535)]
)
def test_bits_in_the_low_end(factor, scale):
    """10, 12 and 14 bits come out as the 8 that they were made of; of 16, the high byte."""
    found = used_range([GREY * factor, GREY[::-1] * factor])
    assert found == ValueRange(0, scale)
    np.testing.assert_array_equal(found.to_8_bits(GREY * factor), GREY)


def test_12_bits_in_the_high_end_are_16():
    assert used_range([GREY * 256 + 16 * (GREY % 16)]) == FULL_RANGE


def test_a_room_in_a_thermal_camera_has_all_greys():
    """29000 to 30020 hundredths of a kelvin, and a dead pixel that does not spoil it."""
    thermal = 29000 + GREY * 4
    thermal[0, 0] = 0
    found = used_range([thermal])
    assert 28880 <= found.low <= 28910
    assert 30110 <= found.high <= 30140
    grey = found.to_8_bits(thermal)
    assert grey.max() - grey.min() > 200
    assert len(np.unique(grey)) > 190


def test_one_value_is_a_range_and_none_is_none():
    assert used_range([np.full((4, 4), 700, np.uint16)]) == ValueRange(699, 701)
    assert used_range([np.zeros((4, 4), np.uint16)]) == ValueRange(0, 1)
    assert used_range([np.full((4, 4), 65535, np.uint16)]) == ValueRange(65534, 65535)
    assert used_range([]) is None


@pytest.mark.parametrize(("low", "high"), [(5, 5), (-1, 4), (0, 65536), (9, 3)])
def test_no_range_is_refused(low, high):
    with pytest.raises(ValueError, match="no range"):
        ValueRange(low, high)
