"""The live node's way through image windows: TF of each exposure, state, what is said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from sensor_msgs.msg import CameraInfo, Image
from support.core_scenes import CAMERA, tiny_map
from support.twin_rooms import BASE_FROM_CAMERA, MAP_FROM_ODOM, TwinRooms

from glace_ros.features.encoder_names import NetworkName
from glace_ros.features.weights_location import weights_hash
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.localization.window_localizer import WindowLocalizer
from glace_ros.node.input.incoming_image import IncomingImage
from glace_ros.node.localizing.base_locator import BaseLocator, ImageRejected
from glace_ros.node.localizing.localization_run import LocalizationRun
from glace_ros.node.localizing.map_loading import read_map
from glace_ros.node.output.status import run_tasks
from glace_ros.node.ros_interface.parameters import LocalizeParameters
from glace_ros.rejection import RejectionCode

S = 1_000_000_000
PARAMETERS = LocalizeParameters(max_image_age=0.5)
FRONT, BEHIND = 0.0, np.pi


class Robot:
    """In the lower of two twin rooms, with TF and images; the wall in front is in both."""

    def __init__(self, windows=True):
        self.rooms, self.yaw_at_ns, self.odometry = TwinRooms(), {}, True
        window = self.rooms.windows if windows else None
        self.locator = BaseLocator(PARAMETERS, self.rooms.localizer, self, window=window)
        log = SimpleNamespace(info=str, warning=str, error=str)
        self.published = []
        self.run = LocalizationRun(PARAMETERS, log, lambda *fix: self.published.append(fix))

    def lookup(self, target, source, stamp_ns, timeout_s=0.0):
        if target == "camera":
            return BASE_FROM_CAMERA.inverse()
        if not self.odometry:
            raise TransformError("no odometry", "none")
        return MAP_FROM_ODOM.inverse() @ self.rooms.base(self.yaw_at_ns[stamp_ns])

    def look(self, yaw_rad, seconds, **shown):
        """What the thread that localizes does of an image; the rejection, or None."""
        stamp_ns = round((100 + seconds) * S)
        self.yaw_at_ns[stamp_ns] = yaw_rad
        self.rooms.show(self.rooms.base(yaw_rad), **shown)
        message = Image(width=128, height=96, encoding="rgb8", step=384, data=bytes(96 * 384))
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, S)
        message.header.frame_id = "camera"
        k = [CAMERA.fx_px, 0.0, CAMERA.cx_px, 0.0, CAMERA.fy_px, CAMERA.cy_px, 0.0, 0.0, 1.0]
        info = CameraInfo(width=128, height=96, distortion_model="plumb_bob", k=k, d=[0.0] * 5)
        image = IncomingImage(message, "/image", info, "/camera_info")
        try:
            tracking = self.run.is_tracking(stamp_ns)
            located = self.locator.locate(image, stamp_ns, tracking=tracking)
            self.run.accept(stamp_ns, 0.0, located)
        except ImageRejected as rejection:
            self.run.reject(stamp_ns, 0.0, rejection)
            return rejection.code
        return None

    def diagnosed(self):
        """The values of the task `localization`."""
        task = run_tasks(self.run.report(101 * S), {}, None, received=True)["localization"]
        return {value.key: value.value for value in task.values}


TURNS = ((0.0, 0.4), (0.4, 0.1), (0.8, -0.2))


def test_a_robot_that_sees_twin_walls_alone_is_told_to_turn_and_has_no_fix():
    robot = Robot()
    assert [robot.look(yaw, at_s) for at_s, yaw in TURNS] == [RejectionCode.AMBIGUOUS] * 3
    assert robot.published == []
    values = robot.diagnosed()
    said = "turn, or drive on: the last 3 images may be of places that look alike (camera at "
    assert values["suggestion"].startswith(said)
    assert values["suggestion"].count("x=") == 2
    assert values["images of the fix"] == "0"


def test_once_it_turns_to_its_own_wall_it_knows_and_twin_walls_keep_it_there():
    robot = Robot()
    for at_s, yaw in TURNS:
        robot.look(yaw, at_s)
    told = [robot.look(yaw, at_s) for at_s, yaw in ((1.2, 1.4), (1.6, 1.9), (2.0, 2.4))]
    assert told[-1] is None
    (_, estimate) = robot.published[-1]
    assert robot.rooms.off_m(estimate, 2.4) < 0.03
    assert robot.diagnosed()["suggestion"] == ""


def test_a_first_fix_may_be_of_a_wall_that_says_nothing_alone():
    """Two images of the wall behind came before the node was activated anew."""
    fixes = []
    for windows in (True, False):
        robot = Robot(windows)
        for at_s, yaw in ((0.0, 2.6), (0.4, 2.1), (0.8, 1.6)):
            robot.look(yaw, at_s)
        robot.run = Robot().run
        fixes.append(robot.look(0.2, 1.6))
        images = robot.run.report(102 * S).fix_images
        assert images == (4 if windows else 0)
    assert fixes == [None, RejectionCode.AMBIGUOUS]


def test_missing_odometry_empties_the_window_and_is_said():
    robot = Robot()
    for at_s, yaw in ((0.0, 2.6), (0.4, 2.1), (0.8, 1.6)):
        robot.look(yaw, at_s)
    robot.run = Robot().run
    robot.odometry = False
    assert robot.look(1.2, 1.2) == RejectionCode.NO_TRANSFORM
    assert robot.look(1.2, 1.3, blank=True) in (RejectionCode.NO_POSE, RejectionCode.FEW_INLIERS)
    robot.odometry = True
    assert robot.look(0.2, 1.6) == RejectionCode.AMBIGUOUS


def test_while_tracking_a_clear_image_asks_no_other(monkeypatch):
    robot = Robot()
    assert robot.look(BEHIND, 0.0) is None
    assert robot.run.is_tracking(100 * S)
    assert not robot.run.is_tracking(103 * S)
    together = []
    monkeypatch.setattr(
        robot.rooms.windows, "_together", lambda alone, images: together.append(1) or alone
    )
    assert robot.look(2.8, 0.4) is None
    assert together == []
    robot.look(0.2, 1.6)  # it is ambiguous
    assert together == [1]
    robot.run = Robot().run  # nothing is known any more
    robot.look(2.4, 2.4)
    assert together == [1, 1]


@pytest.mark.parametrize(
    ("changes", "images"),
    [({}, 8), ({"window_images": 5}, 5), ({"window_images": 0}, 0), ({"window_images": 1}, 0),
     ({"tf_broadcast": False}, 0)],
)  # fmt: skip
def test_a_loaded_map_has_windows_where_the_parameters_say_so(tmp_path, changes, images):
    path = tmp_path / "map.glace"
    tiny_map(local_encoder_hash=weights_hash([NetworkName("xfeat")])).save(path)
    parameters = replace(LocalizeParameters(map=str(path), device="cpu"), **changes)
    loaded = read_map(parameters).make_ready()
    if not images:
        assert loaded.new_window is None
        return
    first, second = loaded.new_window(), loaded.new_window()
    assert isinstance(first, WindowLocalizer)
    assert first is not second
    assert first.config.window.images == images
    assert first.config.window.max_age_s == parameters.window_max_age == 3.0


def test_the_suggestion_names_where_the_camera_would_look():
    robot = Robot()
    robot.look(FRONT, 0.0)
    suggestion = robot.diagnosed()["suggestion"]
    assert suggestion.startswith("turn, or drive on: the image may be of places that look alike")
    camera = robot.rooms.base(FRONT) @ BASE_FROM_CAMERA
    assert f"x={camera.translation_3[0]:.2f} y=" in suggestion
