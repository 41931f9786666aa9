"""The live node `glace_localizer`: images in, poses and map->odom out."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from glace_ros.errors import GlaceError
from glace_ros.node.input.transform_listener import TransformListener
from glace_ros.node.lifecycle_bond import LifecycleBond
from glace_ros.node.lifecycle_requests import AnsweringLifecycleNode
from glace_ros.node.live_localization import LiveLocalization
from glace_ros.node.localizing.loaded_map import say_what_is_loaded
from glace_ros.node.localizing.localizer_failures import BrokenDeviceError
from glace_ros.node.map_switch import MapSwitch
from glace_ros.node.output.publishers import Publishers
from glace_ros.node.parameter_server import ParameterServer
from glace_ros.node.ros_interface.transition_log import TransitionLog
from glace_ros.node.services import LocalizationServices

if TYPE_CHECKING:
    from collections.abc import Callable

    from glace_ros.node.localizing.loaded_map import CheckedMap, LoadedMap
    from glace_ros.node.ros_interface.parameters import LocalizeParameters

    ReadsMaps = Callable[[LocalizeParameters], CheckedMap]


NODE_NAME = "glace_localizer"


class GlaceLocalizer(AnsweringLifecycleNode):
    """The lifecycle of the node; what it does while active is in LiveLocalization.

    read: checks a map file, as map_loading.read_map does.
    parameter_overrides: beside those of the command line.
    failure: what the user has to mend after a configure that failed, or why nothing can be
        localized any more; None otherwise.
    broken: the latter.
    """

    def __init__(
        self,
        read: ReadsMaps,
        parameter_overrides: list[Parameter] | None = None,
    ) -> None:
        super().__init__(
            NODE_NAME,
            parameter_overrides=parameter_overrides,
            automatically_declare_parameters_from_overrides=True,
        )
        self.failure: GlaceError | None = None
        self.broken = False
        self._read = read
        self._parameter_server = ParameterServer(self)
        self._parameter_server.declare()
        self._said = TransitionLog()
        self._bond = LifecycleBond(self)
        self._settings: LocalizeParameters | None = None
        self._map: LoadedMap | None = None
        self._map_switch: MapSwitch | None = None
        self._tf: TransformListener | None = None
        self._outputs: Publishers | None = None
        self._live: LiveLocalization | None = None
        self._restarts = LocalizationServices(self, lambda: self._live)
        self._restarts.start()  # until the node is destroyed: it answers in every state

    def autostart(self) -> bool:
        """Configures and activates; returns False where that has failed (the log says why)."""
        steps = (self.trigger_configure, self.trigger_activate)
        return all(step() == TransitionCallbackReturn.SUCCESS for step in steps)

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Validates the parameters, loads the map, listens to TF."""
        if self.broken:
            return TransitionCallbackReturn.FAILURE  # why is in the log
        return self._attempt("configure", self._configure)

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes to images, starts to publish."""
        return self._attempt("activate", self._activate)

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Ends what activate has begun."""
        return self._attempt("deactivate", self._deactivate)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Lets go of the map; parameters can be set again."""
        return self._attempt("clean up", self.release)

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Comes from any state; the process lives until it is stopped."""
        return self._attempt("shut down", self.release)

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """After an exception in a transition: unconfigured again."""
        return self._attempt("recover", self.release)

    def release(self) -> None:
        """Ends everything that configure and activate have begun."""
        self._deactivate()
        self._parameter_server.unlock()
        if self._map_switch is not None:
            self._map_switch.stop()
        if self._tf is not None:
            self._tf.stop()
        if self._outputs is not None:
            for publisher in self._outputs:
                self.destroy_publisher(publisher)
        self._tf = self._outputs = self._map = self._map_switch = None

    def _configure(self) -> None:
        parameters = self._parameter_server.read()
        checked = self._read(parameters)
        self._map, self._settings = checked.make_ready(), parameters
        self._map_switch = MapSwitch(
            self, parameters, checked.contents, self._read, self._use_map, self._keep_map
        )
        self._map_switch.start()
        self._parameter_server.lock(self._map_switch)
        self._tf = TransformListener(self, self._on_tf_problem)
        self._tf.start()
        self._outputs = Publishers.create(self)
        say_what_is_loaded(self.get_logger(), self._map, parameters)

    def _use_map(self, loaded_map: LoadedMap, parameters: LocalizeParameters) -> None:
        self._map, self._settings = loaded_map, parameters
        say_what_is_loaded(self.get_logger(), loaded_map, parameters)
        if self._live is not None:
            self._live.use_map(loaded_map)

    def _keep_map(self) -> None:
        """The one that `map` now names is not in use: the parameter tells the truth again."""
        assert self._settings is not None
        assert self._map_switch is not None
        self._parameter_server.unlock()
        self.set_parameters([Parameter("map", value=self._settings.map)])
        self._parameter_server.lock(self._map_switch)

    def _activate(self) -> None:
        assert self._map is not None
        assert self._tf is not None
        assert self._outputs is not None
        assert self._settings is not None
        self._live = LiveLocalization(
            self, self._settings, self._map, self._tf, self._outputs,
            self._restarts.on_fix, self._on_broken,
        )  # fmt: skip
        self._live.start()
        self._bond.start()

    def _deactivate(self) -> None:
        self._bond.stop()  # at once: the last image may take a while
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._restarts.on_deactivate()

    def _attempt(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """rclpy swallows what a transition raises, so it has to be said here."""
        try:
            action()
        except GlaceError as error:
            self.failure = error
            self.get_logger().error(f"Cannot {what}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception:
            if self.context.ok():  # else it comes of Ctrl-C
                self.get_logger().fatal(f"Cannot {what}:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        if not self.broken:
            self.failure = None
        return TransitionCallbackReturn.SUCCESS

    def _on_broken(self, sentence: str) -> None:
        """Whoever manages the node takes it for dead at once, as it is of no use any more."""
        self._bond.stop()
        self.failure = BrokenDeviceError(sentence)
        self.broken = True

    def _on_tf_problem(self, sentence: str) -> None:
        self._said.enter(sentence, "bad", lambda: self.get_logger().warning(sentence))
