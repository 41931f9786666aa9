"""What differs between two results of `same_results.py`: maps, JSON, any other file."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WALL_TIME = {"seconds", "latency_ms", "samples_per_second", "made", "created", "sha256"}
REJECTIONS = ("rejections", "reason")
MAY = " (may differ)"


def first_difference(both: Sequence[Sequence[Any]], what: str) -> str:
    """Of the old sequence and the new; empty where they are equal."""
    old, new = both
    if old == new:
        return ""
    pairs = enumerate(zip_longest(old, new, fillvalue="(nothing)"))
    index, (before, after) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
    return f"{what} {index}: {str(before).strip()[:90]} -> {str(after).strip()[:90]}"


def without_time(value: Any, rejections: list[Any]) -> Any:
    """JSON without wall time; what is said of rejections is put into that list instead."""
    if isinstance(value, list):
        return [without_time(part, rejections) for part in value]
    if not isinstance(value, dict):
        return value
    rejections += [value[key] for key in REJECTIONS if key in value]
    left = {key: part for key, part in value.items() if key not in (*WALL_TIME, *REJECTIONS)}
    return {key: without_time(part, rejections) for key, part in left.items()}


def json_rows(texts: list[str]) -> dict[str, str]:
    """The figures and their layout, and how many images were rejected."""
    lines, counts, reasons = [], [], []
    for text in texts:
        value, said = json.loads(text), list[Any]()
        indented = "indented by 2" if json.dumps(value, indent=2) + "\n" == text else "otherwise"
        lines.append([*json.dumps(without_time(value, said), indent=2).splitlines(), indented])
        counts.append([sum(r.values()) if isinstance(r, dict) else bool(r) for r in said])
        reasons.append(said)
    return {
        "": first_difference(lines, "line"),
        " images rejected": first_difference(counts, "number"),
        f" reasons{MAY}": first_difference(reasons, "number"),
    }


def map_rows(files: list[bytes]) -> dict[str, str]:
    """Metadata, and tensors to the bit."""
    lines, parts = [], []
    for data in files:
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        fields = {key: json.loads(text) for key, text in header.pop("__metadata__").items()}
        lines.append(json.dumps(without_time(fields, []), indent=2).splitlines())
        tensors = {}
        for name, part in header.items():
            start, stop = part.pop("data_offsets")
            tensors[f"{name} {part}"] = data[end + start : end + stop]
        parts.append(tensors)
    return {
        " metadata": first_difference(lines, "line"),
        f" {len(parts[0])} tensors": contents_difference(parts),
    }


def contents_difference(both: Sequence[dict[str, bytes]]) -> str:
    """Of what has names: of these, else of the first whose bytes differ."""
    names = first_difference([sorted(contents) for contents in both], "name")
    differences = (
        first_difference([contents[name] for contents in both], f"{name} byte") for name in both[0]
    )
    return names or next(filter(None, differences), "")


def file_rows(old: Path, new: Path) -> dict[str, str]:
    """One file or folder of both sides."""
    if old.is_dir() and new.is_dir():
        contents = [
            {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*.*")}
            for top in (old, new)
        ]
        return {f" {len(contents[0])} files": contents_difference(contents)}
    if missing := [str(path) for path in (old, new) if not path.is_file()]:
        return {"": f"not there: {', '.join(missing)}"}
    files = [old.read_bytes(), new.read_bytes()]
    if old.suffix == ".json":
        return json_rows([data.decode() for data in files])
    return map_rows(files) if old.suffix == ".glace" else {"": first_difference(files, "byte")}
