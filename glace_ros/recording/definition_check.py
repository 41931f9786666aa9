"""Whether a message type has, by a bag's own definition, the fields that it usually has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rosbags.interfaces import Nodetype

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT = ("string", "wstring")
_MAY_LACK = {("ffmpeg_image_transport_msgs/msg/FFMPEGPacket", "is_bigendian")}
"""(type, field): older versions do not have it."""


def unlike_usual(msgtype: str, told: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """What of a type is missing or of another kind, in some words; empty where nothing is.

    told, usual: fields of all types, as rosbags keeps them (`Typestore.fielddefs`). More fields
    than usual do no harm; names in ROS 1 may be in upper case.
    """
    if msgtype not in usual:
        return ""
    if msgtype not in told:
        return f"{msgtype} is not defined"
    there = {name.lower(): kind for name, kind in told[msgtype][1]}
    for name, kind in usual[msgtype][1]:
        if name.lower() not in there:
            if (msgtype, name) in _MAY_LACK:
                continue
            return f"{msgtype} has no {name}"
        here = there[name.lower()]
        if _outline(here) != _outline(kind):
            return f"{name} of {msgtype} is of another type"
        inner = _type_in(kind)
        if inner and (why := unlike_usual(_type_in(here) or inner, told, usual)):
            return why
    return ""


def _outline(kind: Any) -> str:
    node, what = kind
    if node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return f"many {_outline(what[0])}"
    if node == Nodetype.NAME:
        return str(what)
    return "text" if what[0] in _TEXT else "number"


def _type_in(kind: Any) -> str | None:
    """The message type that a field has, or has many of."""
    node, what = kind
    if node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return _type_in(what[0])
    return str(what) if node == Nodetype.NAME else None
