"""Pose check: what images say of poses, as they are, and of the camera."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import torch

from glace_ros.mapping.pose_refinement.intrinsics import IntrinsicsEstimate
from glace_ros.mapping.pose_refinement.pose_consistency import PoseConsistency


class PoseCheck(NamedTuple):
    """Whether poses fit the images, and the camera by these poses."""

    consistency: PoseConsistency
    intrinsics: IntrinsicsEstimate

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a file of unfinished work."""
        text = bytearray(json.dumps(self.consistency._asdict()).encode())
        return {
            "consistency": torch.frombuffer(text, dtype=torch.uint8),
            "intrinsics": torch.from_numpy(np.hstack(self.intrinsics)),
        }

    @staticmethod
    def of(tensors: dict[str, torch.Tensor]) -> PoseCheck:
        """What `tensors` gave; others among them are passed over."""
        intrinsics = tensors["intrinsics"].numpy()
        values_4, sigmas_4, border_4 = np.split(intrinsics[:12], 3)
        return PoseCheck(
            PoseConsistency(**json.loads(tensors["consistency"].numpy().tobytes())),
            IntrinsicsEstimate(values_4, sigmas_4, border_4, *intrinsics[12:].tolist()),
        )
