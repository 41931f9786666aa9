"""Poses that jump are found with time and size; whatever a robot can drive stays silent."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.bag_writing import (
    BASE_FROM_CAMERA,
    IMAGE_PERIOD_NS,
    START_NS,
    bag_writer,
    map_from_base,
    picture,
    write_drive,
)

from glace_ros.geometry.pose import Pose
from glace_ros.geometry.transform_link import TransformLink
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.pose_jumps import ALTERNATING, JUMP, find_pose_jumps, jump_sentences
from glace_ros.recording.recording_summary import describe, summarize
from glace_ros.simulation import drive
from glace_ros.simulation.building import BuildingConfig, build
from glace_ros.simulation.odometry import OdometryNoise, odometry

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000


def link(times_s: np.ndarray, xyz_n3: np.ndarray, yaw_n: np.ndarray, name="odom->base"):
    rotations_n33 = Rotation.from_rotvec(np.outer(yaw_n, [0.0, 0.0, 1.0])).as_matrix()
    stamps_n = START_NS + np.round(times_s * 1e9).astype(np.int64)
    return TransformLink(name, stamps_n, np.dstack([rotations_n33, xyz_n3]))


def smooth_drive(
    seed: int, rate_hz: float, fast_mps: float, *, duration_s: float = 60.0, noise_m: float = 0.002
) -> TransformLink:
    """Speeds between standing and `fast_mps` and turns, both smooth; stamps and poses are not."""
    rng = np.random.default_rng(seed)
    fine_s = np.arange(0.0, duration_s, 0.002)
    waves = rng.uniform(0.05, 0.25, (2, 3)), rng.uniform(0, 2 * np.pi, (2, 3))
    waves_2n = [
        np.mean([np.sin(2 * np.pi * hz * fine_s + phase) for hz, phase in zip(*of, strict=True)], 0)
        for of in zip(*waves, strict=True)
    ]
    speed_n = np.clip(fast_mps * (0.6 + waves_2n[0]), 0.0, fast_mps)
    yaw_n = np.cumsum(2.0 * waves_2n[1]) * 0.002
    xy_n2 = np.cumsum(speed_n[:, None] * np.stack([np.cos(yaw_n), np.sin(yaw_n)], 1), 0) * 0.002
    times_s = np.arange(0.0, duration_s, 1.0 / rate_hz)
    times_s = np.clip(times_s + rng.uniform(-0.3, 0.3, len(times_s)) / rate_hz, 0.0, fine_s[-1])
    xyz_n3 = np.stack(
        [np.interp(times_s, fine_s, x_n) for x_n in (*xy_n2.T, 0.0 * fine_s)], axis=1
    ) + rng.normal(0.0, noise_m, (len(times_s), 3))
    yaw_n = np.interp(times_s, fine_s, yaw_n) + rng.normal(0.0, noise_m, len(times_s))
    return link(times_s, xyz_n3, yaw_n)


def moved_from(whole: TransformLink, at: int, jump: Pose) -> tuple[TransformLink, float]:
    """From that pose on, all poses are moved; and by how much the one before it would be."""
    poses_n34 = whole.poses_n34.copy()
    poses_n34[at:] = jump.rotation_33 @ poses_n34[at:]
    poses_n34[at:, :, 3] += jump.translation_3
    here_3 = whole.poses_n34[at - 1, :, 3]
    moved_m = float(np.linalg.norm(jump.transform(here_3[None])[0] - here_3))
    return replace(whole, poses_n34=poses_n34), moved_m


def interleaved(*links: TransformLink) -> TransformLink:
    stamps_n = np.concatenate([each.stamps_n for each in links])
    order_n = np.argsort(stamps_n)
    poses_n34 = np.concatenate([each.poses_n34 for each in links])
    return replace(links[0], stamps_n=stamps_n[order_n], poses_n34=poses_n34[order_n])


def without(whole: TransformLink, from_s: float, to_s: float) -> TransformLink:
    seconds_n = (whole.stamps_n - START_NS) * 1e-9
    keep_n = (seconds_n < from_s) | (seconds_n > to_s)
    return replace(whole, stamps_n=whole.stamps_n[keep_n], poses_n34=whole.poses_n34[keep_n])


rates_hz = st.floats(2.0, 200.0)
speeds_mps = st.floats(0.0, 3.0)


@given(st.integers(0, 9999), rates_hz, speeds_mps, st.floats(5, 40), st.floats(0, 15))
@settings(max_examples=150, deadline=None)
def test_smooth_drives_of_any_speed_and_gaps_are_silent(seed, rate_hz, fast_mps, gap_s, gone_s):
    whole = smooth_drive(seed, rate_hz, fast_mps)
    assert find_pose_jumps([whole]) == []
    assert find_pose_jumps([without(whole, gap_s, gap_s + gone_s)]) == []


def test_a_turn_with_which_a_recording_of_few_poses_begins_is_silent():
    """By 63 degrees in the first 0.6 s: nothing before it tells that the robot was turning."""
    assert find_pose_jumps([smooth_drive(273, 2.0, 0.0)]) == []


@given(
    st.integers(0, 9999), st.floats(10.0, 200.0), st.floats(0.0, 1.5), st.floats(0.05, 0.95),
    st.floats(0.6, 20.0), st.floats(-3.0, 3.0), st.floats(-2.5, 2.5),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_jump_is_found_wherever_it_is(seed, rate_hz, fast_mps, where, far_m, towards, turned):
    whole = smooth_drive(seed, rate_hz, fast_mps)
    at = round(where * len(whole.stamps_n))
    here_3 = whole.poses_n34[at, :, 3]
    turn = Pose.from_rotation_vector(np.zeros(3), [0.0, 0.0, turned])
    away_3 = far_m * np.array([np.cos(towards), np.sin(towards), 0.0])
    jump = Pose(turn.rotation_33, here_3 + away_3 - turn.rotation_33 @ here_3)
    jumping, moved_m = moved_from(whole, at, jump)
    (found,) = find_pose_jumps([jumping])
    assert (found.kind, found.link) == (JUMP, "odom->base")
    assert (found.before_ns, found.stamp_ns) == tuple(whole.stamps_n[at - 1 : at + 1])
    assert found.distance_m == pytest.approx(moved_m, rel=0.2)
    assert found.angle_rad == pytest.approx(abs(turned), rel=0.2, abs=0.1)


def test_a_turn_on_the_spot_is_a_jump_too():
    whole = smooth_drive(3, 50.0, 0.5)
    here_3 = whole.poses_n34[1000, :, 3]
    turn = Pose.from_rotation_vector(np.zeros(3), [0.0, 0.0, 0.2])
    jumping, _ = moved_from(whole, 1000, Pose(turn.rotation_33, here_3 - turn.transform(here_3)))
    (found,) = find_pose_jumps([jumping])
    assert found.angle_rad == pytest.approx(0.2, rel=0.1)
    assert found.distance_m < 0.05


def test_jumps_close_to_each_other_are_told_apart():
    jumping = smooth_drive(5, 50.0, 0.8)
    for at, far_m in ((500, 1.0), (510, 2.0), (1500, 0.5), (2990, 3.0)):
        jumping, _ = moved_from(jumping, at, Pose.from_planar(far_m, 0.0, 0.0))
    found = find_pose_jumps([jumping])
    assert [jump.stamp_ns for jump in found] == [
        jumping.stamps_n[at] for at in (500, 510, 1500, 2990)
    ]
    assert [jump.distance_m for jump in found] == pytest.approx([1.0, 2.0, 0.5, 3.0], rel=0.2)


def test_a_jump_out_of_a_gap_is_found_where_the_robot_cannot_have_driven_so_far():
    jumping, _ = moved_from(smooth_drive(6, 50.0, 0.5), 1500, Pose.from_planar(30.0, 0.0, 0.0))
    (found,) = find_pose_jumps([without(jumping, 29.0, 32.0)])
    assert found.distance_m == pytest.approx(30.0, rel=0.1)


@given(st.integers(0, 999), st.floats(20.0, 100.0), st.floats(0.05, 1.0), st.floats(0.3, 5.0))
@settings(max_examples=40, deadline=None)
def test_two_senders_alternate_whatever_their_rates(seed, rate_hz, slower, apart_m):
    other = smooth_drive(seed, rate_hz, 0.8)
    every = max(1, round(1.0 / slower))
    moved_n34 = other.poses_n34 + np.array([[0, 0, 0, apart_m], [0, 0, 0, 0], [0, 0, 0, 0]])
    both = interleaved(
        other,
        replace(other, stamps_n=other.stamps_n[::every] + S // 500, poses_n34=moved_n34[::every]),
    )
    (found,) = find_pose_jumps([both])
    assert found.kind == ALTERNATING
    assert found.times > 1.5 * len(other.stamps_n[::every])
    assert found.stamp_ns - START_NS < S
    assert found.distance_m == pytest.approx(apart_m, rel=0.2, abs=0.1)


def test_a_jump_before_two_senders_is_told_beside_them():
    one, _ = moved_from(smooth_drive(1, 50.0, 0.8), 500, Pose.from_planar(2.0, 1.0, 0.0))
    other = replace(
        one, stamps_n=one.stamps_n[1500:2500] + S // 100,
        poses_n34=one.poses_n34[1500:2500] + [[0, 0, 0, 0.5], [0, 0, 0, 0], [0, 0, 0, 0]],
    )  # fmt: skip
    jump, alternating = find_pose_jumps([interleaved(one, other)])
    assert (jump.kind, jump.stamp_ns) == (JUMP, one.stamps_n[500])
    assert alternating.kind == ALTERNATING
    assert 1900 < alternating.times <= 2000
    assert alternating.stamp_ns == other.stamps_n[0]


def corrections(seed: int, far_m: float, turn_deg: float, every: int = 20) -> TransformLink:
    """map->odom at 20 Hz over a minute, which AMCL corrects by up to so much once a second."""
    rng = np.random.default_rng(seed)
    count = 1200
    steps_n3, turns_n = np.zeros((count, 3)), np.zeros(count)
    steps_n3[::every, :2] = rng.uniform(-1, 1, (count // every, 2)) * far_m / np.sqrt(2)
    turns_n[::every] = rng.uniform(-1, 1, count // every) * np.radians(turn_deg)
    times_s = np.arange(count) / 20.0
    return link(times_s, np.cumsum(steps_n3, 0), np.cumsum(turns_n), "map->odom")


@pytest.mark.parametrize("seed", range(8))
def test_corrections_of_amcl_are_silent_and_a_closed_loop_is_not(seed):
    odom, map_odom = smooth_drive(seed, 50.0, 0.6), corrections(seed, 0.07, 1.0)
    base_near = replace(odom, poses_n34=odom.poses_n34 * [1, 1, 1, 0.2])  # within 2 m
    assert find_pose_jumps([base_near, map_odom]) == []
    # 8 degrees about odom's origin: the base is moved by more, the further away it is
    jumping, _ = moved_from(map_odom, 600, Pose.from_rotation_vector([0.5, 0.3, 0], [0, 0, 0.14]))
    (found,) = find_pose_jumps([base_near, jumping])
    assert (found.link, found.stamp_ns) == ("map->odom", jumping.stamps_n[600])
    before, after = (Pose.from_matrix(each.poses_n34[600]) for each in (map_odom, jumping))
    base = Pose.from_matrix(base_near.nearest(jumping.stamps_n[600:601])[0])
    assert found.distance_m == pytest.approx((after @ base).distance_m(before @ base), rel=0.2)
    assert np.degrees(found.angle_rad) == pytest.approx(8.0, abs=1.0)


def test_poses_that_are_always_unsteady_are_no_jumps_but_a_large_one_is():
    rng = np.random.default_rng(0)
    whole = smooth_drive(2, 10.0, 0.6)
    poses_n34 = whole.poses_n34.copy()
    poses_n34[:, :2, 3] += rng.normal(0.0, 0.12, (len(poses_n34), 2))
    noisy = replace(whole, poses_n34=poses_n34)
    assert find_pose_jumps([noisy]) == []
    jumping, _ = moved_from(noisy, 300, Pose.from_planar(4.0, 0.0, 0.0))
    (found,) = find_pose_jumps([jumping])
    assert found.distance_m == pytest.approx(4.0, rel=0.2)


def test_one_wrong_pose_is_there_and_back():
    whole = smooth_drive(2, 20.0, 0.6)
    poses_n34 = whole.poses_n34.copy()
    poses_n34[500, :, 3] += [1.0, 0.0, 0.0]
    found = find_pose_jumps([replace(whole, poses_n34=poses_n34)])
    assert [jump.stamp_ns for jump in found] == whole.stamps_n[500:502].tolist()
    assert {jump.kind for jump in found} == {JUMP}


@pytest.mark.parametrize("count", range(8))
def test_of_next_to_no_poses_nothing_is_said(count):
    drive_n = smooth_drive(0, 20.0, 1.0)
    few = replace(drive_n, stamps_n=drive_n.stamps_n[:count], poses_n34=drive_n.poses_n34[:count])
    assert find_pose_jumps([few]) == []
    assert find_pose_jumps([]) == []
    standing = np.zeros(60)
    assert find_pose_jumps([link(np.arange(60.0), np.zeros((60, 3)), standing)]) == []


def test_a_simulated_robot_that_spins_and_slips_is_silent():
    building = build(replace(BuildingConfig(), rooms=2))
    trajectory = drive.drive(building, drive.mapping_route(building))
    times_s = np.arange(0.0, trajectory.duration_s, 0.02)
    rough = OdometryNoise(0.05, 0.02, 0.02, 0.02, 0.02)
    for noise in (OdometryNoise(), rough):
        odom_from_base = odometry(trajectory, times_s, noise, seed=1)
        map_from_odom = [
            trajectory.map_from_base(float(time_s)) @ pose.inverse()
            for time_s, pose in zip(times_s, odom_from_base, strict=True)
        ]
        links = [
            TransformLink(name, START_NS + np.round(times_s * 1e9).astype(np.int64),
                          np.stack([pose.matrix_44[:3] for pose in poses]))
            for name, poses in (("odom->base", odom_from_base), ("map->odom", map_from_odom))
        ]  # fmt: skip
        assert find_pose_jumps(links) == []


def test_an_hour_at_100_hz_takes_seconds():
    whole = smooth_drive(0, 100.0, 1.0, duration_s=3600.0)
    jumping, _ = moved_from(whole, 100_000, Pose.from_planar(1.0, 1.0, 0.0))
    started = time.process_time()
    (found,) = find_pose_jumps([jumping])
    assert time.process_time() - started < 10.0  # 1 s where nothing else runs
    assert found.stamp_ns == whole.stamps_n[100_000]


# --- bags ---


def write_jumping(path: Path, move, poses: str = "odometry") -> Path:
    """The drive of `write_drive` for 4 s; odometry is move(seconds) @ what it would be.

    poses: odometry, tf: as odom->base_link below a map->odom that is moved in its stead, or
        senders: two of odom->base_link, of whom one is moved.
    """
    still = Pose.from_planar(5.0, 2.0, 0.7)
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for step in range(200):
            stamp = START_NS + step * S // 50
            moved, pose = move(step / 50), map_from_base(stamp)
            if poses == "odometry":
                bag.odometry("/odom", stamp, bag.pose(moved @ pose))
            else:
                bag.tf("odom", "base_link", stamp, pose)
            if poses == "tf":
                bag.tf("map", "odom", stamp, still @ moved)
            if poses == "senders":
                bag.tf("odom", "base_link", stamp + S // 125, moved @ pose)
            if step % 5 == 0:
                bag.image("/camera/image_raw", stamp, picture(step))
                bag.camera_info("/camera/camera_info", stamp)
    return path


def reset_at_2_s(seconds: float) -> Pose:
    origin = map_from_base(START_NS + 2 * S)
    return origin.inverse() if seconds >= 2.0 else Pose.identity()


def test_a_reset_is_told_with_time_and_size(tmp_path):
    origin = map_from_base(START_NS + 2 * S)
    with RecordingReader(write_jumping(tmp_path / "bag", reset_at_2_s)) as reader:
        (jump,) = reader.pose_jumps()
        assert (jump.stamp_ns, jump.link) == (START_NS + 2 * S, "/odom")
        assert jump.distance_m == pytest.approx(origin.distance_m(Pose.identity()), rel=0.02)
        assert jump.angle_rad == pytest.approx(origin.angle_rad(Pose.identity()), rel=0.02)
        said = describe(summarize(reader))
        (note,) = reader.notes
        assert f"note: {note}" in said
        assert note.startswith("/odom: the pose jumps by 2.66 m and 74 deg at 0:02 (stamp 17000000")
        assert jump.as_json(reader.zero_ns()) == {
            "stamp_ns": START_NS + 2 * S,
            "time_s": pytest.approx(2.0),
            "distance_m": jump.distance_m,
            "angle_deg": pytest.approx(np.degrees(jump.angle_rad)),
            "kind": "jump",
        }


def test_in_the_midst_of_a_jump_there_is_no_pose(tmp_path):
    """An image of that moment is neither here nor there."""
    with RecordingReader(write_jumping(tmp_path / "bag", reset_at_2_s)) as reader:
        (jump,) = reader.pose_jumps()
        between_ns = (jump.before_ns + jump.stamp_ns) // 2
        for pose_at in (reader.map_from_base, reader.map_from_camera):
            with pytest.raises(TransformError) as refused:
                pose_at(between_ns)
            assert refused.value.reason == "the pose jumps"
            before, after = pose_at(jump.before_ns), pose_at(jump.stamp_ns)
            assert before.distance_m(after) > 2.5


def test_a_loop_that_slam_closes_is_a_jump_of_map_to_odom_alone(tmp_path):
    def closed_at_3_s(seconds: float) -> Pose:
        return Pose.from_planar(0.4, 0.3, 0.0) if seconds >= 3.0 else Pose.identity()

    with RecordingReader(write_jumping(tmp_path / "bag", closed_at_3_s, "tf")) as reader:
        assert reader.info.pose_source == "tf:map"
        (jump,) = reader.pose_jumps()
        assert (jump.stamp_ns, jump.link) == (START_NS + 3 * S, "map->odom")
        assert jump.distance_m == pytest.approx(0.5, rel=0.01)
    odom = RecordingReader(tmp_path / "bag", pose_source="tf:odom")
    with odom as reader:
        assert reader.pose_jumps() == []
        assert reader.notes == []


def test_a_robot_that_stands_may_have_driven_in_a_gap():
    standing = link(np.arange(3000) / 50.0, np.zeros((3000, 3)), np.zeros(3000))
    elsewhere, _ = moved_from(standing, 1500, Pose.from_planar(1.0, 0.0, 0.5))
    assert find_pose_jumps([without(elsewhere, 28.0, 32.0)]) == []
    assert len(find_pose_jumps([elsewhere])) == 1


def test_two_senders_are_told_in_one_sentence(tmp_path):
    def apart_from_1_s_on(seconds: float) -> Pose:
        return Pose.from_planar(0.3 * seconds if seconds > 1.0 else 0.0, 0.0, 0.0)

    with RecordingReader(write_jumping(tmp_path / "bag", apart_from_1_s_on, "senders")) as reader:
        (jump,) = reader.pose_jumps()
        (note,) = reader.notes
        assert note.startswith("odom->base_link: from 0:01 (stamp ")
        assert "alternate between two tracks up to 1.19 m and 0 deg apart" in note
        assert "two nodes send them" in note
        assert jump.times > 280


def test_of_many_jumps_the_first_are_told():
    whole = smooth_drive(0, 50.0, 0.5)
    for at in range(100, 2900, 100):
        whole, _ = moved_from(whole, at, Pose.from_planar(1.0, 0.0, 0.0))
    jumps = find_pose_jumps([whole])
    assert len(jumps) == 28
    said = jump_sentences(jumps, START_NS)
    assert len(said) == 6
    assert "at 0:02 (stamp" in said[0]
    assert said[-1] == "odom->base: 23 more jumps of the pose"


@pytest.mark.parametrize("poses", ["odometry", "tf:odom", "tf:map", "pose", "pose_cov"])
def test_a_drive_without_jumps_has_no_notes(tmp_path, poses):
    path = write_drive(tmp_path / "bag", poses=poses, images=3 * S // IMAGE_PERIOD_NS)
    source = "/pose" if poses.startswith("pose") else None
    with RecordingReader(path, pose_source=source) as reader:
        assert reader.pose_jumps() == []
        assert not any("jump" in note or "alternate" in note for note in reader.notes)


@pytest.mark.parametrize("name", ["mapping", "query", "mapping_drift"])
@pytest.mark.parametrize("source", ["/odom", "tf:odom"])
def test_the_real_office_is_silent(shared_data, name, source):
    if not (shared_data / name).exists():
        pytest.skip(f"the recording {name} is not here")
    with RecordingReader(shared_data / name, pose_source=source) as reader:
        assert reader.pose_jumps() == []
