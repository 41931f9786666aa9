"""What benchmark/building.py measures against a recording's truth: trajectories, loops, poses;
and the cells of its tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from scipy.spatial.transform import Rotation, Slerp

from glace_ros.ros_messages.reading import pose_of, stamp_to_ns
from glace_ros.simulation.bag_messages import IMAGE_TOPIC, TRUTH_TOPIC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WRONG_LOOP = (4.0, 86.0)
"""(m, deg) between two views that cannot show the same, with a camera of 86 degrees: a loop between
them is wrong.
"""
RECALL = (0.25, 5.0)
"""(m, deg) of a pose that counts."""


@dataclass(frozen=True, eq=False)
class Track:
    """Where the base was.

    stamps_n: int64, ns, increasing.
    xyz_n3: metres.
    rotations: n of them.
    """

    stamps_n: NDArray[np.int64]
    xyz_n3: NDArray[np.float64]
    rotations: Rotation

    @property
    def length_m(self) -> float:
        """Of the way."""
        return float(np.linalg.norm(np.diff(self.xyz_n3, axis=0), axis=1).sum())

    def at(self, stamps_n: NDArray[np.int64]) -> Track:
        """At stamps (n,); what lies outside is as at its end."""
        within_n = np.clip(stamps_n, self.stamps_n[0], self.stamps_n[-1])
        since_n, own_n = ((s - self.stamps_n[0]) * 1e-9 for s in (within_n, self.stamps_n))
        xyz_n3 = np.stack([np.interp(since_n, own_n, axis) for axis in self.xyz_n3.T], axis=1)
        return Track(stamps_n, xyz_n3, Slerp(own_n, self.rotations)(since_n))


@dataclass(frozen=True, eq=False)
class Similarity:
    """p_truth = scale * rotation @ p + translation."""

    scale: float
    rotation: Rotation
    translation_3: NDArray[np.float64]

    @staticmethod
    def best(xyz_n3: NDArray[np.float64], truth_n3: NDArray[np.float64]) -> Similarity:
        """By least squares (Umeyama 1991)."""
        middle_3, truth_middle_3 = xyz_n3.mean(axis=0), truth_n3.mean(axis=0)
        centred_n3 = xyz_n3 - middle_3
        left_33, values_3, right_33 = np.linalg.svd((truth_n3 - truth_middle_3).T @ centred_n3)
        signs_3 = np.array([1.0, 1.0, np.sign(np.linalg.det(left_33 @ right_33))])
        rotation_33 = left_33 @ np.diag(signs_3) @ right_33
        scale = float(values_3 @ signs_3 / np.square(centred_n3).sum())
        translation_3 = truth_middle_3 - scale * rotation_33 @ middle_3
        return Similarity(scale, Rotation.from_matrix(rotation_33), translation_3)

    def applied(self, track: Track) -> Track:
        """The track in the truth's frame."""
        xyz_n3 = self.scale * self.rotation.apply(track.xyz_n3) + self.translation_3
        return Track(track.stamps_n, xyz_n3, self.rotation * track.rotations)


