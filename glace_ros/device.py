"""Where torch computes, and in which precision."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from glace_ros.errors import GlaceError

_CPU_DESCRIPTION = Path("/proc/cpuinfo")
"""Of Linux, x86-64 and aarch64 alike."""


def choose_device(name: str) -> torch.device:
    """auto (CUDA where there is a GPU), cpu, cuda or cuda:N. Of several processes that torchrun
    started on a machine, each gets its own GPU. Raises GlaceError for a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise GlaceError(f"there is no device '{name}': use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise GlaceError(f"the device '{name}' was asked for, but torch finds no CUDA GPU: use cpu")
    return device


def still_computes(device: torch.device) -> bool:
    """After an exception: whether later calls can succeed. An illegal access or a failed assertion
    in a kernel breaks the CUDA context of the process, and every call fails from then on; a full
    memory does not.
    """
    if device.type != "cuda":
        return True
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True


def faster_dtype(device: torch.device, width: int, rows: int = 2048) -> torch.dtype:
    """bfloat16 where a layer of this width is faster in it, else float32.

    Tried rather than looked up: CPUs with AVX512-BF16 or AMX are several times faster in
    bfloat16, others emulate it and are slower.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    seconds = {
        dtype: _matmul_seconds(dtype, width, rows) for dtype in (torch.float32, torch.bfloat16)
    }
    return (
        torch.bfloat16 if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else torch.float32
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether a robot's networks are to compute in bfloat16: on CPUs with instructions for it. On
    the office neither poses nor landmarks found changed by it
    (docs/experiments/2026-11-28-faster-query.md); not tried on a GPU, which keeps to float32.
    """
    # looked up, not tried as in training: two runs on one machine are to give the same poses
    if device.type != "cpu":
        return False
    try:
        described = _CPU_DESCRIPTION.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(described.split())


def _matmul_seconds(dtype: torch.dtype, width: int, rows: int) -> float:
    left, right = torch.randn(rows, width).to(dtype), torch.randn(width, width).to(dtype)
    left @ right  # the first call sets up its kernel
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return best
