"""Template alignment: where in an image a small picture of a landmark lies, to a tenth of a pixel.

Lucas and Kanade (IJCAI 1981), in the inverse form of Baker and Matthews (International Journal of
Computer Vision 56, 2004): the gradients are those of the template, so that they are made once.
Brightness and contrast may differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPLATE_PX = 12
"""Side of a template."""
_WINDOW_PX = 8
"""Side of what is compared, in pixels of the image."""
_ITERATIONS = 8
_STILL_PX = 0.03
"""A template that moves by less has arrived."""
_LEAST_SEEN = 0.6
"""Ratio of the window that the template must show: from farther away it shows less."""
_LEAST_CURVATURE = 400.0
"""Of the smaller eigenvalue of the sum of the gradients' squares, in grey levels by pixel: about
2.5 a pixel, below which noise alone moves a template."""
_MOST_STEP_PX = 1.0


class Aligned(NamedTuple):
    """Of each template.

    pixels_n2: where its centre lies.
    likeness_n: normalised cross-correlation there, -1 to 1; -1 where it did not arrive.
    """

    pixels_n2: NDArray[np.float64]
    likeness_n: NDArray[np.float64]


def align_templates(
    grey_hw: NDArray[np.float32],
    templates_ntt: NDArray[np.float32],
    image_from_template_n22: NDArray[np.float64],
    pixels_n2: NDArray[np.float64],
) -> Aligned:
    """Moves templates to where the image looks most like them.

    grey_hw: the image.
    templates_ntt: (n, 12, 12), any brightness.
    image_from_template_n22: pixels of the image by pixels of the template.
    pixels_n2: where each centre is thought to be.
    """
    count = len(pixels_n2)
    if not count:
        return Aligned(pixels_n2.astype(np.float64), np.empty(0))
    grid_m2 = _grid(_WINDOW_PX)
    window_nk, gradient_nk2, seen_nk = _windows(templates_ntt, image_from_template_n22)
    weight_nk = seen_nk / np.maximum(seen_nk.sum(axis=1, keepdims=True), 1.0)
    template_nk, length_n1 = _normalised(window_nk, weight_nk, seen_nk)
    # what brightness and contrast explain of a move tells nothing of it
    gradient_nk2 = gradient_nk2 - (weight_nk[..., None] * gradient_nk2).sum(axis=1)[:, None]
    gradient_nk2 *= seen_nk[..., None]
    along_n2 = np.einsum("nk,nkc->nc", template_nk, gradient_nk2)
    gradient_nk2 -= template_nk[..., None] * along_n2[:, None]
    curvature_n22 = np.einsum("nki,nkj->nij", gradient_nk2, gradient_nk2)
    half_n = 0.5 * (curvature_n22[:, 0, 0] + curvature_n22[:, 1, 1])
    apart_n = 0.5 * (curvature_n22[:, 0, 0] - curvature_n22[:, 1, 1])
    least_n = half_n - np.hypot(apart_n, curvature_n22[:, 0, 1])
    usable_n = (least_n > _LEAST_CURVATURE) & (seen_nk.mean(axis=1) >= _LEAST_SEEN)
    steps_n2k = np.zeros((count, 2, seen_nk.shape[1]), np.float32)
    steps_n2k[usable_n] = np.linalg.solve(
        curvature_n22[usable_n], gradient_nk2[usable_n].transpose(0, 2, 1)
    )
    found_n2 = pixels_n2.astype(np.float32)
    likeness_n = np.full(count, -1.0)
    (going,) = np.nonzero(usable_n)
    for _ in range(_ITERATIONS):
        if not len(going):
            break
        image_mk = _sampled(grey_hw, found_n2[going, None] + grid_m2)
        image_mk, _ = _normalised(image_mk, weight_nk[going], seen_nk[going])
        off_mk = (image_mk - template_nk[going]) * length_n1[going]
        step_m2 = np.einsum("mck,mk->mc", steps_n2k[going], off_mk)
        found_n2[going] -= np.clip(step_m2, -_MOST_STEP_PX, _MOST_STEP_PX)
        still_m = np.abs(step_m2).max(axis=1) < _STILL_PX
        likeness_n[going[still_m]] = (image_mk * template_nk[going])[still_m].sum(axis=1)
        going = going[~still_m]
    return Aligned(found_n2.astype(np.float64), likeness_n)


def cut_templates(
    grey_hw: NDArray[np.float32],
    pixels_n2: NDArray[np.float64],
    image_from_template_n22: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Templates (n, 12, 12) of what the image shows about pixels."""
    offsets_nm2 = np.einsum("nij,mj->nmi", image_from_template_n22, _grid(TEMPLATE_PX))
    cut_nm = _sampled(grey_hw, (pixels_n2[:, None] + offsets_nm2).astype(np.float32))
    return cut_nm.reshape(-1, TEMPLATE_PX, TEMPLATE_PX)


