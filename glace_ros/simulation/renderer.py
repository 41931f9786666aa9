"""What a camera in the building sees: rays through 2 x 2 points of every pixel, then the sensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from glace_ros.geometry.camera import PINHOLE
from glace_ros.simulation.lighting import lit_textures
from glace_ros.simulation.ray_caster import RayCaster
from glace_ros.simulation.texture_atlas import TextureAtlas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.simulation.building import Building

_SUBPIXELS = 2


@dataclass(frozen=True)
class SensorConfig:
    """What a real camera adds to the light."""

    mean_level: float = 118.0
    """Grey value, of 255, that automatic exposure aims at."""
    exposure_spread: float = 0.05
    """Deviation of its log gain."""
    vignetting: float = 0.22
    """Ratio of the light that is lost in the corners."""
    blur_px: float = 0.45
    """Deviation of the lens's point spread."""
    shot_noise: float = 0.18
    """Deviation at a grey value of 1; it grows with the root."""
    read_noise: float = 1.2
    """Deviation in grey values."""


class Renderer:
    """Renders a building. Not a light thing to make: it bakes the light into the textures."""

    def __init__(self, building: Building, sensor: SensorConfig | None = None) -> None:
        panels = building.panels
        self._sensor = sensor or SensorConfig()
        self._caster = RayCaster(panels)
        textures = lit_textures(panels, building.config.seed, building.light)
        self._atlas = TextureAtlas(textures)
        # texels per metre, as the mean of both axes
        self._density_p = np.array(
            [
                np.sqrt(np.prod(texture.shape[:2]) / np.prod(panel.size_m))
                for texture, panel in zip(textures, panels, strict=True)
            ],
            dtype=np.float32,
        )

    def light(self, camera: Camera, map_from_camera: Pose) -> NDArray[np.float32]:
        """The noiseless picture (height, width, 3) in [0, 255]; black outside the building."""
        rays_n3 = pixel_rays(camera, _SUBPIXELS)
        directions_n3 = rays_n3 @ map_from_camera.rotation_33.T.astype(np.float32)
        hits = self._caster.cast(map_from_camera.translation_3, directions_n3)
        # how many texels lie between neighbouring rays; slanted surfaces count half of their slant
        step_n = hits.distance_n / np.float32(camera.fx_px * _SUBPIXELS)
        texels_n = step_n * self._density_p[hits.panel_n] / np.sqrt(np.maximum(hits.cosine_n, 0.02))
        level_n = np.log2(np.maximum(texels_n, 1.0))
        colours_n3 = self._atlas.colours(hits.panel_n, hits.row_n, hits.column_n, level_n)
        colours_n3[hits.panel_n < 0] = 0.0
        height, width = camera.height_px, camera.width_px
        fine = colours_n3.reshape(height * _SUBPIXELS, width * _SUBPIXELS, 3)
        return np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA))

    def photograph(
        self, camera: Camera, map_from_camera: Pose, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """The picture uint8 (height, width, 3), RGB, that the camera's sensor makes of it."""
        sensor = self._sensor
        light_hwc = self.light(camera, map_from_camera)
        gain = sensor.mean_level / max(float(light_hwc.mean()), 20.0)
        gain = np.clip(gain, 0.6, 1.7) * np.exp(rng.normal(0.0, sensor.exposure_spread))
        light_hwc = light_hwc * (np.float32(gain) * _vignette(camera, sensor.vignetting))
        blurred = cv2.GaussianBlur(light_hwc, (0, 0), sensor.blur_px)
        light_hwc = np.asarray(blurred, dtype=np.float32)
        deviation = np.sqrt(sensor.read_noise**2 + sensor.shot_noise**2 * light_hwc)
        noise = rng.standard_normal(light_hwc.shape, dtype=np.float32) * deviation
        return np.asarray(np.clip(light_hwc + noise + 0.5, 0, 255), dtype=np.uint8)

    def points(
        self, camera: Camera, map_from_camera: Pose, pixels_n2: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The points (n, 3) in the map seen at (distorted) pixels (n, 2); NaN outside."""
        rays_n3 = _bearings(camera, pixels_n2)
        directions_n3 = (rays_n3 @ map_from_camera.rotation_33.T).astype(np.float32)
        hits = self._caster.cast(map_from_camera.translation_3, directions_n3)
        points_n3 = map_from_camera.translation_3 + hits.distance_n[:, None] * directions_n3
        return np.where(hits.panel_n[:, None] < 0, np.nan, points_n3.astype(np.float64))


@lru_cache(maxsize=4)
def pixel_rays(camera: Camera, subpixels: int) -> NDArray[np.float32]:
    """Rays (height * width * subpixels^2, 3), z = 1, through a grid of points, row by row."""
    u, v = (
        (np.arange(size * subpixels) + 0.5) / subpixels - 0.5
        for size in (camera.width_px, camera.height_px)
    )
    pixels_n2 = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    return _bearings(camera, pixels_n2).astype(np.float32)


def _bearings(camera: Camera, pixels_n2: NDArray[np.float64]) -> NDArray[np.float64]:
    if camera.distortion_model == PINHOLE:
        return camera.bearings(pixels_n2)
    k_33, d_n = camera.matrix_33, np.array(camera.distortion)
    if camera.distortion_model == "equidistant":
        flat = cv2.fisheye.undistortPoints(pixels_n2[:, None], k_33, d_n)
    else:
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-10)
        eye_33 = np.eye(3)
        flat = cv2.undistortPointsIter(pixels_n2[:, None], k_33, d_n, eye_33, eye_33, stop)
    return np.concatenate([flat[:, 0], np.ones((len(pixels_n2), 1))], axis=1)


@lru_cache(maxsize=4)
def _vignette(camera: Camera, loss: float) -> NDArray[np.float32]:
    """Gain (height, width, 1): 1 in the middle, 1 - loss in the corners."""
    u, v = np.meshgrid(np.linspace(-1, 1, camera.width_px), np.linspace(-1, 1, camera.height_px))
    return np.asarray((1.0 - loss * (u**2 + v**2) / 2)[..., None], dtype=np.float32)
