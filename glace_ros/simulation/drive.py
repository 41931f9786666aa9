"""A differential-drive robot's trajectory through the building: a route, the motion along it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.pose import Pose
from glace_ros.simulation.free_space import FreeSpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.simulation.building import Building

_STEP_S = 0.01
"""Of the simulated motion."""
_LOOK_AHEAD_M = 0.32
"""How far ahead on its path the robot steers for."""


@dataclass(frozen=True)
class DriveConfig:
    """Limits of the robot's motion."""

    speed_mps: float = 0.7
    turn_rate_radps: float = 0.8
    acceleration_mps2: float = 1.0  # planned with; a step may change the speed by twice as much
    turn_acceleration_radps2: float = 3.0
    clearance_m: float = 0.35


@dataclass(frozen=True)
class Waypoint:
    """A place to pass; with `spin_rad`, one to stop at and turn by so much."""

    x_m: float
    y_m: float
    spin_rad: float = 0.0


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Where base_footprint was: x, y, yaw (unwrapped) at `times_s`, 10 ms apart from 0."""

    times_s: NDArray[np.float64]
    xy_yaw_n3: NDArray[np.float64]

    @property
    def duration_s(self) -> float:
        """Until the robot stands at the end of its route."""
        return float(self.times_s[-1])

    @property
    def length_m(self) -> float:
        """Length of the path."""
        return float(np.linalg.norm(np.diff(self.xy_yaw_n3[:, :2], axis=0), axis=1).sum())

    def planar(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """x, y, yaw (n, 3) at times (n,)."""
        return np.stack([np.interp(times_s, self.times_s, v) for v in self.xy_yaw_n3.T], axis=1)

    def map_from_base(self, time_s: float) -> Pose:
        """The true pose at a time in [0, duration_s]."""
        return Pose.from_planar(*self.planar(np.array([time_s]))[0])


def mapping_route(building: Building) -> list[Waypoint]:
    """Every room twice around, once each way, with looks about; the corridor both ways."""
    config, rng = building.config, np.random.default_rng([building.config.seed, 101])
    middle_m = 0.55 * config.corridor_width_m
    route = [Waypoint(0.9, middle_m)]
    for room in range(config.rooms):
        corners = _waypoints(_room_corners(building, room, shrink_m=0.0), rng, 0.1)
        inner = _waypoints(_room_corners(building, room, shrink_m=0.3)[::-1], rng, 0.1)
        turns = [replace(waypoint, spin_rad=2 * np.pi) for waypoint in (corners[1], corners[3])]
        route += [_before_door(building, room), corners[0], turns[0], corners[2], turns[1]]
        route += [corners[0], inner[1], inner[2], inner[3], inner[0]]
        route += [replace(_before_door(building, room), spin_rad=2 * np.pi)]
    route += [Waypoint(config.length_m - 1.0, middle_m, spin_rad=2 * np.pi)]
    route += [Waypoint(0.5 * config.length_m, 0.6 * config.corridor_width_m)]
    return [*route, Waypoint(1.0, middle_m, spin_rad=np.pi)]


def query_route(building: Building, seed: int) -> list[Waypoint]:
    """Another day: from the corridor's other end, the rooms in turn by other paths, and back."""
    config, rng = building.config, np.random.default_rng([seed, 202])
    route = [Waypoint(config.length_m - 1.1, 0.45 * config.corridor_width_m)]
    for room in reversed(range(config.rooms)):
        corners = _room_corners(building, room, shrink_m=0.15)
        start = int(rng.integers(4))
        around = np.roll(corners[:: int(rng.choice([-1, 1]))], start, axis=0)
        across = np.stack([around[0], around[2], around[1], around[3]])
        order = around if rng.random() < 0.5 else across
        route += [_before_door(building, room), *_waypoints(order, rng, 0.2)]
        route += [_before_door(building, room)]
    return [*route, Waypoint(0.4 * config.length_m, 0.6 * config.corridor_width_m)]


def _room_corners(building: Building, room: int, shrink_m: float) -> NDArray[np.float64]:
    """Corners (4, 2) of a way around the room, counter-clockwise from the one left of the door."""
    config = building.config
    left_m, low_m = room * config.room_width_m, config.corridor_width_m
    x_m = np.array([1.0 + shrink_m, config.room_width_m - 1.1 - shrink_m]) + left_m
    y_m = np.array([0.9 + shrink_m, config.room_depth_m - 1.2 - shrink_m]) + low_m
    corners = [[x_m[0], y_m[0]], [x_m[1], y_m[0]], [x_m[1], y_m[1]], [x_m[0], y_m[1]]]
    return np.array(corners)


def _before_door(building: Building, room: int) -> Waypoint:
    config = building.config
    return Waypoint(config.door_x_m(room), config.corridor_width_m * 0.6)


