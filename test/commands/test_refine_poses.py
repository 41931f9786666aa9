"""`build_map --refine-poses`: which recordings' poses are refined, and what is said of it."""

from __future__ import annotations

import io
import json
import re
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from support.bag_writing import START_NS, bag_writer, map_from_base, write_drive, write_pose
from support.small_builds import arguments, write_wall

from glace_ros.cli import main as glace
from glace_ros.command_line.recording_options import open_drives
from glace_ros.commands import recorded_motions
from glace_ros.commands.build_map import main as build_map
from glace_ros.commands.build_map_config import build_request
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.commands.build_map_poses import PoseChoice
from glace_ros.errors import MappingError
from glace_ros.geometry.pose import Pose
from glace_ros.ranks import Ranks


@contextmanager
def choice_of(*words: object, ranks: Ranks | None = None):
    """(PoseChoice, reader) of a command line."""
    request = build_request(build_map_parser(None).parse_args([str(word) for word in words]))
    with open_drives(request.recording, "train") as reader:
        yield PoseChoice(request, reader, ranks or Ranks()), reader


def why(*words: object, **more) -> str:
    with choice_of(*words, **more) as (choice, _):
        return choice.why


@pytest.mark.parametrize(
    ("poses", "refined"),
    [("odometry", True), ("tf:odom", True), ("tf:map", False), ("pose", False),
     ("pose_cov", False)],
)  # fmt: skip
def test_odometry_is_refined_and_what_knows_a_map_is_not(tmp_path, poses, refined):
    bag = write_drive(tmp_path / "bag", images=3, poses=poses)
    source = {"odometry": [], "tf:odom": ["--pose-source", "tf:odom"]}.get(
        poses, ["--pose-source", poses if poses.startswith("tf:") else "/pose"]
    )
    said = why("--bag", bag, *source)
    if refined:
        assert said == ""
    else:
        assert said.endswith("is taken for poses without drift (--refine-poses on refines them)")
        assert said.startswith(source[1])
    assert why("--bag", bag, *source, "--refine-poses", "on") == ""
    assert why("--bag", bag, *source, "--refine-poses", "off") == "--refine-poses off"


def test_a_scene_folder_is_taken_as_it_is(tmp_path, capsys):
    bag = write_drive(tmp_path / "bag", images=3)
    assert glace(["prepare", "bag", str(bag), str(tmp_path / "scene")]) == 0
    assert "is taken for poses without drift" in why("--scene", tmp_path / "scene")
    assert why("--scene", tmp_path / "scene", "--refine-poses", "on") == ""


def test_several_drives_are_refined_unless_their_poses_are_of_one_map(tmp_path):
    bags = [write_drive(tmp_path / name, images=3) for name in ("a", "b")]
    both = ["--bag", bags[0], "--bag", bags[1]]
    assert why(*both) == ""
    said = "--refine-poses off; all drives count as of one frame"
    assert why(*both, "--refine-poses", "off") == said
    with pytest.raises(MappingError, match="poses cannot be refined: several processes"):
        why(*both, ranks=two_ranks())
    mapped = [write_drive(tmp_path / name, images=3, poses="tf:map") for name in ("c", "d")]
    both = ["--bag", mapped[0], "--bag", mapped[1]]
    assert "is taken for poses without drift" in why(*both)
    assert why(*both, "--refine-poses", "on") == ""


def two_ranks() -> Ranks:
    return SimpleNamespace(count=2, rank=0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "paper-7scenes"], "--preset paper-7scenes has no keypoints that match"),
        (["--local-encoder", "ace:e.pt"], "--local-encoder ace:e.pt finds no keypoints that match"),
    ],
)
def test_without_keypoints_there_is_nothing_to_match(tmp_path, words, said):
    bag = write_drive(tmp_path / "bag", images=3)
    assert why("--bag", bag, *words) == said
    with pytest.raises(MappingError, match=f"^poses cannot be refined: {re.escape(said)}$"):
        why("--bag", bag, *words, "--refine-poses", "on")


def test_several_processes_do_not_refine(tmp_path):
    bag = write_drive(tmp_path / "bag", images=3)
    said = why("--bag", bag, ranks=two_ranks())
    assert said == "several processes share the images; build the map in one"


def test_poses_of_two_senders_are_not_refined(tmp_path):
    """Both publish the same transform, half a metre apart."""
    shift = Pose.from_planar(0.5, 0.3, 0.0)
    with bag_writer(tmp_path / "bag") as bag:
        source = write_drive(tmp_path / "other", images=1)
        assert source.exists()
        for n in range(200):
            stamp = START_NS + n * 10_000_000
            pose = map_from_base(stamp)
            write_pose(bag, "odometry", stamp, shift @ pose if n % 2 else pose)
            if n % 10 == 3:
                write_image(bag, stamp)
    said = why("--bag", tmp_path / "bag")
    assert said == f"{tmp_path / 'bag'} has poses of two senders"


def write_image(bag, stamp: int) -> None:
    from support.bag_writing import BASE_FROM_CAMERA, picture

    bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
    bag.camera_info("/camera/camera_info", stamp)
    bag.image("/camera/image_raw", stamp, picture(0))


