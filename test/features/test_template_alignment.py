"""Templates are found where they are, to a part of a pixel, and not where nothing tells."""

from __future__ import annotations

import numpy as np
import pytest
from support.textured_wall import CAMERA, Wall, camera_at

from glace_ros.features.template_alignment import (
    TEMPLATE_PX,
    align_templates,
    cut_templates,
)

WALL = Wall()
FIRST = camera_at(0.0, 0.0)
GRID_N2 = np.stack(
    np.meshgrid(np.linspace(60.2, 250.7, 12), np.linspace(50.4, 190.1, 9)), axis=-1
).reshape(-1, 2)
NO_WARP_N22 = np.broadcast_to(np.eye(2), (len(GRID_N2), 2, 2))


def between(first, second, pixels_n2):
    """Where the second camera sees what the first one does at pixels, and the warp there."""

    def to_second(at_n2):
        points_n3 = WALL.points(first, at_n2)
        return CAMERA.project(second.inverse().transform(points_n3))

    there_n2 = to_second(pixels_n2)
    across_n2, down_n2 = (to_second(pixels_n2 + step_2) - there_n2 for step_2 in np.eye(2))
    return there_n2, np.stack([across_n2, down_n2], axis=2)


@pytest.mark.parametrize(
    "second",
    [
        camera_at(0.1, 0.05),
        camera_at(0.3, -0.1, turned_deg=(3.0, -8.0, 6.0)),
        camera_at(0.0, 0.0, x_m=0.4),
        camera_at(0.1, 0.0, x_m=-0.3, turned_deg=(0.0, 0.0, 15.0)),
    ],
    ids=["aside", "turned", "nearer", "farther"],
)
def test_a_view_from_elsewhere_in_other_light(second):
    templates_ntt = cut_templates(WALL.seen_from(FIRST).astype(np.float32), GRID_N2, NO_WARP_N22)
    there_n2, warp_n22 = between(FIRST, second, GRID_N2)
    darker_hw = 20.0 + 0.6 * WALL.seen_from(second).astype(np.float32)
    rng = np.random.default_rng(1)
    start_n2 = there_n2 + rng.uniform(-1.5, 1.5, there_n2.shape)
    found = align_templates(darker_hw, templates_ntt, warp_n22, start_n2)
    arrived_n = found.likeness_n > 0.9
    assert arrived_n.mean() > 0.8
    off_n = np.linalg.norm(found.pixels_n2 - there_n2, axis=1)[arrived_n]
    assert np.median(off_n) < 0.1
    assert np.quantile(off_n, 0.9) < 0.2


def test_where_nothing_tells_nothing_arrives():
    templates_ntt = cut_templates(WALL.seen_from(FIRST).astype(np.float32), GRID_N2, NO_WARP_N22)
    blank_hw = np.full((240, 320), 90.0, np.float32)
    assert align_templates(blank_hw, templates_ntt, NO_WARP_N22, GRID_N2).likeness_n.max() < 0.5
    flat_ntt = np.full_like(templates_ntt, 90.0)
    image_hw = WALL.seen_from(FIRST).astype(np.float32)
    assert (align_templates(image_hw, flat_ntt, NO_WARP_N22, GRID_N2).likeness_n == -1.0).all()
    elsewhere_hw = Wall(5).seen_from(FIRST).astype(np.float32)
    likeness_n = align_templates(elsewhere_hw, templates_ntt, NO_WARP_N22, GRID_N2).likeness_n
    assert (likeness_n > 0.85).mean() < 0.02


def test_an_edge_does_not_tell_where_along_it():
    edge_ntt = np.full((1, TEMPLATE_PX, TEMPLATE_PX), 40.0, np.float32)
    edge_ntt[:, :, TEMPLATE_PX // 2 :] = 200.0
    edge_hw = np.full((240, 320), 40.0, np.float32)
    edge_hw[:, 160:] = 200.0
    found = align_templates(edge_hw, edge_ntt, np.eye(2)[None], np.array([[159.5, 100.0]]))
    assert found.likeness_n[0] == -1.0


def test_a_template_that_shows_too_little_of_the_window_is_not_used():
    templates_ntt = cut_templates(WALL.seen_from(FIRST).astype(np.float32), GRID_N2, NO_WARP_N22)
    image_hw = WALL.seen_from(FIRST).astype(np.float32)
    small_n22 = 0.4 * NO_WARP_N22  # so small in the image that it fills no window
    assert (align_templates(image_hw, templates_ntt, small_n22, GRID_N2).likeness_n == -1).all()


def test_none_are_none():
    none = np.empty((0, TEMPLATE_PX, TEMPLATE_PX), np.float32), np.empty((0, 2, 2))
    found = align_templates(np.zeros((240, 320), np.float32), *none, np.empty((0, 2)))
    assert found.pixels_n2.shape == (0, 2)
    assert found.likeness_n.shape == (0,)
