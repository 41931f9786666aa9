"""The floor of offices around a ring: twins are twins, days differ, drives close the ring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glace_ros.geometry.pose import Pose
from glace_ros.simulation import drive, ring_routes
from glace_ros.simulation.bag import DEMO_CAMERA, RobotConfig
from glace_ros.simulation.building import Building, BuildingConfig
from glace_ros.simulation.free_space import FreeSpace
from glace_ros.simulation.lighting import DAYLIGHT
from glace_ros.simulation.renderer import Renderer
from glace_ros.simulation.ring_building import RingConfig, Room, build_ring, rooms

SHELL = BuildingConfig(rooms=3, corridor_width_m=2.0, texels_per_m=12.0, seed=3)
SMALL = RingConfig(SHELL, core_rooms=2, twins=(0, 2))
OTHER_DAY = replace(SMALL, day=1, light=DAYLIGHT)


@pytest.fixture(scope="module")
def building() -> Building:
    return build_ring(SMALL)


@pytest.fixture(scope="module")
def other_day() -> Building:
    return build_ring(OTHER_DAY)


@pytest.fixture(scope="module")
def mapping(building: Building) -> drive.Trajectory:
    return drive.drive(building, ring_routes.mapping_route(SMALL))


def in_room(room: Room, places_n3: np.ndarray) -> np.ndarray:
    """Points (n, 3) of the map in the room's own frame: x to the right, y inward."""
    origin = Pose.from_planar(room.place.x_m, room.place.y_m, np.pi / 2 * room.place.turns)
    return origin.inverse().transform(places_n3)


def inside(room: Room, places_n3: np.ndarray, margin_m: float = 0.0) -> np.ndarray:
    own_n3 = in_room(room, places_n3)[:, :2]
    return ((own_n3 > -margin_m) & (own_n3 < np.array(room.size_m) + margin_m)).all(axis=1)


def panels_of(building: Building, room: Room) -> list[tuple[np.ndarray, np.ndarray]]:
    """Corners in the room's frame and texture of all that is in the room."""
    found = []
    for panel in building.panels:
        corners_n3 = panel.points([0, 0, 1, 1], [0, 1, 1, 0])
        if inside(room, corners_n3, 1e-6).all():
            found.append((in_room(room, corners_n3) + 0.0, panel.texture_hwc))  # no -0.0
    return found


def alike(building: Building, one: Room, other: Room) -> float:
    """Ratio of the panels of one room that the other has too, to the texel."""
    had, has = (
        {(corners_n3.round(6).tobytes(), texture.tobytes()) for corners_n3, texture in panels}
        for panels in (panels_of(building, one), panels_of(building, other))
    )
    return len(had & has) / len(had)


@pytest.mark.slow
def test_the_default_has_at_least_twelve_rooms_and_a_drive_of_300_m():
    config = RingConfig()
    plan = build_ring(replace(config, shell=replace(config.shell, texels_per_m=8.0)))
    way = drive.drive(plan, ring_routes.mapping_route(config))
    assert config.rooms == len(rooms(config)) >= 12
    assert way.length_m > 300.0


@pytest.mark.parametrize("day", [0, 1], ids=["first day", "other day"])
def test_twins_are_equal_to_the_texel_but_for_small_things_and_other_rooms_are_not(
    building, other_day, day
):
    floor, all_rooms = (building, other_day)[day], rooms(SMALL)
    first, second = (all_rooms[number] for number in SMALL.twins)
    assert len(panels_of(floor, first)) > 50
    assert 0.6 < alike(floor, first, second) < 0.95
    for number, room in enumerate(all_rooms):
        if number not in SMALL.twins:
            assert alike(floor, first, room) < 0.1


def test_the_twins_look_alike_in_pictures(building):
    renderer = Renderer(building)
    camera = DEMO_CAMERA.undistorted.scaled_to(80, 60)
    pictures = []
    for number in (*SMALL.twins, 1):
        place = rooms(SMALL)[number].place
        x_m, y_m, _ = place.point(1.9, 1.2, 0)
        base = Pose.from_planar(x_m, y_m, np.pi / 2 * (place.turns + 1))
        pictures.append(renderer.light(camera, base @ RobotConfig().base_from_camera))
    assert np.abs(pictures[0] - pictures[1]).mean() < 12
    assert np.abs(pictures[0] - pictures[2]).mean() > 20


def test_equal_configs_give_equal_floors(building):
    again = build_ring(SMALL)
    assert np.array_equal(again.obstacles_m, building.obstacles_m)
    assert all(
        np.array_equal(one.texture_hwc, other.texture_hwc)
        for one, other in zip(again.panels, building.panels, strict=True)
    )


def test_another_day_moves_some_things_and_keeps_them(building, other_day):
    assert len(other_day.panels) == len(building.panels)
    for room in rooms(SMALL):
        before, after = (
            {(corners_n3.round(6).tobytes(), texture.tobytes()) for corners_n3, texture in panels}
            for panels in (panels_of(building, room), panels_of(other_day, room))
        )
        assert 0.15 < len(after - before) / len(after) < 0.7
        textures = {texture for _, texture in before}
        assert np.mean([texture in textures for _, texture in after]) > 0.95


def test_daylight_changes_the_light(building):
    camera = DEMO_CAMERA.undistorted.scaled_to(80, 60)
    seen = Pose.from_planar(1.0, 1.0, 0.1) @ RobotConfig().base_from_camera
    lamps, day = (
        Renderer(replace(building, light=light)).light(camera, seen)
        for light in (SMALL.light, DAYLIGHT)
    )
    assert np.abs(lamps - day).mean() > 5
    assert (
        day[..., 2].mean() / day[..., 0].mean() > 1.1 * lamps[..., 2].mean() / lamps[..., 0].mean()
    )


@pytest.mark.parametrize("route", ["mapping", "second", "query"])
def test_drives_visit_every_room_and_keep_clear(building, mapping, route):
    ways = {
        "mapping": lambda: mapping,
        "second": lambda: drive.drive(building, ring_routes.second_route(SMALL)),
        "query": lambda: drive.drive(building, ring_routes.query_route(SMALL, 1)),
    }
    way = ways[route]()
    space = FreeSpace(building.obstacles_m, 0.2)
    places_n3 = np.pad(way.xy_yaw_n3[::10, :2], ((0, 0), (0, 1)))
    assert min(space.clearance_m(place_3[:2]) for place_3 in places_n3) > 0.2
    assert all(inside(room, places_n3).sum() > 10 for room in rooms(SMALL))


def test_the_mapping_drive_closes_the_ring_both_ways_and_sees_each_twin_twice(mapping):
    xy_n2 = mapping.xy_yaw_n3[::10, :2]
    middle_2 = [SHELL.length_m / 2, SMALL.width_m / 2]
    around_n = np.unwrap(np.arctan2(*(xy_n2 - middle_2).T[::-1]))
    turns_n = (around_n - around_n[0]) / (2 * np.pi)
    assert turns_n.max() > 1.9
    assert turns_n[-1] < turns_n.max() - 0.8
    for number in SMALL.twins:
        there_n = inside(rooms(SMALL)[number], np.pad(xy_n2, ((0, 0), (0, 1))))
        assert (np.diff(there_n.astype(int)) == 1).sum() == 2
