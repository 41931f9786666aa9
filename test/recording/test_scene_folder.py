"""Scene folders: what a bag yields comes out of them too, and every fault is a sentence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bag_writing import HEIGHT, WIDTH, picture, write_drive
from support.core_scenes import cameras, poses

from glace_ros.commands.prepare import main as prepare
from glace_ros.errors import RecordingError
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.drives_reader import DrivesReader
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.recording.held_out import HeldOutBlocks, HeldOutImages
from glace_ros.recording.recording_summary import describe, survey
from glace_ros.recording.room_list import read_room_list, text_of_room_list
from glace_ros.recording.scene_files import (
    pose_of_text,
    read_calibration,
    text_of_calibration,
    text_of_pose,
)
from glace_ros.recording.scene_reader import SceneReader

IMAGES = 12
IDENTITY = text_of_pose(Pose.identity())


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return write_drive(tmp_path_factory.mktemp("bag") / "drive", images=IMAGES)


@pytest.fixture(scope="module")
def exported(bag, tmp_path_factory):
    """The bag as a scene folder, for reading only."""
    scene = tmp_path_factory.mktemp("scenes") / "drive"
    assert prepare(["bag", str(bag), str(scene)]) == 0
    return scene


def write_scene(folder, images=4, split="train", calibration="50\n"):
    """A scene of its own: camera i is i metres along x."""
    for kind in ("rgb", "poses", "calibration"):
        (folder / split / kind).mkdir(parents=True, exist_ok=True)
    for index in range(images):
        name, pose = f"frame-{index:06d}", Pose.from_planar(float(index), 0.0, 0.0)
        ok = cv2.imwrite(str(folder / split / "rgb" / f"{name}.color.png"), picture(index))
        assert ok
        (folder / split / "poses" / f"{name}.pose.txt").write_text(text_of_pose(pose))
        (folder / split / "calibration" / f"{name}.calibration.txt").write_text(calibration)
    return folder


def posed(reader, selection=None):
    with reader:
        return list(reader.posed_images(selection))


def why_refused(folder, split="train") -> str:
    with pytest.raises(RecordingError) as refused, SceneReader(folder, split) as reader:
        list(reader.posed_images())
    return str(refused.value)


# --- the same as a bag ---


@pytest.mark.parametrize(
    "selection", [FrameSelection(), FrameSelection(0.0, 0.0), FrameSelection(0.3, 90.0)]
)
def test_an_exported_bag_gives_the_same_posed_images(bag, exported, selection):
    of_bag = posed(RecordingReader(bag), selection)
    of_scene = posed(SceneReader(exported, "train"), selection)
    assert len(of_scene) == len(of_bag) > 2
    for ours, theirs in zip(of_scene, of_bag, strict=True):
        np.testing.assert_array_equal(ours.image_rgb_hwc, theirs.image_rgb_hwc)
        assert ours.camera == theirs.camera
        np.testing.assert_allclose(
            ours.map_from_camera.matrix_44, theirs.map_from_camera.matrix_44, atol=1e-12
        )


def test_held_out_images_are_blocks_in_a_row_and_read_again(exported):
    with SceneReader(exported, "train") as reader:
        blocks = HeldOutBlocks(reader.pose_stamps_n(), 0.4)
        held_out = HeldOutImages(DrivesReader([reader]))
        images = list(reader.posed_images(FrameSelection(0.0, 0.0)))
        for image in images:
            if image.stamp_ns in blocks:
                held_out.append(image)
        assert [(0, image.stamp_ns) for image in held_out] == held_out.noted
        indices = [i for i, image in enumerate(images) if image.stamp_ns in blocks]
        assert len(indices) == 4  # 40 % of eleven steps, in one block
        assert np.diff(indices).tolist() == [1, 1, 1]


def test_reading_goes_on_where_it_stopped(exported):
    with SceneReader(exported, "train") as reader:
        images = reader.posed_images(FrameSelection(0.0, 0.0))
        first = [next(images).stamp_ns for _ in range(5)]
        rest = [i.stamp_ns for i in reader.posed_images(FrameSelection(0, 0), reader.position)]
        assert first + rest == [i.stamp_ns for i in reader.posed_images(FrameSelection(0, 0))]


def test_the_hash_is_of_poses_calibrations_and_images(tmp_path):
    def hash_of():
        with SceneReader(tmp_path, "train") as reader:
            return reader.content_hash()

    write_scene(tmp_path)
    hashes = [hash_of(), hash_of()]
    (tmp_path / "train/poses/frame-000001.pose.txt").write_text(IDENTITY)
    hashes.append(hash_of())
    (tmp_path / "train/calibration/frame-000003.calibration.txt").write_text("51")
    hashes.append(hash_of())
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_a_folder_by_itself_and_a_split_of_a_scene(tmp_path):
    write_scene(tmp_path, 3, "train")
    write_scene(tmp_path, 2, "test")
    assert len(posed(SceneReader(tmp_path, "train"))) == 3
    assert len(posed(SceneReader(tmp_path, "test"))) == 2
    assert len(posed(SceneReader(tmp_path / "train", "test"))) == 3
    with SceneReader(tmp_path, "train") as reader:
        assert "3 of 64x48" in describe(survey(reader))
        assert "four a second" in reader.notes[0]


def test_files_are_in_order_of_their_numbers(tmp_path):
    write_scene(tmp_path, 12)
    for kind in ("rgb", "poses", "calibration"):
        for path in (tmp_path / "train" / kind).iterdir():
            number = int(path.name[6:12])
            ending = path.name[12:].replace(".", "_", 1)  # names of which none is another's
            path.rename(path.with_name(f"{kind}{number}{ending}"))
    images = posed(SceneReader(tmp_path, "train"))
    assert [image.map_from_camera.translation_3[0] for image in images] == list(range(12))
    np.testing.assert_array_equal(images[10].image_rgb_hwc, picture(10)[..., ::-1])


# --- calibrations ---


def test_one_focal_length_has_its_centre_at_the_images(tmp_path):
    (tmp_path / "c.txt").write_text("525.0")
    assert read_calibration(tmp_path / "c.txt", 640, 480) == Camera(
        640, 480, 525.0, 525.0, 319.5, 239.5
    )


@given(camera=cameras())
@settings(max_examples=50)
def test_a_calibration_is_read_as_written(camera, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "calibration.txt"
    path.write_text(text_of_calibration(camera))
    off = max(abs((camera.cx_px + 0.5) / camera.width_px - 0.5),
              abs((camera.cy_px + 0.5) / camera.height_px - 0.5))  # fmt: skip
    if off > 0.15:
        with pytest.raises(RecordingError, match="calibration.txt is of another image size"):
            read_calibration(path, camera.width_px, camera.height_px)
        return
    read = read_calibration(path, camera.width_px, camera.height_px)
    np.testing.assert_allclose(read.matrix_33, camera.matrix_33, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("50 0 48\n0 50 36\n0 0 1", "(48, 36), the image is 64x48"),
        ("50 0.1 32\n0 50 24\n0 0 1", "no camera matrix"),
        ("nan 0 32\n0 50 24\n0 0 1", "not finite"),
        ("50 50", "neither a focal length nor a 3x3 matrix"),
        ("", "neither"),
        ("fifty", "neither"),
        ("0", "not calibrated"),
        ("-525", "not calibrated"),
        ("1.#INF", "not finite"),
        ("5 " * 100_000, "too long"),
    ],
)
def test_a_wrong_calibration_is_refused(tmp_path, text, said):
    write_scene(tmp_path)
    path = tmp_path / "train/calibration/frame-000002.calibration.txt"
    path.write_text(text)
    sentence = why_refused(tmp_path)
    assert str(path) in sentence
    assert said in sentence


# --- poses ---


@given(pose=poses())
@settings(max_examples=50)
def test_a_pose_is_read_as_written(pose):
    read = pose_of_text(text_of_pose(pose))
    np.testing.assert_allclose(read.matrix_44, pose.matrix_44, atol=1e-12)


@given(text=st.one_of(st.text(max_size=40), st.lists(st.floats(), max_size=17).map(str)))
def test_any_text_is_a_pose_or_a_reason(text):
    try:
        matrix_44 = pose_of_text(text).matrix_44
    except ValueError:
        return
    assert np.isfinite(matrix_44).all()
    assert abs(np.linalg.det(matrix_44[:3, :3]) - 1) < 1e-6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (IDENTITY.replace("1.0", "nan", 1), "not finite"),
        ("-1.#INF " * 16, "not finite"),  # as 12-Scenes has them
        ("0 " * 16, "all zeros"),
        ("0 " * 15 + "1", "all zeros"),
        ("0 0 0 1\n0 1 0 2\n0 0 1 3\n0 0 0 1", "no rotation"),  # singular
        ("2 0 0 1\n0 2 0 2\n0 0 2 3\n0 0 0 1", "no rotation"),  # not rigid
        ("-1 0 0 1\n0 1 0 2\n0 0 1 3\n0 0 0 1", "no rotation"),  # mirrored
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n1 2 3 1", "the last row"),  # the other way round
        ("1 2 3", "not 4x4 numbers"),
        ("what is this", "not 4x4 numbers"),
    ],
)
def test_an_image_with_a_bad_pose_is_left_out_and_counted(tmp_path, text, reason):
    write_scene(tmp_path)
    path = tmp_path / "train/poses/frame-000001.pose.txt"
    path.write_text(text)
    with SceneReader(tmp_path, "train") as reader:
        images = list(reader.posed_images())
        assert [image.map_from_camera.translation_3[0] for image in images] == [0.0, 2.0, 3.0]
        assert len(reader.left_out) == 1
        (counted, count) = next(iter(reader.left_out.items()))
        assert counted.startswith(f"no pose: {reason}")
        assert count == 1
        assert any(str(path) in note for note in reader.notes)
        assert reader.name_of(images[1].stamp_ns) == "frame-000002.color.png"
        assert [image.map_from_camera is None for image in reader.images()] == [0, 1, 0, 0]


def test_without_one_good_pose_the_first_file_is_named(tmp_path):
    write_scene(tmp_path)
    for path in (tmp_path / "train/poses").iterdir():
        path.write_text("0 " * 16)
    sentence = why_refused(tmp_path)
    assert "all zeros (4)" in sentence
    assert "frame-000000.pose.txt" in sentence


def test_a_test_set_without_poses_has_images_alone(tmp_path):
    write_scene(tmp_path, split="test")
    for path in (tmp_path / "test/poses").iterdir():
        path.unlink()
    (tmp_path / "test/poses").rmdir()
    with SceneReader(tmp_path, "test") as reader:
        assert [image.map_from_camera for image in reader.images()] == [None] * 4
    assert "has no folder poses" in why_refused(tmp_path, "test")


# --- files ---


@pytest.mark.parametrize("kind", ["poses", "calibration"])
def test_a_missing_file_is_refused(tmp_path, kind):
    write_scene(tmp_path)
    next((tmp_path / "train" / kind).glob("frame-000002*")).unlink()
    sentence = why_refused(tmp_path)
    assert "frame-000002.color.png has no file frame-000002.*.txt" in sentence
    assert f"train/{kind}" in sentence


def test_a_file_too_many_is_refused(tmp_path):
    write_scene(tmp_path)
    (tmp_path / "train/poses/frame-000009.pose.txt").write_text(IDENTITY)
    assert "poses holds 5 text files for 4 images" in why_refused(tmp_path)


def test_an_image_that_is_none_is_left_out(tmp_path):
    write_scene(tmp_path)
    path = tmp_path / "train/rgb/frame-000000.color.png"
    path.write_bytes(path.read_bytes()[:20])
    with SceneReader(tmp_path, "train") as reader:
        assert len(list(reader.posed_images())) == 3
        assert dict(reader.left_out) == {"cannot be decoded": 1}
        assert any(str(path) in note for note in reader.notes)
        assert reader.info.camera.width_px == WIDTH


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda scene: None, "is no folder with train/rgb"),
        (lambda scene: scene.mkdir(), "holds neither rgb nor train/rgb"),
        (lambda scene: (scene / "train/rgb").mkdir(parents=True), "rgb holds no images"),
    ],
)
def test_what_is_no_scene_is_refused(tmp_path, make, said):
    make(tmp_path / "scene")
    assert said in why_refused(tmp_path / "scene")


# --- several rooms ---


def test_rooms_lie_on_a_grid(tmp_path):
    centres = {f"room{i}": np.array([i, 10.0 * i, -i]) for i in range(5)}  # a grid of 3 x 3
    (tmp_path / "rooms.txt").write_text(text_of_room_list(centres))
    for index in range(5):
        write_scene(tmp_path / f"room{index}", 2)
    images = posed(SceneReader(tmp_path / "rooms.txt", "train"), FrameSelection(0, 0))
    cells = [(0, 0), (0, -5), (0, -10), (-5, 0), (-5, -5)]
    expected = [
        [x + camera - i, y - 10.0 * i, float(i)]
        for i, (x, y) in enumerate(cells)
        for camera in (0, 1)
    ]
    found = [image.map_from_camera.translation_3 for image in images]
    np.testing.assert_allclose(found, expected)
    assert images[0].image_rgb_hwc.shape == (HEIGHT, WIDTH, 3)
    with SceneReader(tmp_path / "rooms.txt", "train") as reader:
        assert reader.name_of(images[3].stamp_ns) == "room1/frame-000001.color.png"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no rooms"),
        ("room 0 0 0\nroom 1 2\n", "line 2 is not"),
        ("room 0 0 nan\n", "line 1 is not"),
        ("nowhere 0 0 0\n", "nowhere is no folder with train/rgb"),
    ],
)
def test_a_wrong_list_of_rooms_is_refused(tmp_path, text, said):
    write_scene(tmp_path / "room")
    (tmp_path / "rooms.txt").write_text(text)
    assert said in why_refused(tmp_path / "rooms.txt")


def test_blank_lines_are_no_rooms(tmp_path):
    (tmp_path / "rooms.txt").write_text("\na 0 0 0\n\nb 1 1 1\n\n")
    assert [room.name for room in read_room_list(tmp_path / "rooms.txt")] == ["a", "b"]


# --- from a bag ---


def test_an_interrupted_export_goes_on_and_a_done_one_stays(bag, tmp_path, monkeypatch, capsys):
    written = []
    imwrite = cv2.imwrite

    def until_the_sixth(path, pixels):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path)
        return imwrite(path, pixels)

    monkeypatch.setattr(cv2, "imwrite", until_the_sixth)
    words = ["bag", str(bag), str(tmp_path / "scene"), "--split", "test"]
    assert prepare(words) == 130
    assert not (tmp_path / "scene/test").exists()
    monkeypatch.setattr(cv2, "imwrite", lambda path, p: written.append(path) or imwrite(path, p))
    assert prepare(words) == 0
    assert len(written) == IMAGES  # none twice
    every_frame = FrameSelection(0.0, 0.0)
    assert len(posed(SceneReader(tmp_path / "scene", "test"), every_frame)) == IMAGES
    assert prepare(words) == 0
    assert "there already" in capsys.readouterr().err
    (tmp_path / "scene/test/prepared.json").write_text("{}")
    assert prepare(words) == 1
    assert "made from something else" in capsys.readouterr().err
    assert len(written) == IMAGES
