"""The example of README.md, to be run as a reader would."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def python_example() -> str:
    """The source between the marks of README.md's Python example."""
    text = README.read_text(encoding="utf-8")
    found = re.findall(r"<!-- test: python-api -->\n```python\n(.*?)```", text, re.DOTALL)
    assert len(found) == 1, "README.md marks its one Python example with <!-- test: python-api -->"
    return str(found[0])


def run_example(folder: Path, monkeypatch) -> None:
    """In a folder with `office.glace` and `image.png`, as its text names them."""
    monkeypatch.chdir(folder)
    exec(compile(python_example(), "README.md", "exec"), {})
