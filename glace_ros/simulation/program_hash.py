"""Which version of the simulation drew something."""

from __future__ import annotations

import hashlib
from pathlib import Path


def program_hash() -> str:
    """Of the simulation's source: what another version recorded is not reused."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
