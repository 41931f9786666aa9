"""Mapping views: the encoded patches of all mapping images, in memory of a fixed size.

However long the recording is, the memory stays within its bound: when it is full, every view gives
up its weakest patches. Nothing is kept twice: what training, triangulation and the descriptors
read are slices of the same tensors. Memory that was not filled yet costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
import torch

from glace_ros.errors import MappingError
from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.intrinsics_correction import IntrinsicsCorrection

_THINNED = 0.9  # to this ratio of its patches every view is thinned when the buffer is full
_VIEWS_AT_ONCE = 500  # thinned in one step, which bounds the memory beside the buffer
_NONE = LocalFeatures(torch.empty(0, 0), torch.empty(0, 2), torch.empty(0))


class MappingView(NamedTuple):
    """One mapping image, encoded.

    features: its unaugmented patches.
    map_from_camera: where they were seen from.
    intrinsics_4: fx, fy, cx, cy in pixels of the working size, float32.
    descriptor_G: the global one, where an encoder with weights of its own made it.
    stamp_ns: when it was exposed, by the clock of its drive.
    drive: which of the recordings it is from.
    """

    features: LocalFeatures
    map_from_camera: Pose
    intrinsics_4: torch.Tensor
    descriptor_G: torch.Tensor | None = None
    stamp_ns: int = 0
    drive: int = 0


class Samples(NamedTuple):
    """All patches.

    descriptors_nC: fp16.
    pixels_n2: of the recorded image at working size, fp32.
    view_n: which view they are of, int32.
    points_n3: where they were triangulated, metres from the map's origin, fp32.
    has_point_n: whether they were; else their point is arbitrary.
    """

    descriptors_nC: torch.Tensor
    pixels_n2: torch.Tensor
    view_n: torch.Tensor
    points_n3: torch.Tensor
    has_point_n: torch.Tensor

    def to(self, device: torch.device) -> Samples:
        """All of it on a device; the same memory where it is there already."""
        return Samples(*(tensor.to(device) for tensor in self))


def sample_bytes(channels: int) -> int:
    """Memory of one patch: what `Samples` says, and its score."""
    return 2 * channels + 8 + 4 + 12 + 1 + 4


def patches_per_view(max_bytes: int, channels: int, copies: int, views: int, most: int) -> int:
    """How many patches each of so many images, and of its augmented views, can keep at most."""
    return min(most, max_bytes // (sample_bytes(channels) * copies * max(1, views)))


class MappingViews(Sequence[MappingView]):
    """Views in the order in which they were appended; samples sorted by view, a view's own patches
    before those of its augmented views, each best first or as sampled.

    channels: of a patch's descriptor.
    copies: 1 + augmented views of an image.
    patches: of each copy; falls when max_bytes are full.
    max_bytes: that the samples may take.
    expected_views: where known, no more memory than these need is asked for.
    end: row behind the last patch.
    """

    def __init__(
        self,
        channels: int,
        copies: int,
        patches: int,
        max_bytes: int,
        expected_views: int | None = None,
    ) -> None:
        self.copies = copies
        self.patches = patches
        capacity = max_bytes // sample_bytes(channels)
        if expected_views is not None:
            capacity = min(capacity, max(1, expected_views) * copies * patches)
        self._samples = Samples(
            torch.empty(capacity, channels, dtype=torch.float16),
            torch.empty(capacity, 2),
            torch.empty(capacity, dtype=torch.int32),
            torch.empty(capacity, 3),
            torch.empty(capacity, dtype=torch.bool),
        )
        self._scores_n = torch.empty(capacity)
        self.end = 0
        self._lent: list[LocalFeatures] = []
        self._rows: list[tuple[int, int]] = []  # start and length of each copy of each view
        self._recorded: list[MappingView] = []  # as appended, but for their features
        self._map_from_camera: list[Pose] = []
        self._intrinsics: list[torch.Tensor] = []

    def append(self, view: MappingView, augmented: Sequence[LocalFeatures] = ()) -> None:
        """Take in a view; fewer of its patches where memory is scarce. Raises MappingError where
        not one patch of each would fit.
        """
        copies = [view.features, *augmented]
        while self.end + sum(min(self.patches, len(c.scores_n)) for c in copies) > len(
            self._scores_n
        ):
            if self.patches <= 1:
                raise MappingError(
                    f"the feature buffer is too small for more than {len(self)} images: "
                    "give it more memory with --buffer-gb"
                )
            self.thin(min(self.patches - 1, int(self.patches * _THINNED)))
        self._map_from_camera.append(view.map_from_camera)
        intrinsics_4 = view.intrinsics_4.cpu().float()
        code_G = None if view.descriptor_G is None else view.descriptor_G.cpu()
        kept = view._replace(features=_NONE, intrinsics_4=intrinsics_4, descriptor_G=code_G)
        self._recorded.append(kept)
        self._intrinsics.append(intrinsics_4)
        for copy in range(self.copies):
            count = min(self.patches, len(copies[copy].scores_n)) if copy < len(copies) else 0
            rows = slice(self.end, self.end + count)
            self._rows.append((self.end, count))
            if count:
                features = copies[copy].head(count)
                self._samples.descriptors_nC[rows] = features.descriptors_nC.half().cpu()
                self._samples.pixels_n2[rows] = features.pixels_n2.cpu()
                self._scores_n[rows] = features.scores_n.cpu()
                self._samples.view_n[rows] = len(self) - 1
                self._samples.points_n3[rows] = 0.0
                self._samples.has_point_n[rows] = False
            self.end += count

    def thin(self, patches: int) -> None:
        """Let every view keep no more than its best `patches`; in place, a few views at a time."""
        self.patches = min(self.patches, patches)
        tensors = [*self._samples, self._scores_n]
        end, step = 0, _VIEWS_AT_ONCE * self.copies
        for first in range(0, len(self._rows), step):
            block = self._rows[first : first + step]
            best = [(start, min(count, self.patches)) for start, count in block]
            index_n = torch.from_numpy(
                np.concatenate([np.arange(start, start + count) for start, count in best])
            )
            for tensor in tensors:
                tensor[end : end + len(index_n)] = tensor[index_n]
            for offset, (_, count) in enumerate(best):
                self._rows[first + offset] = (end, count)
                end += count
        self.end = end

    def rows(self, view: int, copy: int = 0) -> slice:
        """Where in `samples` a view's patches are: its own, or those of an augmented view; -1 for
        the last one.
        """
        start, count = self._rows[view * self.copies + copy % self.copies]
        return slice(start, start + count)

    @property
    def samples(self) -> Samples:
        """All patches; the memory itself, not a copy."""
        return Samples(*(tensor[: self.end] for tensor in self._samples))

    @property
    def scores_n(self) -> torch.Tensor:
        """Of all patches."""
        return self._scores_n[: self.end]

    @property
    def map_from_camera(self) -> Sequence[Pose]:
        """Of every view."""
        return self._map_from_camera

    @property
    def recorded_map_from_camera(self) -> Sequence[Pose]:
        """The same as they were appended, whatever `set_poses` changed."""
        return [view.map_from_camera for view in self._recorded]

    @property
    def stamps_v(self) -> NDArray[np.int64]:
        """When each view was exposed (v,), ns by the clock of its drive."""
        return np.array([view.stamp_ns for view in self._recorded], np.int64)

    @property
    def drives_v(self) -> NDArray[np.int64]:
        """Which of the recordings each view is from (v,)."""
        return np.array([view.drive for view in self._recorded], np.int64)

    def set_poses(self, map_from_camera: Sequence[Pose]) -> None:
        """Takes these for the poses of all views. Raises ValueError for another number of them."""
        if len(map_from_camera) != len(self):
            raise ValueError(f"{len(map_from_camera)} poses for {len(self)} views")
        self._map_from_camera = list(map_from_camera)

    @property
    def recorded_intrinsics_v4(self) -> torch.Tensor:
        """Of every view as it was appended, whatever `correct_intrinsics` changed."""
        return torch.stack([view.intrinsics_4 for view in self._recorded])

    def correct_intrinsics(self, correction: IntrinsicsCorrection) -> None:
        """Of all views, which are of one camera."""
        true_v4 = correction.corrected_n4(self.recorded_intrinsics_v4.double().numpy())
        self._intrinsics = list(torch.from_numpy(true_v4).float())

    @property
    def descriptors_vG(self) -> torch.Tensor | None:
        """Of every view, where an encoder of its own made them; zeros for views of other ranks."""
        given = [view.descriptor_G for view in self._recorded if view.descriptor_G is not None]
        return torch.stack(given) if given else None

    def lend(self, features: list[LocalFeatures]) -> None:
        """Patches of views that have none here: what other ranks encoded. See share_exchange."""
        self._lent = features

    def forget_lent(self) -> None:
        """They take memory."""
        self._lent = []

    def features(self, view: int, copy: int = 0) -> LocalFeatures:
        """A view's patches; slices of the memory, good until the next view is appended."""
        rows = self.rows(view, copy)
        if rows.start == rows.stop and copy == 0 and self._lent:
            return self._lent[view]
        return LocalFeatures(
            self._samples.descriptors_nC[rows], self._samples.pixels_n2[rows], self._scores_n[rows]
        )

    def __len__(self) -> int:
        return len(self._map_from_camera)

    @overload
    def __getitem__(self, index: int) -> MappingView: ...

    @overload
    def __getitem__(self, index: slice) -> list[MappingView]: ...

    def __getitem__(self, index: int | slice) -> MappingView | list[MappingView]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return self._recorded[index]._replace(
            features=self.features(index),
            map_from_camera=self._map_from_camera[index],
            intrinsics_4=self._intrinsics[index],
        )
