"""Map files taken apart, changed and put together again."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from support.core_scenes import unit_rows

from glace_ros.errors import MapFileError
from glace_ros.maps.map_file import checksum
from glace_ros.maps.scene_map import SceneMap


def descriptors(count: int = 50) -> torch.Tensor:
    return torch.from_numpy(unit_rows(np.random.default_rng(0), count, 64)).float()


def refused_bytes(tmp_path, data: bytes) -> str:
    path = tmp_path / "bad.glace"
    path.write_bytes(data)
    return refusal(path)


def taken_apart(data: bytes) -> tuple[dict, dict[str, torch.Tensor]]:
    """(our header, tensors) of a map file."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["glace"]), load_tensors(data)


def resigned(header: dict, tensors: dict[str, torch.Tensor]) -> bytes:
    """A file whose checksum is right although its content is not."""
    header = {k: v for k, v in header.items() if k != "sha256"}
    return put_together({**header, "sha256": checksum(header, tensors)}, tensors)


def refusal(path) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(MapFileError) as caught:
        SceneMap.load(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(path) in sentence
    assert caught.value.exit_code == 4
    return sentence


def put_together(header, tensors) -> bytes:
    return save_tensors(tensors, metadata={"glace": json.dumps(header)})
