"""`glace prepare`: known cameras go in as the data sets' owners publish them, the same come out."""

from __future__ import annotations

import json
import re
import shutil
import stat
import zipfile

import cv2
import numpy as np
import pytest
from support import published_layouts as layouts
from support.bag_writing import BASE_FROM_CAMERA, K_33, write_drive
from support.bag_writing import HEIGHT as SMALL_HEIGHT
from support.bag_writing import WIDTH as SMALL_WIDTH
from support.core_scenes import centroid, dots, rgb
from support.published_layouts import HEIGHT, WIDTH, camera_pose, image_file

from glace_ros.commands.prepare import main as prepare
from glace_ros.datasets import archive, scene_writer
from glace_ros.datasets.aachen import undistort_visual_sfm
from glace_ros.datasets.seven_scenes import RGB_FROM_DEPTH
from glace_ros.geometry.camera import Camera
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.scene_reader import SceneReader


@pytest.fixture
def said(capsys):
    """Runs `prepare`, checks its exit code, and gives what it wrote, on one line."""

    def run(*words, code: int = 0) -> str:
        capsys.readouterr()
        assert prepare([str(word) for word in words]) == code
        stderr = capsys.readouterr().err
        assert "Traceback" not in stderr
        return " ".join(stderr.split())

    return run


def assert_holds(scene, split: str, images: dict[str, int], camera: Camera | None = None) -> None:
    """Exactly these images, each with its pose, its camera, and the file's own bytes."""
    with SceneReader(scene, split) as reader:
        posed = list(reader.images())
        assert [reader.name_of(image.stamp_ns) for image in posed] == list(images)
        for image, (name, index) in zip(posed, images.items(), strict=True):
            np.testing.assert_allclose(
                image.map_from_camera.matrix_44, camera_pose(index).matrix_44, atol=1e-7
            )
            path = scene / split / "rgb" / name
            assert path.read_bytes() == image_file(index, path.suffix)
            if camera:
                assert image.camera == camera


def pinhole(focal: float) -> Camera:
    return Camera(WIDTH, HEIGHT, focal, focal, WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5)


# --- bags ---


def test_a_bag_without_calibration_and_mount_takes_what_is_given(tmp_path, said):
    bag = write_drive(tmp_path / "drive", camera_info=False, tf_static=False, images=3)
    calibration, robot = tmp_path / "camera.yaml", tmp_path / "robot.urdf"
    calibration.write_text(
        f"image_width: {SMALL_WIDTH}\nimage_height: {SMALL_HEIGHT}\n"
        f"camera_matrix: {{data: {K_33.ravel().tolist()}}}\n"
    )
    robot.write_text(
        '<robot><joint name="j" type="fixed"><parent link="base_link"/><child link="eye"/>'
        '<origin xyz="0.1 0.02 0.3" rpy="-1.5707963267948966 0 -1.5707963267948966"/>'
        "</joint></robot>"
    )
    assert "--camera-info FILE" in said("bag", bag, tmp_path / "out", code=2)
    given = ["--camera-info", calibration, "--camera-pose", f"{robot} base_link eye"]
    said("bag", bag, tmp_path / "out", *given)
    with SceneReader(tmp_path / "out", "train") as reader, RecordingReader(
        bag, camera_info_file=str(calibration), base_from_camera=BASE_FROM_CAMERA
    ) as recorded:  # fmt: skip
        pairs = list(zip(reader.images(), recorded.images(), strict=True))
        for written, image in pairs:
            np.testing.assert_allclose(
                written.map_from_camera.matrix_44, image.map_from_camera.matrix_44, atol=1e-6
            )
            assert written.camera == image.camera
    assert "there already" in said("bag", bag, tmp_path / "out", *given)
    other = [*given[:3], "0.1 0.02 0.3 0 0 0 1"]
    said("bag", bag, tmp_path / "out", *other, code=1)  # no folder of another mount is taken on


# --- 7-Scenes ---

TRAIN = {f"seq-01-frame-00000{i}.color.png": i for i in range(3)}
TEST = {f"seq-02-frame-00000{i}.color.png": i + 3 for i in range(3)}


@pytest.mark.parametrize("packed", [True, False])
def test_7_scenes(tmp_path, said, packed):
    source = layouts.seven_scenes(tmp_path / "source", packed)
    words = said("7scenes", source, tmp_path / "out")
    scene = tmp_path / "out" / "7scenes_chess"
    assert_holds(scene, "train", TRAIN, pinhole(525.0))
    assert_holds(scene, "test", TEST, pinhole(525.0))
    assert f"{scene}: 6 images" in words
    assert "not in" in words  # the other six scenes
    assert "microsoft.com" in words
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["7scenes_chess"]


