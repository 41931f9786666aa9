"""How often each image is encoded where passes over the recording fill the buffer (paper)."""

from __future__ import annotations

import math
from typing import NamedTuple


class BufferPasses(NamedTuple):
    """Passes over the images of a recording, the last one evenly spread over them.

    images: how many there are.
    encodings: how many times they are taken in all.
    """

    images: int
    encodings: int

    @property
    def most(self) -> int:
        """How many times an image is taken at most."""
        return max(1, math.ceil(self.encodings / max(1, self.images)))

    def of(self, image: int) -> int:
        """How many times this image is taken: once at least."""
        behind, before = ((image + i) * self.encodings // max(1, self.images) for i in (1, 0))
        return max(1, behind - before)
