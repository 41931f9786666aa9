"""Where a camera is on a robot, as people write it down: numbers, or a robot's description."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from glace_ros.geometry.pose import Pose, pose_of_text
from glace_ros.geometry.transform_tree import TransformError, TransformTree

_MOST_BYTES = 20_000_000


def read_camera_pose(text: str) -> Pose:
    """base_from_camera, of "x y z qx qy qz qw" or of "FILE BASE CAMERA".

    text: the numbers in metres and as a quaternion; or a file and the frames of the robot's base
        and of the camera (optical: z forward) in it. The file is a URDF, or YAML of transforms as
        `ros2 topic echo /tf_static` prints them.
    Raises ValueError, with a sentence, where that is something else, or the file does not lead
    from one frame to the other.
    """
    words = text.rsplit(None, 2)
    if len(words) < 3 or not Path(words[0].strip()).suffix[1:].isalpha():
        return pose_of_text(text)
    name, base, camera = words[0].strip(), words[1], words[2]
    content = _content(Path(name))
    movable: list[str] = []
    try:
        tree = TransformTree()
        if content.lstrip().startswith("<"):
            _add_joints(tree, content, movable)
        else:
            _add_transforms(tree, content)
        return tree.lookup(base, camera, 0)
    except TransformError as error:
        moved = f"; joints that move are not read: {', '.join(movable[:5])}" if movable else ""
        raise ValueError(f"{name}: {error}{moved}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{name} has no transforms as ROS writes them ({error})") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(text) > _MOST_BYTES:
        raise ValueError(f"{path} is too long for a robot's description")
    return text.decode("utf-8", "replace")


def _add_joints(tree: TransformTree, content: str, movable: list[str]) -> None:
    """The fixed joints of a URDF; the names of the others go to `movable`."""
    if "<!DOCTYPE" in content or "<!ENTITY" in content:
        raise ValueError("it declares entities, which a URDF does not need")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML ({error})") from None
    if "http://www.ros.org/wiki/xacro" in content or "{xacro}" in content:
        raise ValueError("it is xacro; expand it first: xacro FILE > robot.urdf")
    for joint in root.iter("joint"):
        parent, child = joint.find("parent"), joint.find("child")
        if parent is None or child is None:
            continue  # of a transmission
        if joint.get("type") != "fixed":
            movable.append(str(joint.get("name")))
            continue
        origin = joint.find("origin")
        xyz, rpy = ("0 0 0", "0 0 0") if origin is None else (
            origin.get("xyz", "0 0 0"), origin.get("rpy", "0 0 0")
        )  # fmt: skip
        turn = Rotation.from_euler("xyz", _three(rpy))
        pose = Pose.from_quaternion(_three(xyz), turn.as_quat())
        tree.add_static(str(parent.get("link")), str(child.get("link")), pose)


def _three(text: str) -> list[float]:
    numbers = [float(word) for word in text.split()]
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise ValueError(f"'{text}' must be three numbers")
    return numbers


def _add_transforms(tree: TransformTree, content: str) -> None:
    try:
        documents = list(yaml.safe_load_all(content))
    except (yaml.YAMLError, RecursionError):
        raise ValueError("it is neither URDF nor YAML") from None
    found = [transform for document in documents for transform in _transforms_in(document)]
    if not found:
        raise ValueError("it has no transforms")
    for transform in found:
        of = transform["transform"]
        position, turn = of["translation"], of["rotation"]
        pose = Pose.from_quaternion(
            [float(position[axis]) for axis in "xyz"], [float(turn[axis]) for axis in "xyzw"]
        )
        tree.add_static(
            str(transform["header"]["frame_id"]), str(transform["child_frame_id"]), pose
        )


def _transforms_in(document: Any) -> list[Any]:
    """Of a TFMessage, a TransformStamped, or a list of these."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return []
    if "transforms" in document:
        return list(document["transforms"])
    return [document] if "child_frame_id" in document else []
