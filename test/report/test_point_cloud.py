"""Points and their colours, and the file that other programs open."""

from __future__ import annotations

import numpy as np
import pytest

from glace_ros.report.point_cloud import PointCloud, colours_at, joined, write_ply


def example(points: int = 50) -> PointCloud:
    rng = np.random.default_rng(0)
    points_p3 = rng.uniform(-5, 5, (points, 3)) + [500_000.0, 5_000_000.0, 30.0]  # as UTM
    return PointCloud(points_p3, rng.integers(0, 255, (points, 3)).astype(np.uint8))


def test_another_program_reads_the_ply_to_the_millimetre(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="comes with glace_ros[demo]")
    cloud = example()
    write_ply(tmp_path / "map.ply", cloud)
    read = trimesh.load(tmp_path / "map.ply")
    assert np.abs(read.vertices - cloud.points_p3).max() < 1e-3
    assert np.array_equal(np.asarray(read.colors)[:, :3], cloud.colours_p3)


def test_an_empty_cloud_is_a_ply_too(tmp_path):
    write_ply(tmp_path / "map.ply", joined([]))
    text = (tmp_path / "map.ply").read_bytes()
    assert b"element vertex 0\n" in text
    assert text.endswith(b"end_header\n")


def test_clouds_are_joined_and_thinned_evenly():
    cloud = joined([example(50), example(51)])
    assert len(cloud) == 101
    thin = cloud.thinned(30)
    assert len(thin) == 26  # every fourth
    assert np.array_equal(thin.points_p3[1], cloud.points_p3[4])
    assert np.array_equal(thin.colours_p3[1], cloud.colours_p3[4])
    assert len(cloud.thinned(101)) == 101


def test_colours_are_those_of_the_pixel_and_of_the_edge_beyond_it():
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    pixels = np.array([[3.4, 1.6], [-2.0, 0.0], [9.0, 9.0]])
    assert np.array_equal(colours_at(image, pixels), [image[2, 3], image[0, 0], image[3, 4]])
