"""README.md's Python example runs as it stands; test_office.py runs it on a real map."""

from __future__ import annotations

import cv2
import numpy as np
from support.random_map import random_map
from support.readme import python_example, run_example


def test_the_python_example_says_why_an_image_is_rejected(tmp_path, monkeypatch, capsys):
    random_map(tmp_path / "office.glace")
    noise_hwc = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), noise_hwc)
    run_example(tmp_path, monkeypatch)
    assert "points" in capsys.readouterr().out


def test_the_python_example_is_short_and_needs_no_ros():
    lines = [line for line in python_example().splitlines() if line]
    assert len(lines) <= 10
    assert "rclpy" not in python_example()
