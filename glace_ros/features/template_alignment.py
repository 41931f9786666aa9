"""Template alignment: where in an image a small picture of a landmark lies, to a tenth of a pixel.

Lucas and Kanade (IJCAI 1981), in the inverse form of Baker and Matthews (International Journal of
Computer Vision 56, 2004): the gradients are those of the template, so that they are made once.
Brightness and contrast may differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
_ATLAS = 2000
"""Templates in one picture that is sampled: OpenCV takes no more than 32,767 rows."""


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
    found_n2, likeness_n = pixels_n2.astype(np.float32), np.full(count, -1.0)
    shown_nk, seen_nk = _shown(templates_ntt, image_from_template_n22)
    (going,) = np.nonzero(seen_nk.mean(axis=1) >= _LEAST_SEEN)
    window = _Windows.of(shown_nk[going], seen_nk[going])
    firm_m = window.least_curvature_m > _LEAST_CURVATURE
    going, window = going[firm_m], window.only(firm_m)
    across_k, down_k = _grid(_WINDOW_PX)
    for _ in range(_ITERATIONS):
        if not len(going):
            break
        at_2m1 = found_n2[going].T[:, :, None]
        image_mk = _sampled(grey_hw, at_2m1[0] + across_k, at_2m1[1] + down_k)
        likeness_m, step_m2 = window.compared(image_mk)
        found_n2[going] -= np.clip(step_m2, -_MOST_STEP_PX, _MOST_STEP_PX)
        still_m = np.abs(step_m2).max(axis=1) < _STILL_PX
        likeness_n[going[still_m]] = likeness_m[still_m]
        going, window = going[~still_m], window.only(~still_m)
    return Aligned(found_n2.astype(np.float64), likeness_n)


def cut_templates(
    grey_hw: NDArray[np.float32],
    pixels_n2: NDArray[np.float64],
    image_from_template_n22: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Templates (n, 12, 12) of what the image shows about pixels."""
    across_nm, down_nm = _turned(image_from_template_n22, TEMPLATE_PX)
    at_2n1 = pixels_n2.astype(np.float32).T[:, :, None]
    cut_nm = _sampled(grey_hw, at_2n1[0] + across_nm, at_2n1[1] + down_nm)
    return cut_nm.reshape(-1, TEMPLATE_PX, TEMPLATE_PX)


