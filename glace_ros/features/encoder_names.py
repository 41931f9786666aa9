"""The grammar of encoder names."""

from __future__ import annotations

import re
from pathlib import Path

from glace_ros.errors import WeightsError

_ACE = ("ace", ":")


def check_name(name: str) -> None:
    """Raises WeightsError for a name that no local encoder has."""
    first, *others = (part.partition(":")[:2] for part in encoder_parts(name))
    corners = first in (("xfeat", ""), ("aliked", ""), ("superpoint", ":"))
    if [first, *others] != [_ACE] and not (corners and others in ([], [_ACE])):
        raise WeightsError(
            f"the local encoder '{name}' is unknown; there are: xfeat, aliked, superpoint:FILE, "
            "ace:FILE, and one of the first three with +ace:FILE"
        )


def finds_keypoints(name: str) -> bool:
    """Whether its patches have descriptors of corners alone, which landmarks need."""
    return not encoder_parts(name)[-1].startswith("ace:")


_WITH_FILE = {  # and what their files are called where they are published
    "ace": "ace_encoder_pretrained.pt",
    "superpoint": "superpoint_v1.pth",
    "r2former": "CVPR23_DeitS_Rerank.pth",
}


def encoder_parts(name: str) -> list[str]:
    """The names of the encoders that are used together: of two, or the one itself."""
    return re.split(r"\+(?=(?:ace|r2former):)", name, maxsplit=1)


def named_file(name: str) -> Path | None:
    """FILE of "ENCODER:FILE"; None for an encoder that needs none."""
    kind, colon, file = name.partition(":")
    return Path(file).expanduser() if colon and kind in _WITH_FILE else None


def without_folder(name: str) -> str:
    """ "ENCODER:FILE" as a map file has it: the file's own name alone."""

    def bare(part: str) -> str:
        file = named_file(part)
        return part if file is None else f"{part.partition(':')[0]}:{file.name}"

    return "+".join(map(bare, encoder_parts(name)))


def r2former_part(global_encoder: str) -> str | None:
    """ "r2former:FILE" of "r2former:FILE" or "kmeans:K+r2former:FILE", None of other names."""
    part = encoder_parts(global_encoder)[-1]
    return part if part.startswith("r2former:") else None
