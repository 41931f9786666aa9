"""What a local encoder gives of an image, and what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

if TYPE_CHECKING:
    import numpy as np


class LocalFeatures(NamedTuple):
    """Local features of one image, best first, or in the order sampled."""

    descriptors_nC: torch.Tensor
    """float32, unit norm where the encoder says so."""
    pixels_n2: torch.Tensor
    """float32 (u, v) in the encoded image, from the first pixel's centre."""
    scores_n: torch.Tensor
    """float32, how likely it is found again; XFeat: detection probability x reliability."""

    def head(self, count: int) -> LocalFeatures:
        """The first `count` of them."""
        return LocalFeatures(*(tensor[:count] for tensor in self))

    def sampled(self, count: int, rng: np.random.Generator) -> LocalFeatures:
        """At most `count` of them, one after the other, each with a probability proportional to
        its score among those that are left (Efraimidis and Spirakis 2006); none with a score of 0.

        count: of features, at most. The first n of them are a sample of n.
        rng: gives one exponential number for each feature.
        """
        race_n = torch.from_numpy(rng.exponential(size=len(self.scores_n)))
        order_n = (race_n / self.scores_n.cpu().double()).argsort()  # 0: never arrives
        count = min(count, int(self.scores_n.count_nonzero()))
        first_n = order_n[:count].to(self.scores_n.device)
        return LocalFeatures(*(tensor[first_n] for tensor in self))


class LocalEncoder(Protocol):
    """What mapping and localization need of an encoder."""

    name: str
    """As on the command line: the text of a LocalEncoderName."""
    channels: int
    """C, length of a descriptor."""
    stride_px: int
    """Side of a cell, of which there is one feature at most."""
    size_multiple_px: int
    """Of the sides of the images that it takes."""
    enlarges: bool
    """Images smaller than the working size, as it has learned from images of that size."""
    unit_norm: bool
    """Of the descriptors, so that their products are similarities."""
    finds_keypoints: bool
    """A feature lies on what can be found again from elsewhere, and may be triangulated; else on
    a grid.
    """
    weights_hash: str
    """SHA-256 of its weights, in hex digits."""
    device: torch.device
    """Where it computes, and where its features are."""

    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """The local features of an image.

        grey_11HW: float32 in [0, 1], sides a multiple of size_multiple_px.
        count: of features, at most.
        valid_HW: bool; there are none at False pixels.
        """
