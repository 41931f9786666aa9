"""Keypoints of an image, by how likely each pixel is one, and the descriptors there.

All encoders that find keypoints share this: XFeat, SuperPoint and ALIKED.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn import functional


def likeliest_keypoints(
    score_HW: torch.Tensor,
    count: int,
    cell_px: int,
    nms_px: int,
    border_px: int = 0,
    valid_HW: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """At most `count` pixels (n, 2) as (u, v), and their scores (n,), the likeliest first.

    score_HW: how likely a pixel is a keypoint, 0 = not at all; sides a multiple of cell_px.
    count: of keypoints, at most.
    cell_px: side of a cell, which gives one at most: it has one descriptor's worth of content.
    nms_px: those closer than this to a likelier one are dropped;
    border_px: and those so near to the edge;
    valid_HW: bool, and those where it is False.
    """
    if valid_HW is not None:
        score_HW = score_HW * valid_HW
    if border_px:
        inner_HW = score_HW[border_px:-border_px, border_px:-border_px]
        score_HW = functional.pad(inner_HW, [border_px] * 4)
    peak_HW = highest_within(score_HW, nms_px)
    maxima_HW = torch.where(score_HW == peak_HW, score_HW, 0.0)
    best_hw, where_hw = functional.max_pool2d(maxima_HW[None, None], cell_px, return_indices=True)
    scores_n, order_n = best_hw.flatten().topk(min(count, best_hw.numel()))
    keep_n = scores_n > 0
    index_n = where_hw.flatten()[order_n][keep_n]
    width = score_HW.shape[1]
    pixels_n2 = torch.stack([index_n % width, index_n // width], dim=1).float()
    return pixels_n2, scores_n[keep_n]


def highest_within(score_HW: torch.Tensor, radius_px: int) -> torch.Tensor:
    """The highest score (H, W) in the square of so many pixels about each.

    score_HW: not negative.
    radius_px: 0 = the pixel itself.
    """
    side_px = 2 * radius_px + 1
    if not score_HW.is_cpu:
        return functional.max_pool2d(score_HW[None, None], side_px, 1, radius_px)[0, 0]
    # where it is, that takes 20 times as long
    return torch.from_numpy(cv2.dilate(score_HW.numpy(), np.ones((side_px, side_px), np.uint8)))


def unfold_cells(per_pixel_1khw: torch.Tensor, cell_px: int) -> torch.Tensor:
    """How likely each pixel (H, W) is its cell's keypoint: the detector head of SuperPoint, which
    XFeat has too.

    per_pixel_1khw: logits of each cell's pixels and of "none of them", k = cell_px^2 + 1.
    cell_px: side of a cell.
    """
    logits_hwk = per_pixel_1khw[0].permute(1, 2, 0)
    likely_hwk = functional.softmax(logits_hwk, dim=2, dtype=torch.float32)[:, :, :-1]
    height, width, _ = likely_hwk.shape
    # what pixel_shuffle does, out of channels that are last
    likely_hcwc = likely_hwk.reshape(height, width, cell_px, cell_px).transpose(1, 2)
    return likely_hcwc.reshape(height * cell_px, width * cell_px)


def descriptors_at(dense_1chw: torch.Tensor, pixels_n2: torch.Tensor, cell_px: int) -> torch.Tensor:
    """Descriptors (n, C) at pixels, bicubic between the cells' centres, unit norm.

    dense_1chw: one descriptor for each cell.
    pixels_n2: (u, v) in the image, from the first pixel's centre.
    cell_px: side of a cell.
    """
    read_nC = read_at(dense_1chw, pixels_n2, cell_px, mode="bicubic").contiguous()
    return functional.normalize(read_nC, dim=1)


def read_at(
    map_1chw: torch.Tensor,
    pixels_n2: torch.Tensor,
    cell_px: int = 1,
    mode: str = "bilinear",
    outside: str = "zeros",
) -> torch.Tensor:
    """What a map says (n, c) at fractional pixels of the image.

    map_1chw: a column of numbers for each cell of the image.
    pixels_n2: (u, v) in the image, from the first pixel's centre.
    cell_px: side of a cell.
    mode: between the cells' centres, as grid_sample's mode.
    outside: off the map, as grid_sample's padding_mode.
    """
    height, width = map_1chw.shape[2:]
    size_2 = torch.tensor([width, height], device=pixels_n2.device) * cell_px
    grid_11n2 = (2.0 * (pixels_n2 + 0.5) / size_2 - 1.0)[None, None]
    read_1c1n = functional.grid_sample(map_1chw, grid_11n2, mode, outside, align_corners=False)
    return read_1c1n[0, :, 0].T