def _windows(
    templates_ntt: NDArray[np.float32], image_from_template_n22: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The templates as the image would show them: grey (n, k), gradients (n, k, 2) by pixel of the
    image, and 1 where the template reaches, else 0 (n, k).
    """
    count, side = len(templates_ntt), _WINDOW_PX + 2
    offsets_nm2 = np.einsum(
        "nij,mj->nmi", np.linalg.inv(image_from_template_n22), _grid(side)
    )  # fmt: skip
    middle = (TEMPLATE_PX - 1) / 2
    at_nm2 = np.clip(offsets_nm2 + middle, 0, TEMPLATE_PX - 1)
    seen_nss = (np.abs(offsets_nm2) <= middle).all(axis=2).reshape(count, side, side)
    at_nm2[..., 1] += TEMPLATE_PX * (np.arange(count) % _ATLAS)[:, None]
    shown_nss = np.empty((count, side, side), np.float32)
    for start in range(0, count, _ATLAS):
        part = slice(start, start + _ATLAS)
        atlas_hw = templates_ntt[part].reshape(-1, TEMPLATE_PX)
        shown_nss[part] = _sampled(atlas_hw, at_nm2[part].astype(np.float32)).reshape(
            -1, side, side
        )
    inside = slice(1, -1)
    across_nss = 0.5 * (shown_nss[:, inside, 2:] - shown_nss[:, inside, :-2])
    down_nss = 0.5 * (shown_nss[:, 2:, inside] - shown_nss[:, :-2, inside])
    known_nss = (
        seen_nss[:, inside, inside] & seen_nss[:, inside, 2:] & seen_nss[:, inside, :-2]
        & seen_nss[:, 2:, inside] & seen_nss[:, :-2, inside]
    )  # fmt: skip
    return (
        shown_nss[:, inside, inside].reshape(count, -1),
        np.stack([across_nss, down_nss], axis=-1).reshape(count, -1, 2),
        known_nss.reshape(count, -1).astype(np.float32),
    )


_ATLAS = 2000
"""Templates in one picture that is sampled: OpenCV takes no more than 32,767 rows."""


def _normalised(
    values_nk: NDArray[np.float32], weight_nk: NDArray[np.float32], seen_nk: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of mean 0 and length 1 where they are seen, and the length (n, 1) that they had."""
    mean_n1 = (values_nk * weight_nk).sum(axis=1, keepdims=True)
    values_nk = (values_nk - mean_n1) * seen_nk
    length_n1 = np.maximum(np.sqrt(np.square(values_nk).sum(axis=1, keepdims=True)), 1e-3)
    return values_nk / length_n1, length_n1


def _grid(side: int) -> NDArray[np.float32]:
    """Offsets (side * side, 2) from the middle of a square."""
    offsets = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    return np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)


def _sampled(grey_hw: NDArray[np.float32], pixels_nm2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Between the pixels, linearly; beyond the border as at it."""
    return np.asarray(
        cv2.remap(
            grey_hw, pixels_nm2[..., 0], pixels_nm2[..., 1], cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ), np.float32,
    )  # fmt: skip