@pytest.mark.parametrize("packed", [True, False])
def test_one_scene_by_itself(tmp_path, said, packed):
    source = layouts.seven_scenes(tmp_path / "source", packed)
    said("7scenes", source / ("chess.zip" if packed else "chess"), tmp_path / "out")
    assert_holds(tmp_path / "out/7scenes_chess", "train", TRAIN)


def test_the_rgb_camera_is_to_the_right_of_the_depth_camera():
    rgb_in_depth_3 = RGB_FROM_DEPTH.inverse().translation_3
    np.testing.assert_allclose(rgb_in_depth_3, [0.0255, 0.0, -0.002], atol=5e-4)
    assert np.degrees(np.linalg.norm(RGB_FROM_DEPTH.rotation_vector_3)) < 1.0


def test_7_scenes_with_poses_of_structure_from_motion(tmp_path, said):
    source = layouts.seven_scenes(tmp_path / "source", True)
    train = {f"seq-01/frame-00000{i}.color.png": i + 7 for i in (0, 2)}
    test = {f"seq-02/frame-00000{i}.color.png": i + 3 for i in range(3)}
    sfm = layouts.sfm_lists(tmp_path / "pgt", "7scenes", "chess", {"train": train, "test": test})
    words = said("7scenes", source, tmp_path / "out", "--sfm", sfm)
    scene = tmp_path / "out" / "pgt_7scenes_chess"
    assert "left out: 1 train: no pose by structure from motion" in words
    assert_holds(scene, "test", TEST)
    with SceneReader(scene, "train") as reader:
        images = list(reader.images())
    assert [image.camera for image in images] == [pinhole(507.0), pinhole(509.0)]
    for image, index in zip(images, (7, 9), strict=True):
        np.testing.assert_allclose(
            image.map_from_camera.matrix_44, camera_pose(index).matrix_44, atol=1e-7
        )
    said("7scenes", source, tmp_path / "none", "--sfm", tmp_path / "nowhere", code=2)


# --- 12-Scenes ---


@pytest.mark.parametrize("packed", ["zip", "data", "no"])
def test_12_scenes(tmp_path, said, packed):
    source = layouts.twelve_scenes(tmp_path / "source", packed)
    words = said("12scenes", source, tmp_path / "out")
    scene = tmp_path / "out" / "12scenes_apt1_kitchen"
    camera = Camera(WIDTH, HEIGHT, 115.5, 114.25, 48.5, 31.0)  # 49, 31.5 from the corner
    assert_holds(scene, "test", {f"frame-00000{i}.color.jpg": i for i in (0, 1)}, camera)
    assert_holds(scene, "train", {f"frame-00000{i}.color.jpg": i for i in (2, 3)}, camera)
    assert f"{scene}: 4 images; left out: 1 train: not finite" in words


def test_12_scenes_with_poses_of_structure_from_motion(tmp_path, said):
    source = layouts.twelve_scenes(tmp_path / "source", "zip")
    names = {f"data/frame-00000{i}.color.jpg": i for i in range(5)}
    keys = {"test": dict(list(names.items())[:2]), "train": dict(list(names.items())[3:])}
    sfm = layouts.sfm_lists(tmp_path / "pgt", "12scenes", "apt1_kitchen", keys)
    words = said("12scenes", source, tmp_path / "out", "--sfm", sfm)
    scene = tmp_path / "out" / "pgt_12scenes_apt1_kitchen"
    assert_holds(scene, "train", {f"frame-00000{i}.color.jpg": i for i in (3, 4)})
    assert "left out: 1 train: no pose by structure from motion" in words


# --- Cambridge ---


@pytest.mark.parametrize("packed", [True, False])
def test_cambridge(tmp_path, said, packed):
    source = layouts.cambridge(tmp_path / "source", packed)
    words = said("cambridge", source, tmp_path / "out")
    scene = tmp_path / "out" / "Cambridge_ShopFacade"
    assert_holds(scene, "train", {"seq1_frame00001.png": 0}, pinhole(1672.5))
    assert_holds(scene, "test", {"seq3_frame00001.png": 1}, pinhole(1600.25))
    assert "1 train: not in reconstruction.nvm, 1 train: over 10 km away" in words


# --- Aachen ---


