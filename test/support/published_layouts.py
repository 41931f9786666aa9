"""Writes tiny data sets with known cameras, laid out as their owners lay out the real ones."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np

from glace_ros.datasets.seven_scenes import RGB_FROM_DEPTH, SCENES
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.simulation.lookalike_rooms import LookAlikeRoomsConfig
from glace_ros.simulation.room_photographs import RoomImages, room_images

WIDTH, HEIGHT = 96, 64


def camera_pose(index: int) -> Pose:
    """The true map_from_camera of image `index`: nothing in it is special."""
    return Pose.from_rotation_vector(
        [0.3 * index - 1.0, 2.0 - 0.1 * index, 1.2], [0.4, 1.1 - 0.2 * index, -0.7]
    )


def image_file(index: int, suffix: str) -> bytes:
    """A picture, another one for each index, as a file of that kind."""
    rng = np.random.default_rng(index)
    small = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    picture = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(suffix, picture)[1].tobytes()


def matrix_text(pose: Pose) -> str:
    return "\n".join("\t".join(f"{x: .9e}" for x in row) for row in pose.matrix_44) + "\n"


def wxyz(pose: Pose) -> str:
    """The rotation scene to camera, w first."""
    x, y, z, w = pose.inverse().quaternion_xyzw
    return f"{w:.12f} {x:.12f} {y:.12f} {z:.12f}"


def numbers(values) -> str:
    return " ".join(f"{value:.12f}" for value in values)


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def zipped(path: Path, files: dict[str, bytes | str], method=zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


# --- 7-Scenes: two sequences of three frames, the first to map from; image i of the scene ---


Frames = list[tuple[bytes, Pose]]
"""PNG files, and map_from_camera of the RGB camera."""
DRAWN: Frames = [(image_file(index, ".png"), camera_pose(index)) for index in range(6)]


def seven_scenes_sequence(frames: Frames) -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {"Thumbs.db": b"\0"}
    for index, (png, map_from_camera) in enumerate(frames):
        files[f"frame-{index:06d}.color.png"] = png
        files[f"frame-{index:06d}.depth.png"] = image_file(0, ".png")
        files[f"frame-{index:06d}.pose.txt"] = matrix_text(map_from_camera @ RGB_FROM_DEPTH)
    return files


def seven_scenes(
    folder: Path,
    packed: bool,
    scene: str = "chess",
    train: Frames = DRAWN[:3],
    test: Frames = DRAWN[3:],
) -> Path:
    splits = {"TrainSplit.txt": "sequence1 \r\n", "TestSplit.txt": "sequence2\n\n"}
    sequences = {"seq-01": seven_scenes_sequence(train), "seq-02": seven_scenes_sequence(test)}
    if not packed:
        write(folder / scene, splits)
        for name, files in sequences.items():
            write(folder / scene / name, files)
        return folder
    inner: dict[str, bytes | str] = {f"{scene}/{name}": text for name, text in splits.items()}
    for name, files in sequences.items():
        path = zipped(folder / "x.zip", {f"{name}/{file}": files[file] for file in files})
        inner[f"{scene}/{name}.zip"] = path.read_bytes()
        path.unlink()
    zipped(folder / f"{scene}.zip", inner)
    return folder


def photographed_rooms(folder: Path, rooms: int, size=(640, 480), **settings) -> list[RoomImages]:
    """Look-alike rooms as 7-Scenes would publish them, each in its own frame; and what is true.

    size: of the images, in the middle of what a Kinect's camera sees.
    """
    width, height = size
    kinect = Camera(width, height, 525.0, 525.0, width / 2 - 0.5, height / 2 - 0.5)
    config = LookAlikeRoomsConfig(camera=kinect, **settings)
    photographed = [room_images(config, room, 1) for room in range(rooms)]
    for scene, images in zip(SCENES, photographed, strict=False):
        seven_scenes(folder, True, scene, *(
            [(cv2.imencode(".png", image.image_rgb_hwc[..., ::-1])[1].tobytes(),
              image.map_from_camera) for image in split]
            for split in (images.mapping, images.queries)
        ))  # fmt: skip
    return photographed


def sfm_lists(folder: Path, data_set: str, scene: str, keys: dict[str, dict[str, int]]) -> Path:
    """keys: for train and test, the image that a name is of. Focal lengths are 500 and more."""
    for split, images in keys.items():
        lines = []
        for name, index in images.items():
            pose, focal = camera_pose(index), 500.0 + index
            origin = numbers(pose.inverse().translation_3)
            lines.append(f"{name} {wxyz(pose)} {origin} {focal}")
        write(folder / "pgt/sfm" / data_set, {f"{scene}_{split}.txt": "\n".join(lines) + "\n"})
    return folder


# --- 12-Scenes: five frames, the first two to test with; the last has no pose ---


def twelve_scenes(folder: Path, packed: str) -> Path:
    """packed: 'zip' (apt1.zip), 'data' (data.zip in an unpacked room) or 'no'."""
    data: dict[str, bytes | str] = {}
    for frame in range(5):
        pose = matrix_text(camera_pose(frame)) if frame < 4 else "-1.#INF " * 16
        data[f"frame-{frame:06d}.color.jpg"] = image_file(frame, ".jpg")
        data[f"frame-{frame:06d}.depth.png"] = image_file(0, ".png")
        data[f"frame-{frame:06d}.pose.txt"] = pose
    room: dict[str, bytes | str] = {
        "split.txt": "sequence0 [frames=2] [start=0 ; end=1]\n"
        "sequence1 [frames=3] [start=2 ; end=4]\n",
        "info.txt": "m_versionNumber = 4\nm_sensorName = StructureSensor\n"
        f"m_colorWidth = {WIDTH}\nm_colorHeight = {HEIGHT}\n"
        "m_calibrationColorIntrinsic = 115.5 0 49 0 0 114.25 31.5 0 0 0 1 0 0 0 0 1 \n"
        "m_calibrationDepthIntrinsic = 57 0 31 0 0 58 24 0 0 0 1 0 0 0 0 1 \n",
    }  # fmt: skip
    if packed == "data":
        zipped(folder / "apt1/kitchen/data.zip", data)
        write(folder / "apt1/kitchen", room)
        return folder
    room |= {f"data/{name}": content for name, content in data.items()}
    room = {f"apt1/kitchen/{name}": content for name, content in room.items()}
    room["apt1/README.txt"] = "hello"
    if packed == "zip":
        zipped(folder / "apt1.zip", room)
        return folder
    return write(folder, room)


# --- Cambridge: image 0 to map from, 1 to test with; 2 is not reconstructed, 3 is far away ---


def nvm(cameras: dict[str, tuple[int, float, float]]) -> str:
    """cameras: file -> image, focal length, distortion."""
    lines = ["NVM_V3 ", "", str(len(cameras))]
    for name, (index, focal, distortion) in cameras.items():
        pose = camera_pose(index)
        lines.append(
            f"{name}\t{focal} {wxyz(pose)} {numbers(pose.translation_3)} {distortion} 0 "
        )  # VisualSFM's way: a tab after the name, a blank at the end
    return "\n".join([*lines, "", "1", "0 0 0 255 255 255 1 0 0 1.0 1.0", "", "0"]) + "\n"


def cambridge_files() -> dict[str, bytes | str]:
    head = "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n"

    def line(name: str, index: int, position_3=None) -> str:
        pose = camera_pose(index)
        position_3 = pose.translation_3 if position_3 is None else position_3
        return f"{name} {numbers(position_3)} {wxyz(pose)}\n"

    files: dict[str, bytes | str] = {
        "dataset_train.txt": head + line("seq1/frame00001.png", 0)
        + line("seq2/frame00001.png", 2) + line("seq2/frame00002.png", 3, [1e6, 0, 0]),
        "dataset_test.txt": head + line("seq3/frame00001.png", 1),
        "reconstruction.nvm": nvm({
            "seq1/frame00001.jpg": (0, 1672.5, -0.05), "seq3/frame00001.jpg": (1, 1600.25, 0.0),
            "seq2/frame00002.jpg": (3, 1600.0, 0.0), "seq9/frame00001.jpg": (4, 1600.0, 0.0),
        }),
    }  # fmt: skip
    images = ("seq1/frame00001", "seq3/frame00001", "seq2/frame00001", "seq2/frame00002")
    return files | {f"{name}.png": image_file(i, ".png") for i, name in enumerate(images)}


def cambridge(folder: Path, packed: bool, scene: str = "ShopFacade") -> Path:
    if not packed:
        write(folder / scene, cambridge_files())
        return folder
    zipped(folder / f"{scene}.zip", {f"{scene}/{n}": c for n, c in cambridge_files().items()})
    return folder


# --- Aachen: two database images, the second distorted; a query by day, one by night ---


def aachen(folder: Path, laid_out: str, images: dict[str, bytes] | None = None) -> Path:
    """laid_out: all in one folder, as on the owners' server, or unpacked beside what is there."""
    images = images or {
        name: image_file(index, ".jpg")
        for index, name in enumerate(
            ["db/1.jpg", "db/2.jpg", "query/day/milestone/a_1.jpg", "query/night/nexus5x/b_2.jpg"]
        )
    }
    query = f"SIMPLE_RADIAL {WIDTH} {HEIGHT} {{}} {WIDTH / 2} {HEIGHT / 2} {{}}\n"
    lists = {
        "aachen_cvpr2018_db.list.txt": "db/2.jpg\ndb/1.jpg\n",  # not in the order of the model
        "aachen_cvpr2018_db.nvm": nvm({"db/1.jpg": (0, 100.0, 0.0), "db/2.jpg": (1, 90.0, -0.2)}),
        "day_time_queries_with_intrinsics.txt": "query/day/milestone/a_1.jpg "
        + query.format(80.0, 0.15),
        "night_time_queries_with_intrinsics.txt": "query/night/nexus5x/b_2.jpg "
        + query.format(70.0, 0.0),
    }
    files = {f"images_upright/{name}": content for name, content in images.items()}
    if laid_out == "one folder":
        zipped(folder / "database_and_query_images.zip", files)
        return write(folder, lists)
    folders = {"aachen": "3D-models/", "day_ti": "queries/", "night_": "queries/"}
    write(folder, {folders[name[:6]] + name: lists[name] for name in lists})
    if laid_out == "server":
        zipped(folder / "images/database_and_query_images.zip", files)
        return folder
    return write(folder, files)
