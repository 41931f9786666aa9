"""Aachen Day-Night (v1): database_and_query_images.zip, aachen_cvpr2018_db.nvm and .list.txt,
day_time_queries_with_intrinsics.txt and night_time_....

The poses of the queries are not published: results are sent in (`evaluate --submission`).
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from glace_ros.datasets.archive import image_bytes, inside, lines_of
from glace_ros.datasets.pose_lists import floats, image_key, read_nvm
from glace_ros.datasets.published import PublishedImage
from glace_ros.errors import RecordingError
from glace_ros.geometry.camera import Camera
from glace_ros.ros_messages.image_decoding import decode_compressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.datasets.archive import Source

_IMAGES, _IMAGES_ZIP = "images_upright", "database_and_query_images"
_FOLDERS = ("", "images/", "3D-models/", "queries/")
_JPEG_QUALITY = 95
_RADII = 4096


class _Query(NamedTuple):
    """A line of a query list."""

    name: str
    focal_px: float
    undistort: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None


def aachen_images(source: Source, scratch: Path, *, night: bool) -> Iterator[PublishedImage]:
    """The database's images to map from, and the queries, without poses.

    Images with radial distortion are undistorted, and encoded anew; the others stay as they are.
    source: folder or zip of the data set.
    scratch: folder for what is unpacked.
    night: with the queries by night, beside those by day.
    """
    nvm = _found(source, "aachen_cvpr2018_db.nvm")
    database = [line.split()[0] for line in _lines(source, "aachen_cvpr2018_db.list.txt")]
    queries = list(_queries(source, "day_time_queries_with_intrinsics.txt"))
    queries += _queries(source, "night_time_queries_with_intrinsics.txt") if night else []
    _require_own_names(queries)
    cameras, count = read_nvm(source, nvm), len(database) + len(queries)
    with _images(source, scratch) as images:
        for number, name in enumerate(database, 1):
            camera = cameras.get(image_key(name))
            focal_px = camera.focal_px if camera else 0.0
            undistort = None
            if camera and camera.distortion:
                undistort = partial(
                    undistort_visual_sfm, focal_px=focal_px, distortion=camera.distortion
                )
            yield PublishedImage(
                "train", name.replace("/", "_"), _writer(images, name, undistort),
                f"{focal_px!r}\n",
                camera.map_from_camera if camera else f"not in {nvm}", number / count,
            )  # fmt: skip
        for number, query in enumerate(queries, len(database) + 1):
            yield PublishedImage(
                "test", _last(query.name), _writer(images, query.name, query.undistort),
                f"{query.focal_px!r}\n", None, number / count,
            )  # fmt: skip


@contextmanager
def _images(source: Source, scratch: Path) -> Iterator[Source]:
    """Where db/ and query/ are, unpacked or not."""
    with ExitStack() as stack:
        for folder in _FOLDERS:
            if source.has_folder(folder + _IMAGES):
                yield source.below(folder + _IMAGES)
                return
            zipped = stack.enter_context(inside(source, folder + _IMAGES_ZIP, scratch))
            if zipped:
                yield zipped.below(_IMAGES)
                return
        raise RecordingError(f"{source.words} has neither {_IMAGES} nor {_IMAGES_ZIP}.zip")


def undistort_visual_sfm(
    image_hwc: NDArray[np.uint8], focal_px: float, distortion: float
) -> NDArray[np.uint8]:
    """The image as a pinhole sees it, by VisualSFM's model: the undistorted radius is
    r (1 + distortion r^2) of the measured one r, about the image's centre, in focal lengths.
    (OpenCV's models go the other way, from the undistorted radius to the measured one.)
    """
    height, width = image_hwc.shape[:2]
    u_w, v_h = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2
    radius_hw = np.hypot(*np.meshgrid(u_w / focal_px, v_h / focal_px))
    undistorted_n = np.linspace(1e-9, radius_hw.max(), _RADII)
    scale_n = _measured_radii(undistorted_n, distortion) / undistorted_n
    scale_hw = np.interp(radius_hw, undistorted_n, scale_n)
    map_u_hw = (u_w * scale_hw + (width - 1) / 2).astype(np.float32)
    map_v_hw = (v_h[:, None] * scale_hw + (height - 1) / 2).astype(np.float32)
    return np.asarray(cv2.remap(image_hwc, map_u_hw, map_v_hw, cv2.INTER_LINEAR), np.uint8)


def _measured_radii(undistorted_n: NDArray[np.float64], distortion: float) -> NDArray[np.float64]:
    """r of r (1 + distortion r^2) = undistorted, by Newton's method.

    Not scipy.optimize.newton, which takes no bounds: beyond `most` it would leave for another root.
    """
    most = 1 / np.sqrt(-3 * distortion) if distortion < 0 else np.inf  # from there it falls again
    measured_n = np.minimum(undistorted_n, most)
    for _ in range(20):
        error_n = measured_n * (1 + distortion * measured_n**2) - undistorted_n
        slope_n = np.maximum(1 + 3 * distortion * measured_n**2, 0.05)
        measured_n = np.clip(measured_n - error_n / slope_n, 0.0, most)
    return measured_n


def _queries(source: Source, name: str) -> Iterator[_Query]:
    """Of the lines `file SIMPLE_RADIAL width height focal cx cy k`, COLMAP's model."""
    for line in _lines(source, name):
        words = line.split()
        numbers = floats(words[2:], 6, f"{source.words}/{name}: {line!r}")
        width, height, focal_px, cx, cy, k = numbers
        if words[1] != "SIMPLE_RADIAL" or (cx, cy) != (width / 2, height / 2):
            raise RecordingError(
                f"{source.words}/{name}: {line!r} is not SIMPLE_RADIAL about the image's centre"
            )
        try:
            distorted = Camera(
                int(width), int(height), focal_px, focal_px, cx - 0.5, cy - 0.5, "plumb_bob",
                (k, 0.0, 0.0, 0.0),
            )  # fmt: skip
        except ValueError as error:
            raise RecordingError(f"{source.words}/{name}: {line!r}: {error}") from error
        yield _Query(words[0], focal_px, distorted.undistort if k else None)


def _writer(
    images: Source,
    name: str,
    undistort: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None,
) -> Callable[[Path], None]:
    if undistort is None:
        return partial(images.place, name)

    def write(path: Path) -> None:
        try:
            image_rgb_hwc = undistort(decode_compressed(_last(name), image_bytes(images, name)))
        except ValueError as error:
            raise RecordingError(f"{images.words}/{name}: {error}") from error
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        image_bgr_hwc = cv2.cvtColor(image_rgb_hwc, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(path), image_bgr_hwc, quality):
            raise RecordingError(f"{path} cannot be written")

    return write


def _lines(source: Source, name: str) -> Iterator[str]:
    return (line for line in lines_of(source, _found(source, name)) if line.strip())


def _found(source: Source, name: str) -> str:
    """Where such a file lies: in one folder with all others, or as on the owners' server."""
    for folder in _FOLDERS:
        if source.has(folder + name):
            return folder + name
    raise RecordingError(f"{source.words} has no {name}")


def _require_own_names(queries: list[_Query]) -> None:
    """A submission names a query by its file name alone."""
    names = [_last(query.name) for query in queries]
    for name in names:
        if names.count(name) > 1:
            raise RecordingError(f"two queries are called {name}: a submission could not tell them")


def _last(name: str) -> str:
    return name.rpartition("/")[2]
