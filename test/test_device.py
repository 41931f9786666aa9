"""In which precision a robot's networks compute: the same on a machine each time."""

from pathlib import Path

import pytest
import torch

from glace_ros import device

X86 = "processor\t: 0\nflags\t\t: fpu sse4_2 avx2 avx512f {}\nbugs\t\t: spectre_v1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {} sve\nCPU part\t: 0xd49\n"


@pytest.mark.parametrize(
    ("described", "half"),
    [
        (X86.format("avx512_bf16"), True),
        (X86.format("amx_bf16 amx_tile"), True),
        (X86.format("avx512_fp16"), False),
        (ARM.format("bf16"), True),
        (ARM.format("svebf16"), False),
        ("", False),
    ],
)
def test_bfloat16_is_for_cpus_that_have_it(tmp_path, monkeypatch, described, half):
    file = tmp_path / "cpuinfo"
    file.write_text(described)
    monkeypatch.setattr(device, "_CPU_DESCRIPTION", file)
    assert device.has_bfloat16(torch.device("cpu")) == half
    assert not device.has_bfloat16(torch.device("cuda"))


def test_an_unknown_cpu_computes_in_float32(monkeypatch):
    monkeypatch.setattr(device, "_CPU_DESCRIPTION", Path("/nonexistent/cpuinfo"))
    assert not device.has_bfloat16(torch.device("cpu"))
