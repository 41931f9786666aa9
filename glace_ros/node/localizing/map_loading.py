"""From a map file to a map that is ready to localize in. Here torch is imported, which takes
seconds: the live node brings this module in when its services answer already.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.device import still_computes
from glace_ros.errors import MapFileError
from glace_ros.geometry.camera import Camera
from glace_ros.localization.image_window_config import WindowConfig
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.window_localizer import WindowLocalizer
from glace_ros.maps.default_location import newest_map_path
from glace_ros.maps.scene_map import SceneMap
from glace_ros.node.localizing.loaded_map import CheckedMap, LoadedMap

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from glace_ros.node.ros_interface.parameters import LocalizeParameters

_ANY_CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
"""Where the map does not say what its camera was."""


def read_map(parameters: LocalizeParameters) -> CheckedMap:
    """Reads and checks the map's file, which takes a fraction of a second.

    Raises MapFileError or WeightsError.
    """
    path = Path(parameters.map).expanduser() if parameters.map else newest_map_path()
    if not parameters.map and not path.exists():
        raise MapFileError(
            f"Parameter 'map' is empty and there is no {path}: "
            "give a map file, or make one with `glace build_map --bag BAG`."
        )
    scene_map = SceneMap.load(path)
    metadata = scene_map.metadata
    metadata.check_encoders()
    map_id = f"{path.resolve().name} {scene_map.map_id}"

    def make_ready() -> LoadedMap:
        if parameters.threads:
            torch.set_num_threads(parameters.threads)
        localizer = Localizer(scene_map, parameters.localizer, device=parameters.device)
        localizer.warm_up(metadata.camera or _ANY_CAMERA)
        return LoadedMap(
            localizer, map_id, metadata.map_frame, metadata.base_frame, metadata.origin_m,
            _views(scene_map), metadata.held_out is not None,
            lambda: still_computes(localizer.device), metadata.calibration_of,
            _new_window(localizer, parameters), metadata.value_range,
        )  # fmt: skip

    return CheckedMap((map_id, metadata), make_ready)


def _new_window(
    localizer: Localizer, parameters: LocalizeParameters
) -> Callable[[], WindowLocalizer] | None:
    """None where there are to be no windows, or no odometry is asked for."""
    if parameters.window_images < 2 or not parameters.tf_broadcast:
        return None
    return lambda: WindowLocalizer(localizer, WindowConfig(window=parameters.window))


def _views(scene_map: SceneMap) -> NDArray[np.float64] | None:
    encoder = scene_map.global_encoder
    if encoder is None or encoder.positions_v3 is None:
        return None
    positions_v3 = encoder.positions_v3.cpu().numpy().astype(np.float64)
    return np.asarray(positions_v3 + np.array(scene_map.metadata.origin_m))
