"""What a local encoder gives of an image, and what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

if TYPE_CHECKING:
    import numpy as np


class LocalFeatures(NamedTuple):
    """Patches of one image, best first, or in the order drawn.

    descriptors_nC: float32, unit norm where the encoder says so. pixels_n2: float32 (u, v) in the
    encoded image, origin at the centre of the first pixel. scores_n: float32, how likely a patch
    is found again; XFeat: detection probability x reliability.
    """

    descriptors_nC: torch.Tensor
    pixels_n2: torch.Tensor
    scores_n: torch.Tensor

    def head(self, count: int) -> LocalFeatures:
        """The first `count` of them."""
        return LocalFeatures(*(tensor[:count] for tensor in self))

    def sampled(self, count: int, rng: np.random.Generator) -> LocalFeatures:
        """At most `count` of them, one after the other, each with a probability proportional to
        its score among those that are left (Efraimidis and Spirakis 2006); none with a score of 0.

        In the order drawn: of a draw, the first n are a draw of n.
        """
        race_n = torch.from_numpy(rng.exponential(size=len(self.scores_n)))
        order_n = (race_n / self.scores_n.cpu().double()).argsort()  # 0: never arrives
        count = min(count, int(self.scores_n.count_nonzero()))
        first_n = order_n[:count].to(self.scores_n.device)
        return LocalFeatures(*(tensor[first_n] for tensor in self))


class LocalEncoder(Protocol):
    """What mapping and localization need of an encoder.

    name: as on the command line. weights_hash: hex SHA-256. size_multiple_px: of the images that
    it takes. enlarges: images smaller than the working size, as it has learned from images of that
    size. unit_norm: of the descriptors, so that their products say how alike they are.
    finds_corners: a patch lies on what can be found again from elsewhere, and may be triangulated;
    else on a grid.
    """

    name: str
    channels: int
    stride_px: int
    size_multiple_px: int
    enlarges: bool
    unit_norm: bool
    finds_keypoints: bool
    weights_hash: str
    device: torch.device

    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """At most `count` patches of a (1, 1, H, W) image in [0, 1], none where valid_HW is
        False.
        """
