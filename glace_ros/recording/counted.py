"""How many of something, in words."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Such as "1 message" and "3 messages"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def are(count: int) -> str:
    """The verb behind it."""
    return "is" if count == 1 else "are"
