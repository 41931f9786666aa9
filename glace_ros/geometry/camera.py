"""Pinhole camera with its distortion, and the one place where pixel conventions meet.

Everywhere in this package a pixel coordinate has its origin at the *centre* of the first pixel,
as in sensor_msgs/CameraInfo and OpenCV. A cell (i, j) of a feature map of stride s looks at pixel
s * (i + 0.5) - 0.5; resizing by a factor f maps u to f * (u + 0.5) - 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PINHOLE = "none"
DISTORTION_MODELS = (PINHOLE, "plumb_bob", "rational_polynomial", "equidistant")
# what others call them: ROS 1, Kalibr, camera drivers, OpenCV
_OTHER_NAMES = {
    "": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "radtan": "plumb_bob",
    "equi": "equidistant",
    "fisheye": "equidistant",
    "kannala_brandt": "equidistant",
    "kannala_brandt4": "equidistant",
    "opencv": "plumb_bob",
    "pinhole": PINHOLE,
    "pinhole_radtan": "plumb_bob",
    "pinhole_equi": "equidistant",
}

_FOLDING_STEPS = 4096
"""Of the radius at which a distortion is looked at."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics of an image, and the distortion of its lens.

    width_px, height_px: of the image.
    fx_px, fy_px: focal lengths.
    cx_px, cy_px: principal point, from the centre of the first pixel.
    distortion_model: one of DISTORTION_MODELS (the names of sensor_msgs/CameraInfo).
    distortion: its coefficients in OpenCV's order; empty for PINHOLE.
    lens: of a pinhole whose images are undistorted, the camera that took them; it is not compared.
    Raises ValueError, with a sentence, for intrinsics that no camera can have.
    """

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion_model: str = PINHOLE
    distortion: tuple[float, ...] = ()
    lens: Camera | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError, with a sentence, for intrinsics no camera can have."""
        numbers = (self.fx_px, self.fy_px, self.cx_px, self.cy_px, *self.distortion)
        if not np.isfinite(numbers).all():
            raise ValueError("the camera's intrinsics hold a number that is not finite")
        if self.width_px <= 0 or self.height_px <= 0:
            raise ValueError(f"the camera's image size is {self.width_px}x{self.height_px}")
        if not (self.fx_px > 1.0 and self.fy_px > 1.0):
            raise ValueError(
                f"the camera is not calibrated (fx = {self.fx_px:g}, fy = {self.fy_px:g})"
            )
        if self.distortion_model not in DISTORTION_MODELS:
            raise ValueError(
                f"the distortion model '{self.distortion_model}' is not one of "
                f"{', '.join(DISTORTION_MODELS[1:])}"
            )
        count = len(self.distortion)
        if self.distortion_model == "equidistant":
            takes, fits = "4", count >= 4  # some drivers add zeros
        else:
            takes, fits = "4, 5, 8, 12 or 14", count in (4, 5, 8, 12, 14)
        if self.distortion_model != PINHOLE and not fits:
            raise ValueError(
                f"the distortion model '{self.distortion_model}' takes {takes} coefficients, "
                f"not {count}"
            )

    @staticmethod
    def from_camera_info(
        width_px: int,
        height_px: int,
        k_9: NDArray[np.float64],
        distortion_model: str,
        d_n: NDArray[np.float64],
    ) -> Camera:
        """From the fields of a sensor_msgs/CameraInfo.

        width_px, height_px: of the image.
        k_9: the intrinsic matrix, row by row.
        distortion_model: in upper or lower case; also as Kalibr or a driver calls it ("radtan",
            "equi", "fisheye", "kannala_brandt", "pinhole"), or nothing for plumb_bob.
        d_n: coefficients (n,); where all are zero, the camera counts as a pinhole, whatever
            the model: rectified images often keep the model's name.
        Raises ValueError as `Camera` does.
        """
        k_33 = np.asarray(k_9, dtype=np.float64).reshape(3, 3)
        distortion = tuple(float(d) for d in np.asarray(d_n, dtype=np.float64).ravel())
        model = distortion_model.strip().lower().replace("-", "_").replace(" ", "_")
        model = _OTHER_NAMES.get(model, model)
        if model not in DISTORTION_MODELS:
            model = distortion_model  # as it was spelt, for the sentence
        if not any(distortion):
            model, distortion = PINHOLE, ()
        elif model == PINHOLE:
            raise ValueError(
                f"the distortion model '{distortion_model}' is given with {len(distortion)} "
                "coefficients, which it does not have"
            )
        return Camera(
            int(width_px), int(height_px),
            float(k_33[0, 0]), float(k_33[1, 1]), float(k_33[0, 2]), float(k_33[1, 2]),
            model, distortion,
        )  # fmt: skip

    @property
    def matrix_33(self) -> NDArray[np.float64]:
        """The intrinsic matrix K."""
        return np.array(
            [[self.fx_px, 0.0, self.cx_px], [0.0, self.fy_px, self.cy_px], [0.0, 0.0, 1.0]]
        )

    @property
    def undistorted(self) -> Camera:
        """The pinhole camera that `undistort` makes images of: same size and K, no distortion."""
        if self.distortion_model == PINHOLE:
            return self
        return replace(self, distortion_model=PINHOLE, distortion=(), lens=self)

    @property
    def valid_hw(self) -> NDArray[np.bool_] | None:
        """Pixels (height, width) of this pinhole's undistorted images that show what the lens saw;
        the others are black. None where all do.
        """
        if self.lens is None:
            return None
        return _valid_pixels(self.lens, self.width_px, self.height_px)

    def undistort(self, image_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image (height, width, channels) as the pinhole camera `undistorted` sees it; black
        where the lens saw nothing, and where its distortion folds back (see `valid_hw`).

        Raises ValueError where the image has another size than the camera.
        """
        if image_hwc.shape[:2] != (self.height_px, self.width_px):
            raise ValueError(
                f"the image is {image_hwc.shape[1]}x{image_hwc.shape[0]}, "
                f"but its camera_info says {self.width_px}x{self.height_px}"
            )
        if self.distortion_model == PINHOLE:
            return image_hwc
        map_x, map_y = _undistortion_maps(self)
        return np.asarray(cv2.remap(image_hwc, map_x, map_y, cv2.INTER_LINEAR), dtype=np.uint8)

    def scaled_to(self, width_px: int, height_px: int) -> Camera:
        """The camera of the image resized to another size, each axis by its own factor."""
        scale_x, scale_y = width_px / self.width_px, height_px / self.height_px
        return replace(
            self,
            width_px=width_px,
            height_px=height_px,
            fx_px=self.fx_px * scale_x,
            fy_px=self.fy_px * scale_y,
            cx_px=(self.cx_px + 0.5) * scale_x - 0.5,
            cy_px=(self.cy_px + 0.5) * scale_y - 0.5,
        )

    def project(self, points_n3: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (n, 2) of points (n, 3) in the camera frame (REP-103 optical), without
        distortion.
        """
        xy_n2 = points_n3[:, :2] / points_n3[:, 2:]
        return xy_n2 * [self.fx_px, self.fy_px] + [self.cx_px, self.cy_px]

    def bearings(self, pixels_n2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rays (n, 3) with z = 1 through pixels (n, 2), without distortion."""
        xy_n2 = (pixels_n2 - [self.cx_px, self.cy_px]) / [self.fx_px, self.fy_px]
        return np.concatenate([xy_n2, np.ones((len(xy_n2), 1))], axis=1)


def cell_centres(height_cells: int, width_cells: int, stride_px: int) -> NDArray[np.float64]:
    """Pixels (height_cells, width_cells, 2), as (u, v), that the cells of a feature map look at."""
    v_h, u_w = (stride_px * (np.arange(n) + 0.5) - 0.5 for n in (height_cells, width_cells))
    return np.stack(np.broadcast_arrays(u_w[None, :], v_h[:, None]), axis=-1)


@lru_cache(maxsize=8)
def _undistortion_maps(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    size = (camera.width_px, camera.height_px)
    k_33, d_n, eye_33 = camera.matrix_33, np.array(camera.distortion), np.eye(3)
    if camera.distortion_model == "equidistant":
        maps = cv2.fisheye.initUndistortRectifyMap(k_33, d_n[:4], eye_33, k_33, size, cv2.CV_32FC1)
    else:
        maps = cv2.initUndistortRectifyMap(k_33, d_n, eye_33, k_33, size, cv2.CV_32FC1)
    map_x, map_y = (np.asarray(each, dtype=np.float32) for each in maps)
    folded_hw = _radii_hw(camera) > _folding_radius(camera)
    map_x[folded_hw] = map_y[folded_hw] = -1.0  # outside of the image: black
    return map_x, map_y


def _radii_hw(camera: Camera) -> NDArray[np.float64]:
    """Tangents (height, width) of the angles between the undistorted pixels and the axis."""
    x_w = (np.arange(camera.width_px) - camera.cx_px) / camera.fx_px
    y_h = (np.arange(camera.height_px) - camera.cy_px) / camera.fy_px
    return np.asarray(np.hypot(x_w[None, :], y_h[:, None]), dtype=np.float64)


def _folding_radius(camera: Camera) -> float:
    """The tangent up to which rays further out are seen further out. A polynomial that was fitted
    to less of the image than there is may turn back beyond: there it shows what was seen already.
    """
    radius_n = np.linspace(0.0, 1.01 * float(_radii_hw(camera).max()), _FOLDING_STEPS)
    if camera.distortion_model == "equidistant":
        at_n = np.arctan(radius_n)
        numerator, denominator = camera.distortion[:4], ()
    else:
        at_n = radius_n
        d_14 = np.zeros(14)
        d_14[: len(camera.distortion)] = camera.distortion
        numerator, denominator = (*d_14[:2], d_14[4]), tuple(d_14[5:8])
    below_n = _even_polynomial(denominator, at_n)
    with np.errstate(divide="ignore", invalid="ignore"):
        seen_n = at_n * _even_polynomial(numerator, at_n) / below_n
    turns_n = ~(np.diff(seen_n) > 0) | ~(below_n[1:] > 0)
    return float(radius_n[int(turns_n.argmax())]) if turns_n.any() else np.inf


def _even_polynomial(
    coefficients: tuple[float, ...], at_n: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 + c1 x^2 + c2 x^4 + ..."""
    return np.asarray(np.polynomial.Polynomial([1.0, *coefficients])(at_n**2), dtype=np.float64)


@lru_cache(maxsize=8)
def _valid_pixels(lens: Camera, width_px: int, height_px: int) -> NDArray[np.bool_] | None:
    map_x, map_y = _undistortion_maps(lens)
    inside_x = (map_x > -0.5) & (map_x < lens.width_px - 0.5)
    valid_hw = inside_x & (map_y > -0.5) & (map_y < lens.height_px - 0.5)
    if valid_hw.all():
        return None
    if (width_px, height_px) != (lens.width_px, lens.height_px):
        share_hw = cv2.resize(
            valid_hw.astype(np.float32), (width_px, height_px), interpolation=cv2.INTER_AREA
        )
        valid_hw = np.asarray(share_hw) > 0.999
    valid_hw.flags.writeable = False  # it is shared
    return valid_hw


def projection_by_point(
    in_camera_n3: NDArray[np.float64], focal_n2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pixels of a pinhole by metres of the points, in the camera's frame: (n, 2, 3).

    in_camera_n3: before the camera; nearer than a millimetre counts as that.
    focal_n2: fx and fy in pixels, (n, 2) or (2,).
    """
    depth_n = np.maximum(in_camera_n3[:, 2], 1e-3)
    by_point_n23 = np.zeros((len(depth_n), 2, 3))
    for axis in range(2):
        scale_n = focal_n2[..., axis] / depth_n
        by_point_n23[:, axis, axis] = scale_n
        by_point_n23[:, axis, 2] = -scale_n * in_camera_n3[:, axis] / depth_n
    return by_point_n23
