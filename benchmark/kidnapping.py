"""Kidnapping among look-alike rooms: how soon a robot that knows nothing has its first fix, and
whether it is right, by single images and by windows of the last ones.

    python -m benchmark.rooms --rooms 4 --variants diffusion --minutes 4
    python -m benchmark.kidnapping --rooms 4 --map build/rooms/MAP.glace --starts 100

Each start is a drive in one of the rooms, with odometry that errs. Of every second one the robot
was in another room before, and is carried over without odometry noticing. The same images go
through the localizer and the fusion of the live node twice, alone and in windows. Every start
leaves a JSON file: a run that was cut off goes on where the same command is started again.

One file of 382 lines, to be read from its top: nothing else uses a part of it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from glace_ros.command_line.output_files import write_json
from glace_ros.errors import GlaceError
from glace_ros.evaluation.calibration import LEAST_BESIDE_LANDMARKS
from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.fusion.odometry_fusion import Fix, OdometryFusion
from glace_ros.geometry.covariance import base_covariance
from glace_ros.geometry.pose import Pose
from glace_ros.localization.image_window import ImageMotion
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.localization.window_localizer import WindowLocalizer
from glace_ros.maps.scene_map import SceneMap
from glace_ros.rejection import Rejection
from glace_ros.simulation.drive import Trajectory
from glace_ros.simulation.lookalike_rooms import LookAlikeRoomsConfig, build_room, room_origin_m
from glace_ros.simulation.odometry import OdometryNoise, odometry
from glace_ros.simulation.renderer import Renderer

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTPUT = Path(__file__).resolve().parents[1] / "build" / "kidnapping"
RATE_HZ = 5
LEAST_IMAGES = 9
"""Looked at, however soon there is a fix."""
MANY = 5
"""Images since a start, from which on a window tells more than one does."""
LONGEST_S = 8.0
"""Of a drive in the room where the robot is found."""
BEFORE_S = 1.0
"""In the other room, of one that is carried."""
RIGHT = (0.10, 5.0)  # m, deg
ELSEWHERE = (1.0, 10.0)  # m, deg
BASE_FROM_CAMERA = Pose(
    Rotation.from_euler("ZYX", [0.0, math.radians(8.0), 0.0]).as_matrix()
    @ np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
    np.array([0.1, 0.0, 1.25]),
)
NOISE = OdometryNoise(turn_scale=0.02)


class Shot(NamedTuple):
    """One image of a drive.

    stamp_ns: of its exposure.
    room: that it is of.
    map_from_base: the truth.
    odom_from_base: as odometry has it.
    """

    stamp_ns: int
    room: int
    map_from_base: Pose
    odom_from_base: Pose


@dataclass(frozen=True)
class Drive:
    """A start, and what the robot does from there.

    carried: the first images are of another room.
    turns: it turns on the spot, else it drives a circle.
    """

    number: int
    carried: bool
    turns: bool
    shots: tuple[Shot, ...]


def drive_of(number: int, rooms: int, config: LookAlikeRoomsConfig) -> Drive:
    """The start of that number: equal for equal arguments."""
    rng = np.random.default_rng([config.seed, 51, number])
    carried, turns = number % 2 == 1, number // 2 % 2 == 0
    found_in, was_in = rng.permutation(rooms)[:2]
    before = round(BEFORE_S * RATE_HZ) if carried else 0
    after = round(LONGEST_S * RATE_HZ)
    parts = [(was_in, before), (found_in, after)]
    planar, of_room = [], []
    for room, count in parts:
        if not count:
            continue
        times_s = np.arange(count) / RATE_HZ
        planar.append(_motion(times_s, turns, config.side_m, rng))
        of_room += [int(room)] * count
    odometry_poses = _odometry(planar, number)
    poses = []
    for xy_yaw_n3, room in zip(planar, [r for r, c in parts if c], strict=True):
        origin = Pose(np.eye(3), room_origin_m(config, int(room), rooms))
        poses += [origin @ Pose.from_planar(*each) for each in xy_yaw_n3]
    shots = (
        Shot(round(1e9 * (10.0 + index / RATE_HZ)), room, truth, odom)
        for index, (room, truth, odom) in enumerate(
            zip(of_room, poses, odometry_poses, strict=True)
        )
    )
    return Drive(number, carried, turns, tuple(shots))


def _motion(
    times_s: NDArray[np.float64], turns: bool, side_m: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """x, y, yaw (n, 3) in the room."""
    sign, start = rng.choice([-1.0, 1.0]), rng.uniform(0.0, 2 * np.pi)
    if turns:
        away_m = 0.4 * math.sqrt(rng.uniform())
        yaw_n = start + sign * rng.uniform(0.4, 0.8) * times_s
        centre_2 = side_m / 2 + away_m * np.array([math.cos(3 * start), math.sin(3 * start)])
        return np.column_stack([np.tile(centre_2, (len(times_s), 1)), yaw_n])
    radius_m, speed_mps = rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.35)
    around_n = start + sign * speed_mps / radius_m * times_s
    return np.column_stack(
        [
            side_m / 2 + radius_m * np.cos(around_n),
            side_m / 2 + radius_m * np.sin(around_n),
            around_n + sign * np.pi / 2,
        ]
    )


def _odometry(parts: list[NDArray[np.float64]], number: int) -> list[Pose]:
    """odom_from_base over all parts: between two of them odometry stands still."""
    poses: list[Pose] = []
    for index, xy_yaw_n3 in enumerate(parts):
        times_s = np.arange(len(xy_yaw_n3)) / RATE_HZ
        own = odometry(Trajectory(times_s, xy_yaw_n3), times_s, NOISE, 1000 * number + index)
        begin = poses[-1] if poses else Pose.from_planar(0.3, -0.2, 0.5)
        poses += [begin @ own[0].inverse() @ each for each in own]
    return poses


class Photographer:
    """Photographs of a building's rooms, each rendered when it is first asked for."""

    def __init__(self, config: LookAlikeRoomsConfig, rooms: int) -> None:
        self._config, self._rooms = config, rooms
        self._renderers: dict[int, Renderer] = {}

    def image(self, shot: Shot) -> NDArray[np.uint8]:
        """uint8 (height, width, 3)."""
        room = shot.room
        if room not in self._renderers:
            self._renderers[room] = Renderer(build_room(self._config, room))
        origin = Pose(np.eye(3), room_origin_m(self._config, room, self._rooms))
        room_from_camera = origin.inverse() @ shot.map_from_base @ BASE_FROM_CAMERA
        rng = np.random.default_rng([self._config.seed, room, shot.stamp_ns % 2**31])
        return self._renderers[room].photograph(self._config.camera, room_from_camera, rng)


