"""What is wrong with a bag that cannot be read, in a sentence that says how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def cannot_open(path: Path, paths: list[Path], error: Exception) -> str:
    """Why a bag does not open, and what mends it.

    paths: the files and folders that were to be opened.
    error: what the reader raised, which may be nearly anything.
    """
    reason = _one_line(error)
    if isinstance(error, PermissionError):
        return f"{path} cannot be read: permission denied"
    files = [file for p in paths for file in (sorted(p.iterdir()) if p.is_dir() else [p])]
    mcap = next((file for file in files if file.suffix == ".mcap"), None)
    if mcap is not None and ("end magic" in reason or "footer" in reason or "Errno 22" in reason):
        return (
            f"{mcap} is cut off or damaged at its end ({reason}); get back what is whole with "
            f"'mcap recover {mcap.name} -o recovered.mcap' and give that file"
        )
    if "YAML" in reason:
        return f"{path} cannot be opened ({reason}); run 'ros2 bag reindex {path}'"
    if isinstance(error, EOFError) or "ompress" in reason or "zstd" in type(error).__module__:
        return f"{path} is cut off or damaged (its compressed file ends early: {reason})"
    described = any(file.name == "metadata.yaml" for file in files)
    if described and isinstance(error, (TypeError, AttributeError)):
        return (
            f"{path} cannot be opened (metadata.yaml is not as ROS writes it: {reason}); run "
            f"'ros2 bag reindex {path}'"
        )
    if "metadata" in reason.lower() or "YAML" in reason:
        return f"{path} cannot be opened ({reason}); run 'ros2 bag reindex {path}'"
    if "index" in reason:
        return f"{path} cannot be opened ({reason}); run 'rosbag reindex {path}'"
    return f"{path} is no readable bag ({reason})"


def cannot_read_on(path: Path, error: Exception) -> str:
    """Why reading of an open bag stopped, and what mends it."""
    return (
        f"{path} is damaged in the middle ({_one_line(error)}); copy it again, or get back what "
        "is whole with 'mcap recover', 'sqlite3 .recover' or 'ros2 bag reindex'"
    )


def _one_line(error: Exception) -> str:
    """The error's text without line breaks and full stop, to stand in a sentence."""
    text = " ".join(str(error).split()).rstrip(".")
    return (text if len(text) < 200 else text[:200] + "...") or type(error).__name__
