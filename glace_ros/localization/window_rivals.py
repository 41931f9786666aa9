"""Window rivals: which other places a window of images may as well be of as the best one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.maps.map_metadata import MapMetadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.localization.image_window import WindowImage
    from glace_ros.localization.image_window_config import WindowConfig
    from glace_ros.localization.window_places import Place, WindowPlaces


class WindowRivals:
    """Doubts places.

    places: says which are the same.
    config: how much agreement another place may have.
    metadata: of the map, which may ask for less.
    """

    def __init__(self, places: WindowPlaces, config: WindowConfig, metadata: MapMetadata) -> None:
        self._places, self._most_since = places, config.most_since
        asked, learned = config.most_second_best, metadata.window_rivals
        if learned is None:  # the map may have been in wrong rooms by single images
            scale = min(1.0, metadata.max_rival / MapMetadata.max_rival)
            learned = tuple(scale * ratio for ratio in asked)
        self._most_second_best = [
            min(_of_images(asked, images), _of_images(learned, images))
            for images in range(1, max(len(asked), len(learned)) + 1)
        ]

    def tells(self, second_best: float, images: int) -> bool:
        """Whether the second-best place has too little agreement to be it.

        second_best: its agreement as a ratio of the best one's.
        images: that support the best one.
        """
        return second_best <= _of_images(self._most_second_best, images)

    def of(
        self, best: Place, places: Sequence[Place], images: Sequence[WindowImage]
    ) -> tuple[float, list[Place]]:
        """Agreement of the second-best place as a ratio of the best one's, and the places that the
        images may as well be of.

        best: supported by some of the images.
        places: all that were looked at.
        images: of the window, the newest last.
        """
        others = [
            each
            for each in places
            if each is not best
            and not self._places.are_same(each.map_from_base, best.map_from_base)
        ]
        ratios = [each.agreement / best.agreement for each in others]
        near = [
            each
            for each, ratio in zip(others, ratios, strict=True)
            if not self.tells(ratio, len(best.supports)) or self._leads_since(each, best, images)
        ]
        return max(ratios, default=0.0), near

    def _leads_since(self, place: Place, best: Place, images: Sequence[WindowImage]) -> bool:
        """Whether the newest images, however few, say that place: odometry notices nothing where a
        robot is carried to the same spot of a room that looks alike.
        """
        newest_first = images[:0:-1]
        there_k, here_k = (np.cumsum(each.agreements(newest_first)) for each in (place, best))
        return bool((there_k > self._most_since * here_k).any())


def _of_images(ratios: Sequence[float], images: int) -> float:
    """That of so many images, where the last one is of more."""
    return ratios[min(images, len(ratios)) - 1]
