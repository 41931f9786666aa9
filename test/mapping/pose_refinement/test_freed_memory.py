"""Freed memory goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import os
from glace_ros.mapping.pose_refinement.freed_memory import give_back

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

pieces = [(bytearray(b"x" * 50_000), bytearray(b"x" * 600)) for _ in range(4000)]
stay = [small for _, small in pieces]
del pieces
before_mb = resident_mb()
give_back()
print(before_mb - resident_mb(), sum(map(len, stay)))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc's allocator")
def test_what_lies_below_memory_in_use_goes_back():
    """Of 200 MB in pieces of 50 kB each has a small one behind it that stays. In a process of its
    own: the small ones could lie in gaps that other tests have left.
    """
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    gone_mb, staying = run.stdout.split()
    assert float(gone_mb) > 100
    assert int(staying) == 4000 * 600