class Follower:
    """The live node's way from what an image gives to map_from_odom, without ROS."""

    def __init__(self) -> None:
        self._fusion = OdometryFusion()

    def is_tracking(self, shot: Shot) -> bool:
        """Whether it is known where the robot is."""
        return self._fusion.state(shot.stamp_ns) == LocalizationState.TRACKING

    def take(self, shot: Shot, result: PoseEstimate | Rejection) -> dict[str, Any]:
        """What becomes of an image. result: of it, alone or with those before it."""
        said: dict[str, Any] = {
            "ms": 1e3 * result.seconds, "clear": False, "fix": False,
            "tracking": self.is_tracking(shot),
        }  # fmt: skip
        if isinstance(result, PoseEstimate):
            map_from_base = result.map_from_camera @ BASE_FROM_CAMERA.inverse()
            covariance_66 = base_covariance(
                result.covariance_66, result.map_from_camera, map_from_base
            )
            fix = self._fusion.fix(
                shot.stamp_ns, map_from_base, covariance_66, shot.odom_from_base,
                ambiguous=result.ambiguous,
            )  # fmt: skip
            said |= {
                "clear": not result.ambiguous, "images": result.images,
                "second_best": result.second_best_ratio,
                "off": off(map_from_base, shot.map_from_base), "fix": isinstance(fix, Fix),
            }  # fmt: skip
        if self._fusion.map_from_odom is not None:
            believed = self._fusion.map_from_odom @ shot.odom_from_base
            said["tf_off"] = off(believed, shot.map_from_base)
        return said


def off(estimate: Pose, truth: Pose) -> tuple[float, float]:
    """(m, deg)."""
    return estimate.distance_m(truth), math.degrees(estimate.angle_rad(truth))


def follow(drive: Drive, localizer: Localizer, photographer: Photographer) -> dict[str, Any]:
    """Both ways through a drive, until a second after each has its first fix in the room."""
    camera = LookAlikeRoomsConfig().camera
    windows, kinds = WindowLocalizer(localizer), {"alone": Follower(), "window": Follower()}
    always = WindowLocalizer(localizer)  # never tracking: what each window would give
    said: dict[str, Any] = {"alone": [], "window": [], "always": []}
    before = sum(shot.room != drive.shots[-1].room for shot in drive.shots)
    for shot in drive.shots:
        glance = windows.look(photographer.image(shot), camera)
        motion = ImageMotion(shot.stamp_ns, shot.odom_from_base, BASE_FROM_CAMERA)
        tracking = kinds["window"].is_tracking(shot)
        together = windows.resolve(glance, motion, tracking=tracking)
        said["alone"].append(kinds["alone"].take(shot, glance.alone))
        said["window"].append(kinds["window"].take(shot, together))
        said["always"].append(Follower().take(shot, always.resolve(glance, motion)))
        counts = [fixes_after(said[kind], before) for kind in kinds]
        seen = len(said["alone"]) - before
        if seen >= LEAST_IMAGES and min(len(fixes) for fixes in counts) > RATE_HZ:
            break
    return {
        "number": drive.number, "carried": drive.carried, "turns": drive.turns, "before": before,
        **said,
    }  # fmt: skip


def fixes_after(said: list[dict[str, Any]], before: int) -> list[dict[str, Any]]:
    """Of the images in the room where the robot is found, those from the first fix on."""
    there = said[before:]
    return next((there[at:] for at, each in enumerate(there) if each["fix"]), [])


