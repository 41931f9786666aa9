"""Landmarks: the keypoints of a scene that many mapping views agree on, few enough for a map file.

The coordinate head says where a camera is; where a few hundred landmarks are in its view, they say
it more exactly. 79 bytes each: a point, a 64-d descriptor of int8, and from where it was seen.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from glace_ros.device import has_bfloat16
from glace_ros.maps.landmark_templates import LandmarkTemplates

if TYPE_CHECKING:
    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose

COARSE = 0.01
"""Of a cosine: both vectors and the cosine itself are rounded to a 256th of their size."""
_NEAREST_M = 0.1
"""Least depth of what a camera sees: nearer, and behind it, projections mean nothing."""

_TEMPLATES = "templates_tb", "template_metres_by_px_t"
"""Of a map file: what LandmarkTemplates is made of."""


class Landmarks:
    """What the file holds, and unit vectors made of it for matching.

    points_l3: float32, metres from the map's origin.
    descriptors_lC: float32, unit norm, through int8 as the file has them.
    directions_l3: from the point to the mean of the cameras that saw it; float32, unit norm,
    through int8.
    templates: of the first of them; None: none has one.
    """

    def __init__(
        self,
        points_l3: torch.Tensor,
        descriptors_lC: torch.Tensor,
        directions_l3: torch.Tensor,
        templates: LandmarkTemplates | None = None,
    ) -> None:
        """descriptors_lC, directions_l3: of any length, or int8 as `tensors` gives them."""
        self.templates = templates
        self.points_l3 = points_l3.float()
        self._descriptors_lC = _int8(descriptors_lC)
        self._directions_l3 = _int8(directions_l3)
        self.descriptors_lC = functional.normalize(self._descriptors_lC.float(), dim=1)
        self.directions_l3 = functional.normalize(self._directions_l3.float(), dim=1)

    @cached_property
    def _points_3l(self) -> torch.Tensor:
        return self.points_l3.T.contiguous()

    @cached_property
    def coarse_lC(self) -> torch.Tensor:
        """The descriptors in bfloat16 where that is faster, to see what may match: cosines of
        theirs are off by up to COARSE.
        """
        if has_bfloat16(self.points_l3.device):
            return self.descriptors_lC.bfloat16()
        return self.descriptors_lC

    @staticmethod
    def from_tensors(tensors: dict[str, torch.Tensor], channels: int) -> Landmarks:
        """What `tensors` gave.

        tensors: as it names them.
        channels: C of a descriptor.

        Raises ValueError, or TypeError for other names, where they are no landmarks.
        """
        vectors = {name: value for name, value in tensors.items() if name not in _TEMPLATES}
        if any(tensor.dim() != 2 for tensor in vectors.values()):
            raise ValueError("its landmarks are no lists of vectors")
        pictures = [tensors[name] for name in _TEMPLATES if name in tensors]
        landmarks = Landmarks(
            **vectors, templates=LandmarkTemplates(*pictures) if pictures else None
        )
        count = len(landmarks)
        if (
            landmarks.points_l3.shape != (count, 3)
            or landmarks.descriptors_lC.shape != (count, channels)
            or landmarks.directions_l3.shape != (count, 3)
            or len(landmarks.templates or ()) > count
        ):
            raise ValueError("its landmarks do not fit together")
        return landmarks

    def __len__(self) -> int:
        return len(self.points_l3)

    def tensors(self) -> dict[str, torch.Tensor]:
        """For the map file."""
        tensors = self._vectors()
        if self.templates is not None:
            pictures = self.templates.packed_tb, self.templates.metres_by_px_t
            tensors.update(zip(_TEMPLATES, pictures, strict=True))
        return tensors

    def _vectors(self) -> dict[str, torch.Tensor]:
        return {
            "points_l3": self.points_l3,
            "descriptors_lC": self._descriptors_lC,
            "directions_l3": self._directions_l3,
        }

    def to(self, device: torch.device) -> Landmarks:
        """The same landmarks on a device; these themselves, where they are there already."""
        if self.points_l3.device == device:
            return self
        moved = {name: tensor.to(device) for name, tensor in self._vectors().items()}
        return Landmarks(**moved, templates=self.templates)

    def in_view(
        self, map_from_camera: Pose, camera: Camera, margin_px: float, most_oblique_deg: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(index (m,), pixels (m, 2)) of those that a camera at this pose would see.

        map_from_camera: from the map's origin, metres.
        camera: a pinhole.
        margin_px: how far outside the image still counts.
        most_oblique_deg: from where the mapping cameras saw it to where this one does.
        """
        device = self.points_l3.device
        rotation_33 = torch.from_numpy(map_from_camera.rotation_33).float().to(device)
        centre_3 = torch.from_numpy(map_from_camera.translation_3).float().to(device)
        # row by row: an innermost axis of two or three numbers takes several times as long
        right_l, down_l, depth_l = rotation_33.T @ (self._points_3l - centre_3[:, None])
        per_depth_l = 1.0 / depth_l.clamp(min=_NEAREST_M)
        u_l = right_l * per_depth_l * camera.fx_px + camera.cx_px
        v_l = down_l * per_depth_l * camera.fy_px + camera.cy_px
        inside_l = depth_l > _NEAREST_M
        for at_l, size_px in ((u_l, camera.width_px), (v_l, camera.height_px)):
            inside_l &= (at_l > -margin_px) & (at_l < size_px + margin_px)
        (index_m,) = torch.nonzero(inside_l, as_tuple=True)
        to_point_m3 = self.points_l3[index_m] - centre_3
        away_m3 = functional.normalize(to_point_m3, dim=1)
        facing_m = -(away_m3 * self.directions_l3[index_m]).sum(dim=1)
        index_m = index_m[facing_m > math.cos(math.radians(most_oblique_deg))]
        return index_m, torch.stack([u_l[index_m], v_l[index_m]], dim=1)


def _int8(vectors_nC: torch.Tensor) -> torch.Tensor:
    """Each vector by its largest number, which becomes 127: lengths do not matter here."""
    if vectors_nC.dtype == torch.int8:
        return vectors_nC
    largest_n1 = vectors_nC.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
    return (vectors_nC / largest_n1 * 127.0).round().to(torch.int8)