class _Windows(NamedTuple):
    """What of each template is compared with the image. All arrays are float32.

    seen_mk: 1 where the template reaches, else 0.
    weight_mk: the same, its sum 1.
    template_mk: of mean 0 and length 1, 0 where the template does not reach.
    across_mk, down_mk: a step in pixels by a difference of template_mk.
    least_curvature_m: the smaller eigenvalue of what the steps are solved from.
    """

    seen_mk: NDArray[np.float32]
    weight_mk: NDArray[np.float32]
    template_mk: NDArray[np.float32]
    across_mk: NDArray[np.float32]
    down_mk: NDArray[np.float32]
    least_curvature_m: NDArray[np.float32]

    @staticmethod
    def of(shown_mk: NDArray[np.float32], seen_mk: NDArray[np.float32]) -> _Windows:
        """shown_mk: the templates as the image would show them, a pixel beyond the window on all
        sides; seen_mk: which of the window's pixels and their neighbours the templates show.
        """
        count, side, inside = len(shown_mk), _WINDOW_PX + 2, slice(1, -1)
        shown_mss = shown_mk.reshape(count, side, side)
        across_mk = 0.5 * (shown_mss[:, inside, 2:] - shown_mss[:, inside, :-2])
        down_mk = 0.5 * (shown_mss[:, 2:, inside] - shown_mss[:, :-2, inside])
        weight_mk = seen_mk / np.maximum(seen_mk.sum(axis=1, keepdims=True), 1.0)
        window_mk = shown_mss[:, inside, inside].reshape(count, _WINDOW_PX**2)
        template_mk, length_m1 = _normalised(window_mk, weight_mk, seen_mk)
        moves = [
            _unexplained(gradient_mk.reshape(count, _WINDOW_PX**2), template_mk, weight_mk, seen_mk)
            for gradient_mk in (across_mk, down_mk)
        ]
        # the smaller eigenvalue, and the inverse, of two by two numbers
        xx_m, xy_m, yy_m = (
            np.einsum("mk,mk->m", moves[i], moves[j])[:, None] for i, j in ((0, 0), (0, 1), (1, 1))
        )
        least_m1 = 0.5 * (xx_m + yy_m) - np.hypot(0.5 * (xx_m - yy_m), xy_m)
        scale_m1 = length_m1 / np.maximum(xx_m * yy_m - xy_m * xy_m, 1e-6)
        return _Windows(
            seen_mk, weight_mk, template_mk,
            scale_m1 * (yy_m * moves[0] - xy_m * moves[1]),
            scale_m1 * (xx_m * moves[1] - xy_m * moves[0]),
            least_m1[:, 0],
        )  # fmt: skip

    def only(self, keep_m: NDArray[np.bool_]) -> _Windows:
        """Some of them."""
        return self if keep_m.all() else _Windows(*(array[keep_m] for array in self))

    def compared(
        self, image_mk: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """How alike each template and what the image shows are (m,), and by how far the window is
        off (m, 2).
        """
        image_mk, _ = _normalised(image_mk, self.weight_mk, self.seen_mk)
        likeness_m = np.einsum("mk,mk->m", image_mk, self.template_mk)
        off_mk = image_mk - self.template_mk
        step_m2 = np.stack(
            [np.einsum("mk,mk->m", by, off_mk) for by in (self.across_mk, self.down_mk)], axis=1
        )
        return likeness_m, step_m2


def _shown(
    templates_ntt: NDArray[np.float32], image_from_template_n22: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The templates as the image would show them: grey (n, 100), the window and a pixel around it;
    and for each pixel of the window (n, 64) 1 where the template reaches it and its neighbours.
    """
    count, side = len(templates_ntt), _WINDOW_PX + 2
    middle = np.float32((TEMPLATE_PX - 1) / 2)
    at_nm = _turned(np.linalg.inv(image_from_template_n22), side)
    seen_nm = (np.abs(at_nm[0]) <= middle) & (np.abs(at_nm[1]) <= middle)
    seen_nss = seen_nm.reshape(count, side, side)
    across_nm, down_nm = (np.clip(each_nm + middle, 0, TEMPLATE_PX - 1) for each_nm in at_nm)
    shown_nm = np.empty((count, side * side), np.float32)
    down_nm += np.float32(TEMPLATE_PX) * (np.arange(count, dtype=np.float32) % _ATLAS)[:, None]
    for start in range(0, count, _ATLAS):
        part = slice(start, start + _ATLAS)
        atlas_hw = templates_ntt[part].reshape(-1, TEMPLATE_PX)
        shown_nm[part] = _sampled(atlas_hw, across_nm[part], down_nm[part])
    inside = slice(1, -1)
    known_nss = (
        seen_nss[:, inside, 2:] & seen_nss[:, inside, :-2]
        & seen_nss[:, 2:, inside] & seen_nss[:, :-2, inside]
    )  # fmt: skip
    return shown_nm, known_nss.reshape(count, _WINDOW_PX**2).astype(np.float32)


def _unexplained(
    gradient_mk: NDArray[np.float32],
    template_mk: NDArray[np.float32],
    weight_mk: NDArray[np.float32],
    seen_mk: NDArray[np.float32],
) -> NDArray[np.float32]:
    """What of a move brightness and contrast do not explain: that tells nothing of it."""
    mean_m1 = np.einsum("mk,mk->m", weight_mk, gradient_mk)[:, None]
    gradient_mk = (gradient_mk - mean_m1) * seen_mk
    along_m1 = np.einsum("mk,mk->m", template_mk, gradient_mk)[:, None]
    return np.asarray(gradient_mk - along_m1 * template_mk)


def _normalised(
    values_mk: NDArray[np.float32], weight_mk: NDArray[np.float32], seen_mk: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of mean 0 and length 1 where they are seen, and the length (m, 1) that they had."""
    mean_m1 = np.einsum("mk,mk->m", values_mk, weight_mk)[:, None]
    values_mk = (values_mk - mean_m1) * seen_mk
    squares_m1 = np.einsum("mk,mk->m", values_mk, values_mk)[:, None]
    length_m1 = np.maximum(np.sqrt(squares_m1), np.float32(1e-3))
    return values_mk / length_m1, length_m1


def _grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Offsets (side * side,) across and down from the middle of a square, row by row."""
    # not in one array: an innermost axis of two numbers takes NumPy several times as long
    offsets = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    return np.tile(offsets, side), np.repeat(offsets, side)


def _turned(
    to_from_n22: NDArray[np.floating[Any]], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same, each by its own matrix (n, side * side)."""
    across_k, down_k = _grid(side)
    by_22n1 = to_from_n22.astype(np.float32).transpose(1, 2, 0)[..., None]
    return (
        by_22n1[0, 0] * across_k + by_22n1[0, 1] * down_k,
        by_22n1[1, 0] * across_k + by_22n1[1, 1] * down_k,
    )


def _sampled(
    grey_hw: NDArray[np.float32], across_nm: NDArray[np.float32], down_nm: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Between the pixels, linearly; beyond the border as at it."""
    return np.asarray(
        cv2.remap(
            grey_hw, across_nm, down_nm, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ), np.float32,
    )  # fmt: skip
