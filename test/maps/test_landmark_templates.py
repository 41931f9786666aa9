"""Templates come back from a map file as they were, but for brightness and contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.core_scenes import tiny_map
from support.textured_wall import CAMERA, camera_at

from glace_ros.errors import MapFileError
from glace_ros.geometry.camera import projection_by_point
from glace_ros.maps.landmark_templates import LandmarkTemplates, as_kept, image_from_template
from glace_ros.maps.landmarks import Landmarks
from glace_ros.maps.map_file import read_map_file, write_map_file
from glace_ros.maps.scene_map import SceneMap

RNG = np.random.default_rng(0)
GREY_NTT = RNG.uniform(60, 180, (7, 12, 12)).astype(np.float32)
SIZES_N = RNG.uniform(0.001, 0.02, 7)


def landmarks(count=10, templates=None):
    rng = np.random.default_rng(1)
    vectors = (torch.from_numpy(rng.normal(size=(count, n))).float() for n in (3, 64, 3))
    return Landmarks(*vectors, templates)


def test_greys_come_back_to_half_a_sixteenth_of_their_range():
    kept_ntt = as_kept(GREY_NTT)
    for kept_tt, grey_tt in zip(kept_ntt, GREY_NTT, strict=True):
        darkest, lightest = grey_tt.min(), grey_tt.max()
        assert (kept_tt.min(), kept_tt.max()) == (0.0, 255.0)
        again_tt = darkest + kept_tt / 255.0 * (lightest - darkest)
        assert np.abs(again_tt - grey_tt).max() <= 0.5 / 15 * (lightest - darkest) + 1e-4
    assert np.array_equal(as_kept(kept_ntt), kept_ntt)


def test_a_template_without_contrast_is_black():
    assert not as_kept(np.full((1, 12, 12), 77.0, np.float32)).any()


def test_they_travel_with_the_map(tmp_path):
    plain, templates = tiny_map(), LandmarkTemplates.of(GREY_NTT, SIZES_N)
    SceneMap(plain.metadata, plain.heads, None, landmarks(10, templates)).save(
        tmp_path / "map.glace"
    )
    again = SceneMap.load(tmp_path / "map.glace").landmarks.templates
    assert len(again) == 7
    chosen = np.array([5, 0, 6])
    assert np.array_equal(again.pictures(chosen), as_kept(GREY_NTT)[chosen])
    assert again.metres_by_px(chosen) == pytest.approx(SIZES_N[chosen], rel=1e-3)
    moved = SceneMap.load(tmp_path / "map.glace").to(torch.device("cpu"))
    assert len(moved.landmarks.templates) == 7


def test_landmarks_without_templates_are_as_before(tmp_path):
    plain = tiny_map()
    SceneMap(plain.metadata, plain.heads, None, landmarks()).save(tmp_path / "map.glace")
    names = read_map_file(tmp_path / "map.glace")[1]
    assert not any("template" in name for name in names)
    assert SceneMap.load(tmp_path / "map.glace").landmarks.templates is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("templates_tb", torch.zeros(7, 71, dtype=torch.uint8)),
        ("templates_tb", torch.zeros(7, 72)),
        ("templates_tb", torch.zeros(8, 72, dtype=torch.uint8)),
        ("template_metres_by_px_t", torch.zeros(7)),
        ("template_metres_by_px_t", None),
        ("points_l3", torch.zeros(5, 3)),
    ],
)
def test_damaged_ones_are_refused(tmp_path, name, value):
    plain, path = tiny_map(), tmp_path / "map.glace"
    templates = LandmarkTemplates.of(GREY_NTT, SIZES_N)
    SceneMap(plain.metadata, plain.heads, None, landmarks(10, templates)).save(path)
    header, tensors = read_map_file(path)
    if value is None:
        del tensors[f"landmarks.{name}"]
    else:
        tensors[f"landmarks.{name}"] = value
    write_map_file(path, header, tensors)
    with pytest.raises(MapFileError, match="is damaged"):
        SceneMap.load(path)


@pytest.mark.parametrize("turned_deg", [(0.0, 0.0, 0.0), (0.0, 0.0, 30.0)])
def test_a_template_lies_upright_facing_where_it_was_seen_from(turned_deg):
    """By its definition: seen from there by an upright camera it is only scaled."""
    camera = camera_at(0.0, 0.0, turned_deg=turned_deg)
    point_13 = camera.transform(np.array([[0.0, 0.0, 3.0]]))  # on the optical axis
    direction_13 = (camera.translation_3 - point_13) / 3.0
    by_point_123 = (
        projection_by_point(np.array([[0.0, 0.0, 3.0]]), np.array([CAMERA.fx_px, CAMERA.fy_px]))
        @ camera.rotation_33.T
    )
    (shape_22,) = image_from_template(direction_13, np.array([3.0 / CAMERA.fx_px]), by_point_123)
    angle_rad = -np.radians(turned_deg[2])
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    expected_22 = np.diag([1.0, CAMERA.fy_px / CAMERA.fx_px]) @ [[cosine, -sine], [sine, cosine]]
    assert shape_22 == pytest.approx(expected_22, abs=1e-9)


def test_a_ceiling_has_an_upright_too():
    shape_122 = image_from_template(
        np.array([[0.0, 0.0, -1.0]]), np.array([0.01]), np.array([[[100.0, 0, 0], [0, 100.0, 0]]])
    )
    assert abs(np.linalg.det(shape_122[0])) == pytest.approx(1.0)