def is_right(off_by: tuple[float, float]) -> bool:
    """Within 10 cm and 5 deg."""
    return off_by[0] <= RIGHT[0] and off_by[1] <= RIGHT[1]


def is_elsewhere(off_by: tuple[float, float]) -> bool:
    """By over 1 m or 10 deg."""
    return off_by[0] > ELSEWHERE[0] or off_by[1] > ELSEWHERE[1]


def summary(results: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Of all starts, by one way."""
    times_s: list[float] = []
    right = elsewhere = none = wrong_long = 0
    for result in results:
        fixes = fixes_after(result[kind], result["before"])
        there = result[kind][result["before"] :]
        if not fixes:
            none += 1
            continue
        times_s.append((len(there) - len(fixes)) / RATE_HZ)
        right += is_right(fixes[0]["off"])
        elsewhere += is_elsewhere(fixes[0]["off"])
        run = longest = 0
        for each in there if not result["carried"] else fixes:
            run = run + 1 if "tf_off" in each and is_elsewhere(each["tf_off"]) else 0
            longest = max(longest, run)
        wrong_long += longest > RATE_HZ
    return {
        "starts": len(results), "first_right": right, "first_elsewhere": elsewhere, "none": none,
        "median_s": float(np.median(times_s)) if times_s else None,
        "p95_s": float(np.percentile(times_s, 95)) if times_s else None,
        "wrong_over_1_s": wrong_long,
    }  # fmt: skip


def images_of(results: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Of all images of robots that start from nothing: how many are accepted. Of those that are
    carried, windows hold another room still, and rightly accept nothing.
    """
    said = [each for result in results if not result["carried"] for each in result[kind]]
    clear = [each for each in said if each["clear"]]
    some = [result[kind][MANY - 1 :] for result in results if not result["carried"]]
    full = [each for images in some for each in images]
    return {
        "images": len(said),
        "clear_right": sum(is_right(each["off"]) for each in clear) / len(said),
        "clear_wrong": sum(not is_right(each["off"]) for each in clear),
        "ms_median": float(np.median([each["ms"] for each in said])),
        "ms_p95": float(np.percentile([each["ms"] for each in said], 95)),
        "from_fifth": len(full),
        "from_fifth_clear_right": (
            sum(each["clear"] and is_right(each["off"]) for each in full) / len(full)
            if full
            else None
        ),
        "from_fifth_clear_wrong": sum(each["clear"] and not is_right(each["off"]) for each in full),
    }


def main() -> int:
    """Follows the starts that were not yet, then prints all of them."""
    args = arguments()
    console = Console(width=200)
    folder = args.output / f"{args.rooms:02d}_{args.map.stem}"
    try:
        localizer = localizer_of(args.map)
    except GlaceError as error:
        print(f"benchmark.kidnapping: {error}", file=sys.stderr)
        return error.exit_code
    config = LookAlikeRoomsConfig()
    photographer, results = Photographer(config, args.rooms), []
    for number in range(args.first, args.first + args.starts):
        file = folder / f"start_{number:04d}.json"
        if not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            drive = drive_of(number, args.rooms, config)
            write_json(file, follow(drive, localizer, photographer))
        results.append(json.loads(file.read_text(encoding="utf-8")))
    show(console, args.rooms, results)
    return 0


def localizer_of(path: Path) -> Localizer:
    """Of a map of benchmark.rooms, which does not validate maps: with the least inlier ratio that
    build_map gives one with landmarks.
    """
    scene_map = SceneMap.load(path)
    ratio = max(scene_map.metadata.min_inlier_ratio, LEAST_BESIDE_LANDMARKS)
    return Localizer(scene_map.with_metadata(min_inlier_ratio=ratio), device="cpu")


def show(console: Console, rooms: int, results: list[dict[str, Any]]) -> None:
    """One row for each kind of start and way; then one for all images of a way."""
    table = Table(title=f"{rooms} look-alike rooms: the first fix (10 cm, 5 deg is right)")
    for heading in ("starts", "by", "number", "first right", "elsewhere (1 m, 10 deg)", "none in "
                    f"{LONGEST_S:g} s", "median s", "95 % s", "wrong TF > 1 s"):  # fmt: skip
        table.add_column(heading, justify="right")
    for words, carried in (("from nothing", False), ("carried", True)):
        some = [result for result in results if result["carried"] == carried]
        for kind in ("alone", "window"):
            if some:
                table.add_row(words, kind, *(_said(each) for each in summary(some, kind).values()))
    console.print(table)
    table = Table(
        title="Images in the room where the robot is found, each as if nothing were known"
    )
    names = list(images_of(results, "alone"))
    for heading in ("by", *names):
        table.add_column(heading, justify="right")
    for words, kind in (("single", "alone"), ("window", "always")):
        table.add_row(words, *(_said(each) for each in images_of(results, kind).values()))
    console.print(table)


def _said(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.kidnapping", description=__doc__)
    parser.add_argument("--rooms", type=int, default=4, help="of the map")
    parser.add_argument("--map", type=Path, required=True, help="of benchmark.rooms")
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