def test_parts_lie_between_jumps_and_stretches_go_on_over_them(tmp_path):
    """Odometry that is reset goes on where it was: the robot has not moved."""
    whole = write_drive(tmp_path / "whole", images=20)
    reset_ns = START_NS + 1_000_000_000
    jumping = write_drive(tmp_path / "jumping", images=20, reset_ns=reset_ns)
    with choice_of("--bag", whole, "--bag", jumping) as (_, reader):
        places = [(drive, START_NS + n * 100_000_000) for drive in (0, 1) for n in range(20)]
        found = recorded_motions.stretches_of(reader, places)
        (jump,) = reader.drives[1].pose_jumps()
        before = reader.drives[1].map_from_base(jump.before_ns)
        behind = reader.drives[1].map_from_base(jump.stamp_ns)
    assert found.part_v == [0] * 20 + [1] * 10 + [2] * 10
    assert found.begins_ns == [0, 0, jump.stamp_ns]
    assert found.stretch_of_part == [0, 1, 1]
    assert found.names == ["whole", "jumping"]
    assert (found.continued[2] @ behind).distance_m(before) < 1e-9
    assert found.continued[2].angle_rad(Pose.identity()) > 0.1


def test_what_odometry_says_of_an_exposure(tmp_path):
    """The velocity is the camera's, about its own axes; at the ends there is none."""
    bag = write_drive(tmp_path / "bag", images=20)
    middle_ns = START_NS + 1_000_000_000
    with choice_of("--bag", bag) as (_, reader):
        drive = reader.drives[0]
        motion = recorded_motions.motion_of(drive, middle_ns, Pose.identity(), 4)
        mount = drive.info.base_from_camera
        assert recorded_motions.motion_of(drive, START_NS, Pose.identity(), 0).velocity_6 is None
    a, b = (map_from_base(middle_ns + shift) @ mount for shift in (-50_000_000, 50_000_000))
    turned = a.inverse() @ b
    expected_6 = np.concatenate([turned.rotation_vector_3, turned.translation_3]) / 0.1
    assert motion.stretch == 4
    assert np.abs(motion.velocity_6 - expected_6).max() < 1e-3
    assert np.linalg.norm(expected_6[:3]) == pytest.approx(0.4, abs=0.01)


def test_a_robot_that_stands_still_is_not_refined(tmp_path):
    bag = write_drive(tmp_path / "bag", images=3)
    stamps_v = np.array([START_NS, START_NS + 1])
    views = SimpleNamespace(
        drives_v=np.zeros(2, int), stamps_v=stamps_v,
        recorded_map_from_camera=[Pose.identity(), Pose.from_planar(0.29, 0.1, 0)],
    )  # fmt: skip
    said = io.StringIO()
    with choice_of("--bag", bag) as (choice, _):
        choice.refine(None, SimpleNamespace(views=views), None, Console(file=said, width=200))
    assert said.getvalue() == (
        "poses are used as recorded: the robot hardly moves, and images show no depth without "
        "motion\n"
    )
    assert choice.as_json() == {
        "refined": False,
        "why": "the robot hardly moves, and images show no depth without motion",
        "consistency": None,
        "intrinsics": None,
        "sentences": [],
    }
    pose = Pose.from_planar(1, 2, 3)
    assert choice.of_camera(0, START_NS, pose) is pose
    choice.write(tmp_path / "none.tum")
    assert not (tmp_path / "none.tum").exists()


def quick(bag, output, *more):
    words = ("--iterations", 3, "--sigma", 0.1, "--buffer-gb", 1, "--refine-poses", "on",
             "--landmarks", 0, *more)  # fmt: skip
    return arguments(bag, output, *words)


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    return write_wall(tmp_path_factory.mktemp("wall") / "drive", 24)


def test_a_build_tells_programs_and_people_of_its_poses(wall, tmp_path, capsys):
    pytest.importorskip("gtsam")
    output, figures = tmp_path / "map.glace", tmp_path / "figures.json"
    assert build_map(quick(wall, output, "--json", figures)) in (0, 3)
    assert "poses refined" in capsys.readouterr().err
    found = json.loads(figures.read_text())
    assert found["pose_refinement"]["refined"] is True
    assert found["seconds"]["refine"] > 0
    lines = (tmp_path / "map.trajectory.tum").read_text().splitlines()
    assert lines[0] == "# drive"
    assert all(len(line.split()) == 8 for line in lines[1:])
    assert len(lines) > 15


def test_a_build_that_is_resumed_after_refinement_has_the_same_poses(wall, tmp_path, monkeypatch):
    """And does not refine again: it would take minutes."""
    pytest.importorskip("gtsam")
    whole, resumed = tmp_path / "whole.glace", tmp_path / "resumed.glace"
    save = ("--checkpoint-every", 0)
    assert build_map(quick(wall, whole, *save)) in (0, 3)
    interrupt_and_resume(quick(wall, resumed, *save), monkeypatch)
    one, other = (
        path.with_name(f"{path.stem}.trajectory.tum").read_text() for path in (whole, resumed)
    )
    assert one == other


def test_a_build_that_is_resumed_does_not_check_its_poses_again(wall, tmp_path, monkeypatch):
    pytest.importorskip("gtsam")
    figures = tmp_path / "figures.json"
    words = ("--checkpoint-every", 0, "--refine-poses", "off", "--json", figures)
    interrupt_and_resume(quick(wall, tmp_path / "map.glace", *words), monkeypatch)
    found = json.loads(figures.read_text())["pose_refinement"]
    assert not found["refined"]
    assert found["consistency"]["loops"] > 0
    assert found["consistency"]["epipolar_ratio"] > 0.8
    assert found["intrinsics"] is not None


def interrupt_and_resume(words, monkeypatch):
    """A build, interrupted when it is done with its poses; looking at them again would fail."""
    from glace_ros.mapping import map_builder

    def ctrl_c(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(map_builder.MapBuilder, "prepare", ctrl_c)
        assert build_map(words) == 130
    with monkeypatch.context() as patch:
        patch.setattr(map_builder, "pose_refinement", ctrl_c)
        assert build_map([*words, "--resume"]) in (0, 3)
