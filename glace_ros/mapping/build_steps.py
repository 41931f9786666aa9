"""What each step of the map builder hands to the next one."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.mapping.global_descriptors import GlobalDescriptors
    from glace_ros.mapping.views.encoded_views import EncodedViews
    from glace_ros.mapping.views.feature_buffer import FeatureBuffer
    from glace_ros.mapping.views.mapping_views import MappingViews
    from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig
    from glace_ros.maps.landmarks import Landmarks


@dataclass(frozen=True, eq=False)
class Encoded:
    """All mapping images, as patches.

    collected: the patches; triangulation adds points to them.
    read_s: that the recording took.
    encode_s: that the encoders took.
    """

    collected: EncodedViews
    read_s: float
    encode_s: float

    @property
    def views(self) -> MappingViews:
        """One for each image."""
        return self.collected.views

    @property
    def image_s(self) -> float:
        """What encoding an image takes, were none found in the cache."""
        return fmean(self.collected.encode_s or [0.0])


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the heads are trained on, and what of a map is there before training.

    buffer: this rank's samples; its origin is the map's, the mean of all camera positions.
    positions_v3: of the cameras in the map, in metres.
    group_v: which head each view trains.
    triangulated_ratio: of the samples, those that have a point.
    landmarks: of the map; None where there are none, and on ranks other than 0.
    descriptors: global ones, and their encoder; None where the map has none.
    sigma: of the feature diffusion, standard deviation in each dimension.
    head: shape of each network.
    seconds: that the step took.
    """

    buffer: FeatureBuffer
    positions_v3: NDArray[np.float64]
    group_v: NDArray[np.int64]
    triangulated_ratio: float
    landmarks: Landmarks | None
    descriptors: GlobalDescriptors | None
    sigma: float
    head: CoordinateHeadConfig
    seconds: float


@dataclass(frozen=True, eq=False)
class Trained:
    """The networks of a map.

    steps: of all heads together.
    samples: that these steps trained on, of all ranks.
    seconds: that the step took.
    """

    heads: list[CoordinateHead]
    steps: int
    samples: int
    seconds: float

    @property
    def samples_per_second(self) -> float:
        """How fast it was."""
        return self.samples / max(1e-9, self.seconds)


def seconds_of(
    encoded: Encoded, refine_s: float, prepared: Prepared, trained: Trained
) -> dict[str, float]:
    """What each step took, as the metrics of a build name it."""
    return {
        "read": encoded.read_s,
        "encode": encoded.encode_s,
        "refine": refine_s,
        "prepare": prepared.seconds,
        "train": trained.seconds,
    }