@pytest.mark.parametrize(
    ("laid_out", "night"), [("one folder", False), ("server", True), ("unpacked", False)]
)
def test_aachen(tmp_path, said, laid_out, night):
    source = layouts.aachen(tmp_path / "source", laid_out)
    said("aachen", source, tmp_path / "out", *(["--night"] if night else []))
    scene = tmp_path / "out" / "aachen"
    with SceneReader(scene, "train") as reader:
        images = list(reader.images())
        assert [reader.name_of(i.stamp_ns) for i in images] == ["db_1.jpg", "db_2.jpg"]
    for index, (image, focal) in enumerate(zip(images, (100.0, 90.0), strict=True)):
        np.testing.assert_allclose(
            image.map_from_camera.matrix_44, camera_pose(index).matrix_44, atol=1e-7
        )
        assert image.camera == pinhole(focal)
    as_published = (scene / "train/rgb/db_1.jpg").read_bytes()
    assert as_published == image_file(0, ".jpg")  # no distortion, so not touched
    with SceneReader(scene, "test") as reader:
        queries = list(reader.images())
        names = [reader.name_of(image.stamp_ns) for image in queries]
    assert names == ["a_1.jpg", "b_2.jpg"][: 1 + night]
    assert all(image.map_from_camera is None for image in queries)
    assert queries[0].camera == pinhole(80.0)


def test_aachens_images_are_undistorted_by_their_owners_models(tmp_path, said):
    """Dots where a distorted camera sees known rays come out where a pinhole sees them."""
    rays_n2 = np.array([[-0.35, -0.2], [0.4, 0.25], [0.3, -0.25], [-0.1, 0.3]])
    centre_2 = np.array([WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5])
    squared_n1 = (rays_n2**2).sum(1, keepdims=True)
    by_day = 80.0 * rays_n2 * (1 + 0.15 * squared_n1) + centre_2  # COLMAP: ray -> pixel
    measured_n2 = rays_n2 * 0.9
    undistorted_n2 = measured_n2 * (1 - 0.2 * (measured_n2**2).sum(1, keepdims=True))
    in_database = 90.0 * measured_n2 + centre_2  # VisualSFM: pixel -> ray
    images = {
        "db/1.jpg": image_file(0, ".jpg"),
        "db/2.jpg": _jpeg(dots(WIDTH, HEIGHT, in_database)),
        "query/day/milestone/a_1.jpg": _jpeg(dots(WIDTH, HEIGHT, by_day)),
        "query/night/nexus5x/b_2.jpg": image_file(3, ".jpg"),
    }
    said("aachen", layouts.aachen(tmp_path / "source", "one folder", images), tmp_path / "out")
    for split, index, rays, shown in (
        ("train", 1, undistorted_n2, in_database), ("test", 0, rays_n2, by_day),
    ):  # fmt: skip
        with SceneReader(tmp_path / "out/aachen", split) as reader:
            image = list(reader.images())[index]
        for ray_2, shown_2 in zip(rays, shown, strict=True):
            expected_2 = image.camera.project(np.array([[*ray_2, 1.0]]))[0]
            grey_hw = image.image_rgb_hwc[..., 0].astype(float)
            assert np.abs(centroid(grey_hw, expected_2) - expected_2).max() < 0.2
            assert np.abs(expected_2 - shown_2).max() > 0.35  # else it would show nothing


def test_undistortion_inverts_visual_sfms_model_in_every_pixel():
    focal, k, centre_2 = 150.0, -0.25, np.array([119.5, 99.5])
    pixels_hw2 = np.stack(np.meshgrid(np.arange(240), np.arange(200)), axis=-1).astype(np.uint8)
    shown_hw2 = undistort_visual_sfm(pixels_hw2, focal, k)  # each pixel says where it was measured
    middle = slice(30, 170), slice(40, 200)
    measured_hw2 = shown_hw2[middle] - centre_2
    radius_hw1 = np.linalg.norm(measured_hw2 / focal, axis=-1, keepdims=True)
    undistorted_hw2 = measured_hw2 * (1 + k * radius_hw1**2) + centre_2
    np.testing.assert_allclose(undistorted_hw2, pixels_hw2[middle], atol=0.6)
    assert np.abs(shown_hw2[middle] - pixels_hw2[middle].astype(float)).max() > 8