def _waypoints(
    places_n2: NDArray[np.float64], rng: np.random.Generator, spread_m: float
) -> list[Waypoint]:
    """The places, each moved by up to `spread_m`."""
    return [Waypoint(*(place + rng.uniform(-spread_m, spread_m, 2))) for place in places_n2]


def drive(
    building: Building, route: Sequence[Waypoint], config: DriveConfig | None = None
) -> Trajectory:
    """Follows the route at a safe distance from walls and furniture."""
    config = config or DriveConfig()
    space = FreeSpace(building.obstacles_m, config.clearance_m)
    places = [space.nearest_free(np.array([w.x_m, w.y_m])) for w in route]
    start_2, ahead_2 = places[0], space.path(places[0], places[1])
    toward_2 = ahead_2[min(8, len(ahead_2) - 1)] - start_2
    robot = _Robot(config, start_2, float(np.arctan2(toward_2[1], toward_2[0])))
    leg = [start_2[None]]
    for waypoint, before_2, place_2 in zip(route[1:], places, places[1:], strict=False):
        leg.append(space.path(before_2, place_2))
        if waypoint.spin_rad:
            robot.follow(np.concatenate(leg))
            robot.spin(waypoint.spin_rad)
            leg = [place_2[None]]
    robot.follow(np.concatenate(leg))
    robot.rest(0.3)
    xy_yaw_n3 = np.array(robot.track, dtype=np.float64)
    times_s = np.arange(len(xy_yaw_n3), dtype=np.float64) * _STEP_S
    return Trajectory(times_s, xy_yaw_n3)


class _Robot:
    """A unicycle with limited speeds and accelerations, steered by pure pursuit."""

    def __init__(self, config: DriveConfig, start_2: NDArray[np.float64], yaw_rad: float) -> None:
        self._config = config
        self._x_m, self._y_m, self._yaw_rad = float(start_2[0]), float(start_2[1]), yaw_rad
        self._speed_mps = self._turn_radps = 0.0
        self.track = [(self._x_m, self._y_m, self._yaw_rad)]

    def follow(self, path_n2: NDArray[np.float64]) -> None:
        """Drives along the path and stops at its end."""
        steps_m = np.linalg.norm(np.diff(path_n2, axis=0), axis=1)
        along_m = np.concatenate([[0.0], np.cumsum(steps_m)])
        nearest = 0
        for _ in range(int((600.0 + 10.0 * along_m[-1]) / _STEP_S)):  # rather than for ever
            here_2 = np.array([self._x_m, self._y_m])
            window = path_n2[nearest : nearest + 12]
            nearest += int(np.argmin(np.linalg.norm(window - here_2, axis=1)))
            left_m = along_m[-1] - along_m[nearest]
            if left_m < 0.03:
                break
            goal_m = along_m[nearest] + _LOOK_AHEAD_M
            goal_2 = np.array([np.interp(goal_m, along_m, path_n2[:, axis]) for axis in (0, 1)])
            dx_m, dy_m = goal_2 - here_2
            error_rad = _wrapped(np.arctan2(dy_m, dx_m) - self._yaw_rad)
            slowing = np.sqrt(2 * 0.5 * self._config.acceleration_mps2 * left_m)
            speed_mps = min(self._config.speed_mps, slowing) * max(0.0, np.cos(error_rad)) ** 3
            self._step(speed_mps if abs(error_rad) < 1.2 else 0.0, 2.6 * error_rad)
        self.rest(0.2)

    def spin(self, angle_rad: float) -> None:
        """Turns on the spot."""
        goal_rad = self._yaw_rad + angle_rad
        while abs(goal_rad - self._yaw_rad) > 0.02:
            self._step(0.0, 2.0 * (goal_rad - self._yaw_rad))
        self.rest(0.1)

    def rest(self, duration_s: float) -> None:
        """Brakes, and stands."""
        for _ in range(int(duration_s / _STEP_S)):
            self._step(0.0, 0.0)

    def _step(self, speed_mps: float, turn_radps: float) -> None:
        config = self._config
        turn_radps = float(np.clip(turn_radps, -config.turn_rate_radps, config.turn_rate_radps))
        self._speed_mps += _limited(
            speed_mps - self._speed_mps, config.acceleration_mps2 * 2 * _STEP_S
        )
        self._turn_radps += _limited(
            turn_radps - self._turn_radps, config.turn_acceleration_radps2 * _STEP_S
        )
        middle_rad = self._yaw_rad + 0.5 * self._turn_radps * _STEP_S
        self._x_m += self._speed_mps * _STEP_S * float(np.cos(middle_rad))
        self._y_m += self._speed_mps * _STEP_S * float(np.sin(middle_rad))
        self._yaw_rad += self._turn_radps * _STEP_S
        self.track.append((self._x_m, self._y_m, self._yaw_rad))


def _limited(change: float, limit: float) -> float:
    return max(-limit, min(limit, change))


def _wrapped(angle_rad: float) -> float:
    return float((angle_rad + np.pi) % (2 * np.pi) - np.pi)
