"""Rooms that look alike, stretches with frames of their own, and what belongs to nothing."""

from __future__ import annotations

import numpy as np
import pytest
from support.drifting_drive import (
    bases,
    drifted,
    other_frame,
    record,
    refined,
    rmse_m,
    room,
    rounds,
)

from glace_ros.errors import MappingError
from glace_ros.geometry.pose import Pose, interpolate

pytest.importorskip("gtsam")

APART_M = 6.0


def towards(start: Pose, end: Pose, steps: int) -> list[Pose]:
    return [interpolate(start, end, step) for step in np.linspace(0, 1, steps + 1)[1:]]


def through_both_rooms() -> list[Pose]:
    """One and a half rounds in each, and the corridor between."""
    first, second = rounds(50, 1.5), rounds(50, 1.5, (APART_M, 0.0))
    hall = [Pose.from_planar(x, 0.0, 0.0) for x in np.linspace(1.6, 4.4, 12)]
    return [
        *first, *towards(first[-1], hall[0], 8), *hall, *towards(hall[-1], second[0], 6),
        *second[1:],
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_loops_between_rooms_that_look_alike_lose(seed):
    one = room(3, 2.0, 2.0, 500)
    hall = room(4, 1.5, 0.8, 200).at(3.0, (1.5, 4.5))
    world = one.at(0.0, (-np.inf, 4.2)) + hall + one.at(APART_M, (1.8, np.inf))
    truth = through_both_rooms()
    rng = np.random.default_rng(seed)
    recorded = drifted(truth, rng)
    result = refined(record(world, truth, recorded, rng))
    x_v = np.array([pose.translation_3[0] for pose in truth])
    ends_x = [sorted(x_v[list(loop)]) for loop in result.findings.loops]
    wrong = [ends for ends in ends_x if ends[0] < 1.5 and ends[1] > APART_M - 1.5]
    assert not wrong
    assert result.findings.loops_found > len(result.findings.loops) + 100  # there were some
    assert "contradict the others, left out" in " ".join(result.findings.sentences())
    poses = bases(result.map_from_camera)
    assert rmse_m(poses, truth) < min(0.01, 0.2 * rmse_m(recorded, truth))


FRAME = Pose.from_planar(40.0, -7.0, 2.1)
TILTED = Pose.from_rotation_vector([4.0, -7.0, 1.5], [0.2, -0.3, 2.0])


def two_drives(frame: Pose, seed: int = 0, second_room: int = 1, places=lambda poses: poses):
    """(truth of both, refined poses of both, findings); the second one in a frame of its own."""
    rng = np.random.default_rng(seed)
    truths = [rounds(40, 1.2), rounds(40, 1.2)[::-1]]
    views = []
    for number, truth in enumerate(truths):
        recorded = places(drifted(truth, rng, scale=1.0))
        if number:
            recorded = other_frame(recorded, frame)
        world = room(second_room if number else 1)
        views += record(world, truth, recorded, rng, stretch=number)
    result = refined(views)
    poses = bases(result.map_from_camera)
    return truths[0] + truths[1], poses, result.findings


@pytest.mark.slow
def test_drives_with_frames_of_their_own_become_one():
    truth, poses, findings = two_drives(FRAME)
    assert max(a.distance_m(b) for a, b in zip(poses, truth, strict=True)) < 0.04
    assert max(a.angle_rad(b) for a, b in zip(poses, truth, strict=True)) < 0.02
    assert findings.loops_between_drives > 50
    assert max(abs(pose.translation_3[2]) for pose in poses) < 0.006  # planar odometry's stay so


@pytest.mark.slow
def test_a_drive_in_a_tilted_frame_is_joined_too():
    """As by a camera's own tracking, which starts level with nothing."""

    def shaken(poses: list[Pose]) -> list[Pose]:
        """So that it is no planar odometry: 1 cm up and down."""
        return [
            Pose.from_rotation_vector([0, 0, 0.01 * np.sin(n)], [0, 0, 0]) @ pose
            for n, pose in enumerate(poses)
        ]

    truth, poses, _ = two_drives(TILTED, places=shaken)
    assert max(a.distance_m(b) for a, b in zip(poses, truth, strict=True)) < 0.06
    assert max(a.angle_rad(b) for a, b in zip(poses, truth, strict=True)) < 0.03


def test_a_drive_of_elsewhere_is_named():
    with pytest.raises(MappingError, match=r"^drive 1 shows nothing of what drive 0 shows \(none"):
        two_drives(FRAME, second_room=9)