def _jpeg(grey_hw: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", rgb(grey_hw), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


# --- several scenes, one map ---


def test_a_list_of_rooms_has_their_cameras_mean_places(tmp_path, said):
    layouts.seven_scenes(tmp_path / "source", True, "chess")
    layouts.seven_scenes(tmp_path / "source", False, "fire")
    said("7scenes", tmp_path / "source", tmp_path / "out")
    rooms = tmp_path / "out/i2.txt"
    said("rooms", rooms, tmp_path / "out/7scenes_chess", tmp_path / "out/7scenes_fire")
    with SceneReader(rooms, "train") as reader:
        places = [image.map_from_camera.translation_3 for image in reader.images()]
    np.testing.assert_allclose(np.mean(places[:3], axis=0), [0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(np.mean(places[3:], axis=0), [0, -5, 0], atol=1e-6)


# --- interrupted, done, in the way ---


def test_what_was_interrupted_goes_on_and_is_whole(tmp_path, said, monkeypatch):
    source = layouts.seven_scenes(tmp_path / "source", True)
    placed = []
    place = archive.ZipSource.place

    def until_the_fourth(self, name, target):
        if len(placed) == 4:
            target.write_bytes(b"half")
            raise KeyboardInterrupt
        placed.append(name)
        place(self, name, target)

    monkeypatch.setattr(archive.ZipSource, "place", until_the_fourth)
    said("7scenes", source, tmp_path / "out", code=130)
    scene = tmp_path / "out/7scenes_chess"
    assert not scene.exists()
    monkeypatch.setattr(archive.ZipSource, "place", lambda *a: placed.append(a[1]) or place(*a))
    said("7scenes", source, tmp_path / "out")
    assert len(placed) == 6  # none twice
    assert_holds(scene, "train", TRAIN)
    assert_holds(scene, "test", TEST)
    assert not list(tmp_path.glob("out/**/*.partial*"))
    assert "there already" in said("7scenes", source, tmp_path / "out")
    assert len(placed) == 6
    assert json.loads((scene / "prepared.json").read_text())["images"] == 6


def test_what_another_run_began_is_not_gone_on_with(tmp_path, said):
    source = layouts.aachen(tmp_path / "source", "one folder")
    stale = tmp_path / "out/.aachen.partial/train/rgb/old.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    said("aachen", source, tmp_path / "out")
    assert not (tmp_path / "out/aachen/train/rgb/old.jpg").exists()
    assert "made from something else" in said("aachen", source, tmp_path / "out", "--night", code=1)


def test_unpacked_images_are_linked_and_copied_where_that_cannot_be(tmp_path, said, monkeypatch):
    source = layouts.cambridge(tmp_path / "source", False)
    original = source / "ShopFacade/seq1/frame00001.png"
    said("cambridge", source, tmp_path / "linked")
    image = tmp_path / "linked/Cambridge_ShopFacade/train/rgb/seq1_frame00001.png"
    assert image.samefile(original)

    def another_disk(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(scene_writer.os, "link", another_disk)
    said("cambridge", source, tmp_path / "copied")
    image = tmp_path / "copied/Cambridge_ShopFacade/train/rgb/seq1_frame00001.png"
    assert not image.samefile(original)
    assert image.read_bytes() == original.read_bytes()


# --- what cannot be used: one sentence, nothing half done ---


def repacked(path, change):
    """The zip with its files after `change`."""
    with zipfile.ZipFile(path) as whole:
        files = {name: whole.read(name) for name in whole.namelist()}
    change(files)
    layouts.zipped(path, files)


def edit(files, name, old, new):
    text = files[f"ShopFacade/{name}"].decode()
    assert old in text
    files[f"ShopFacade/{name}"] = text.replace(old, new, 1).encode()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.pop("ShopFacade/reconstruction.nvm"), "has no reconstruction.nvm"),
        (lambda f: f.pop("ShopFacade/dataset_test.txt"), "has no dataset_test.txt"),
        (lambda f: f.pop("ShopFacade/seq1/frame00001.png"), "line 4 names seq1/frame00001.png"),
        (lambda f: edit(f, "reconstruction.nvm", "NVM_V3", "PLY"), "is no NVM file"),
        (lambda f: edit(f, "reconstruction.nvm", "4\n", "400\n"), "camera 5 is not a name and 9"),
        (lambda f: edit(f, "reconstruction.nvm", "\n4\n", "\n-4\n"), "how many cameras"),
        (lambda f: edit(f, "reconstruction.nvm", "1672.5", "nan"), "camera 1 is not a name"),
        (lambda f: edit(f, "dataset_train.txt", "seq1/frame00001.png ", "seq1/frame00001.png x"),
         "dataset_train.txt, line 4 is not a name and 7 numbers"),
        (lambda f: edit(f, "dataset_test.txt", "seq3/frame", "../../frame"), "lie anywhere"),
        (lambda f: edit(f, "dataset_test.txt", "seq3/frame", "/etc/frame"), "lie anywhere"),
        (lambda f: f.update({"../evil.txt": b"x"}), "'../evil.txt', which could lie anywhere"),
        (lambda f: f.update({"/evil.txt": b"x"}), "could lie anywhere"),
        (lambda f: f.update({"C:evil.txt": b"x"}), "could lie anywhere"),
        (lambda f: f.update({"a/..\\evil.txt": b"x"}), "could lie anywhere"),
        (lambda f: f.update({"bomb": bytes(60_000_000)}), "would become 60"),
    ],
)  # fmt: skip
def test_an_archive_that_cannot_be_used(tmp_path, said, change, sentence):
    source = layouts.cambridge(tmp_path / "source", True)
    repacked(source / "ShopFacade.zip", change)
    words = said("cambridge", source, tmp_path / "out", code=2)
    assert re.search(r"prepare: \S*ShopFacade", words)
    assert sentence in words
    assert not [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]
    assert not list(tmp_path.glob("**/evil*"))


def test_a_link_in_an_archive_is_refused(tmp_path, said):
    source = layouts.cambridge(tmp_path / "source", True)
    with zipfile.ZipFile(source / "ShopFacade.zip", "a") as whole:
        link = zipfile.ZipInfo("ShopFacade/passwd")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        whole.writestr(link, "/etc/passwd")
    assert "has a link in it" in said("cambridge", source, tmp_path / "out", code=2)


@pytest.mark.parametrize("damage", ["cut", "turned over"])
def test_a_damaged_download_is_said(tmp_path, said, damage):
    path = layouts.seven_scenes(tmp_path / "source", True) / "chess.zip"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[-500:]
    else:
        content[len(content) // 3] ^= 0xFF  # in a sequence
    path.write_bytes(content)
    words = said("7scenes", path, tmp_path / "out", code=2)
    assert "chess.zip" in words
    assert "download it again" in words


@pytest.mark.parametrize("seed", range(25))
def test_no_damage_is_a_crash(tmp_path, said, seed):
    path = layouts.cambridge(tmp_path / "source", True) / "ShopFacade.zip"
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for _ in range(rng.integers(1, 4)):
        header = content.find(b"PK", rng.integers(len(content)))  # what is there is read first
        content[min(max(header, 0) + rng.integers(46), len(content) - 1)] ^= rng.integers(1, 256)
    path.write_bytes(content)
    if prepare(["cambridge", str(path.parent), str(tmp_path / "out")]) == 0:  # nothing that is read
        assert_holds(tmp_path / "out/Cambridge_ShopFacade", "test", {"seq3_frame00001.png": 1})
    else:
        said("cambridge", path.parent, tmp_path / "out", code=2)


@pytest.mark.parametrize(
    ("data_set", "files", "sentence"),
    [
        ("7scenes", {}, "has none of chess, fire"),
        ("7scenes", {"chess/TrainSplit.txt": "seq 1\n", "chess/TestSplit.txt": ""},
         "TrainSplit.txt: 'seq 1' names no sequence"),
        ("7scenes", {"chess/TrainSplit.txt": "sequence1\n", "chess/TestSplit.txt": ""},
         "chess has neither seq-01 nor seq-01.zip"),
        ("7scenes", {"chess/TrainSplit.txt": "sequence1\n", "chess/TestSplit.txt": "",
                     "chess/seq-01/a.txt": ""}, "seq-01 has no frames"),
        ("7scenes", {"chess/TrainSplit.txt": "", "chess/TestSplit.txt": ""}, "would have no image"),
        ("12scenes", {"apt2/bed/info.txt": "x = 3\n"}, "has no camera matrix"),
        ("aachen", {"day_time_queries_with_intrinsics.txt": ""}, "has no aachen_cvpr2018_db.nvm"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_used(tmp_path, said, data_set, files, sentence):
    (tmp_path / "source").mkdir()
    layouts.write(tmp_path / "source", files)
    assert sentence in said(data_set, tmp_path / "source", tmp_path / "out", code=2)


def test_a_source_that_is_not_there(tmp_path, said):
    assert "nowhere cannot be read" in said("aachen", tmp_path / "nowhere", tmp_path, code=2)


def test_queries_that_a_submission_could_not_tell_apart(tmp_path, said):
    source = layouts.aachen(tmp_path / "source", "one folder")
    day = source / "day_time_queries_with_intrinsics.txt"
    shutil.copy(source / "night_time_queries_with_intrinsics.txt", tmp_path / "night")
    day.write_text(day.read_text() + (tmp_path / "night").read_text())
    assert "two queries are called b_2.jpg" in said(
        "aachen", source, tmp_path / "out", "--night", code=2
    )
