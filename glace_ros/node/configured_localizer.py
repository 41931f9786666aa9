"""What the live node works with from configure to cleanup.

It is imported by then, together with all that localizes: SciPy and PyTorch take longer than all the
rest, and a lifecycle manager may be waiting for an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclpy.parameter import Parameter

from glace_ros.node.input.transform_listener import TransformListener
from glace_ros.node.live_localization import LiveLocalization
from glace_ros.node.localizing.loaded_map import say_what_is_loaded
from glace_ros.node.map_switch import MapSwitch
from glace_ros.node.output.publishers import Publishers
from glace_ros.node.ros_interface.transition_log import TransitionLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from glace_ros.fusion.odometry_fusion import Fix
    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.node.localizing.loaded_map import CheckedMap, LoadedMap
    from glace_ros.node.parameter_server import ParameterServer
    from glace_ros.node.ros_interface.parameters import LocalizeParameters


class ConfiguredLocalizer:
    """Map, TF and publishers from `start` to `stop`, once; between `activate` and `deactivate` it
    localizes.

    node: the live node.
    parameters: as they were read at configure.
    checked_map: of the file that they name.
    loaded_map: made of it.
    parameter_server: refuses changes from `start` to `stop`.
    read: checks another map's file.
    live: what runs while it is active, else None.
    """

    def __init__(
        self,
        node: Node,
        parameters: LocalizeParameters,
        checked_map: CheckedMap,
        loaded_map: LoadedMap,
        parameter_server: ParameterServer,
        read: Callable[[LocalizeParameters], CheckedMap],
    ) -> None:
        self._node, self._log = node, node.get_logger()
        self._parameters, self._map = parameters, loaded_map
        self._parameter_server = parameter_server
        self._map_switch = MapSwitch(
            node, parameters, checked_map.contents, read, self._use_map, self._keep_map
        )
        self._said = TransitionLog()
        self._tf = TransformListener(node, self._on_tf_problem)
        self._publishers: Publishers | None = None
        self.live: LiveLocalization | None = None

    def start(self) -> None:
        """Locks the parameters, listens to TF, advertises."""
        if self._publishers is not None:
            return
        self._map_switch.start()
        self._parameter_server.lock(self._map_switch)
        self._tf.start()
        self._publishers = Publishers.create(self._node)
        say_what_is_loaded(self._log, self._map, self._parameters)

    def stop(self) -> None:
        """Deactivates, and ends what `start` has begun."""
        self.deactivate()
        self._parameter_server.unlock()
        self._map_switch.stop()
        self._tf.stop()
        for publisher in self._publishers or ():
            self._node.destroy_publisher(publisher)
        self._publishers = None

    def activate(
        self, on_fix: Callable[[Fix, PoseEstimate], None], on_broken: Callable[[str], None]
    ) -> None:
        """Localizes from now on. on_fix, on_broken: see LiveLocalization."""
        assert self._publishers is not None
        self.live = LiveLocalization(
            self._node, self._parameters, self._map, self._tf, self._publishers, on_fix, on_broken
        )
        self.live.start()

    def deactivate(self) -> None:
        """Ends what `activate` has begun."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _use_map(self, loaded_map: LoadedMap, parameters: LocalizeParameters) -> None:
        self._map, self._parameters = loaded_map, parameters
        say_what_is_loaded(self._log, loaded_map, parameters)
        if self.live is not None:
            self.live.use_map(loaded_map)

    def _keep_map(self) -> None:
        """The one that `map` now names is not in use: the parameter tells the truth again."""
        self._parameter_server.unlock()
        self._node.set_parameters([Parameter("map", value=self._parameters.map)])
        self._parameter_server.lock(self._map_switch)

    def _on_tf_problem(self, sentence: str) -> None:
        self._said.enter(sentence, "bad", lambda: self._log.warning(sentence))