def bag_track(bag: Path, topic: str = TRUTH_TOPIC) -> Track:
    """The poses on a bag's topic of poses."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with Reader(bag) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        messages: list[Any] = [
            store.deserialize_cdr(data, connection.msgtype)
            for connection, _, data in reader.messages(connections)
        ]
    poses = [pose_of(message) for message in messages]
    return Track(
        np.array([stamp_to_ns(message.header.stamp) for message in messages]),
        np.stack([pose.translation_3 for pose in poses]),
        Rotation.from_matrix(np.stack([pose.rotation_33 for pose in poses])),
    )


def tum_track(file: Path) -> Track:
    """Of a file with lines `stamp x y z qx qy qz qw`. Its stamps are decimals of seconds."""
    lines = [line.split() for line in file.read_text().splitlines() if line and line[0] != "#"]
    numbers_n7 = np.array([line[1:8] for line in lines], dtype=np.float64).reshape(-1, 7)
    seconds = [line[0].partition(".")[::2] for line in lines]
    stamps = [int(whole) * 10**9 + int(part[:9].ljust(9, "0")) for whole, part in seconds]
    return Track(np.array(stamps), numbers_n7[:, :3], Rotation.from_quat(numbers_n7[:, 3:]))


def rmse_m(track: Track, truth: Track) -> float:
    """Of positions, after the best similarity."""
    there = truth.at(track.stamps_n)
    aligned = Similarity.best(track.xyz_n3, there.xyz_n3).applied(track)
    return float(np.sqrt(np.square(aligned.xyz_n3 - there.xyz_n3).sum(axis=1).mean()))


def wrong_loops(loops: Sequence[Sequence[tuple[int, int]]], truth: Track) -> int:
    """How many of the pairs of (drive, stamp in ns), of one drive all, are of views that cannot
    show the same.
    """
    if not loops:
        return 0
    stamps_n2 = np.array(loops)[:, :, 1]
    one, other = (truth.at(stamps_n) for stamps_n in stamps_n2.T)
    apart_n = np.linalg.norm(one.xyz_n3 - other.xyz_n3, axis=1)
    turned_n = np.degrees((one.rotations.inv() * other.rotations).magnitude())
    return int(((apart_n > WRONG_LOOP[0]) | (turned_n > WRONG_LOOP[1])).sum())


def recall(estimates: Track, truth: Track, frames: int) -> float:
    """Ratio of the frames whose estimate, accepted, is within RECALL."""
    there = truth.at(estimates.stamps_n)
    error_n = np.linalg.norm(estimates.xyz_n3 - there.xyz_n3, axis=1)
    error_deg_n = np.degrees((there.rotations.inv() * estimates.rotations).magnitude())
    return float(((error_n <= RECALL[0]) & (error_deg_n <= RECALL[1])).sum() / frames)


def own_recall(tum: Path, query: Path, metrics: dict[str, Any]) -> dict[str, float | None]:
    """Within 25 cm / 5 deg, as localized and after the alignment that evaluate found; a rejected
    image counts as wrong.
    """
    estimates, truth, frames = tum_track(tum), bag_track(query), metrics["frames"]
    found: dict[str, float | None] = {"plain": recall(estimates, truth, frames), "aligned": None}
    if aligned := metrics.get("aligned"):
        moved_7 = np.array(aligned["truth_from_map"])
        moved = Similarity(aligned["scale"], Rotation.from_quat(moved_7[3:]), moved_7[:3])
        found["aligned"] = recall(moved.applied(estimates), truth, frames)
    return found


def cut(bag: Path, images: int, output: Path) -> None:
    """The beginning of a bag, up to so many images."""
    store = get_typestore(Stores.ROS2_JAZZY)
    unfinished = output.parent / ".unfinished" / output.name
    with (
        Reader(bag) as reader,
        Writer(unfinished, version=9, storage_plugin=StoragePlugin.MCAP) as out,
    ):
        copied = {
            connection.id: out.add_connection(
                connection.topic, connection.msgtype, typestore=store,
                offered_qos_profiles=connection.ext.offered_qos_profiles,  # type: ignore[union-attr]
            )
            for connection in reader.connections
        }  # fmt: skip
        for connection, received_ns, data in reader.messages():
            out.write(copied[connection.id], received_ns, data)
            images -= connection.topic.startswith(IMAGE_TOPIC)
            if images == 0:
                break
    unfinished.rename(output)
    unfinished.parent.rmdir()


def trajectory_cells(built: dict[str, Any], bag: Path, scene_map: Path, name: str) -> list[str]:
    """Views, way, odometry's RMSE, the map's, loops, wrong loops."""
    truth, odometry = bag_track(bag), bag_track(bag, "/odom")
    file = Path(f"{scene_map}.trajectory.tum")
    refined = tum_track(file) if file.is_file() and "refined" in name else None
    at_views = odometry.at(refined.stamps_n) if refined else odometry
    loops = (built.get("pose_refinement") or {}).get("loops")
    return [
        str(built.get("mapping_frames", "-")), f"{truth.length_m:.0f}",
        f"{rmse_m(at_views, truth):.2f}", f"{rmse_m(refined, truth):.3f}" if refined else "-",
        "-" if loops is None else str(len(loops)),
        "-" if loops is None else str(wrong_loops(loops, truth)),
    ]  # fmt: skip


def pose_cells(found: dict[str, Any]) -> list[str]:
    """Recall, aligned; median in cm, aligned; false accepts."""
    aligned = found.get("aligned") or {}
    recalls = [shown(found["mine"][kind], "{:.1%}") for kind in ("plain", "aligned")]
    medians_m = [metrics.get("median_translation_m") for metrics in (found, aligned)]
    medians = [shown(value and 100 * value, "{:.1f}") for value in medians_m]
    return [*recalls, *medians, str(aligned.get("false_accepts", found["false_accepts"]))]


def cost_cells(built: dict[str, Any]) -> list[str]:
    """Peak memory, and the seconds of each step."""
    seconds = {**built["seconds"], "total": built["wall_s"]}
    steps = "\n".join(f"{name} {value:.0f}" for name, value in seconds.items())
    return [shown(built["peak_gb"], "{:.2f}"), steps]


def shown(value: float | None, form: str) -> str:
    """A number, or that there is none."""
    return "-" if value is None else form.format(value)
