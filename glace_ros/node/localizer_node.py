"""The live node `glace_localizer`: images in, poses and map->odom out."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from glace_ros.errors import GlaceError
from glace_ros.node.lifecycle_bond import LifecycleBond
from glace_ros.node.lifecycle_requests import AnsweringLifecycleNode
from glace_ros.node.localizing.localizer_failures import BrokenDeviceError
from glace_ros.node.parameter_server import ParameterServer
from glace_ros.node.services import LocalizationServices

if TYPE_CHECKING:
    from collections.abc import Callable

    from glace_ros.node.configured_localizer import ConfiguredLocalizer
    from glace_ros.node.live_localization import LiveLocalization
    from glace_ros.node.localizing.loaded_map import CheckedMap
    from glace_ros.node.ros_interface.parameters import LocalizeParameters

    ReadsMaps = Callable[[LocalizeParameters], CheckedMap]


NODE_NAME = "glace_localizer"


class GlaceLocalizer(AnsweringLifecycleNode):
    """The lifecycle of the node, which can be asked as soon as this is made: what it works with is
    in ConfiguredLocalizer, and imported when it is configured.

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
        self._bond = LifecycleBond(self)
        self._configured: ConfiguredLocalizer | None = None
        self._restarts = LocalizationServices(self, self._live)
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
        if self._configured is not None:
            self._configured.stop()
            self._configured = None

    def _configure(self) -> None:
        from glace_ros.node.configured_localizer import ConfiguredLocalizer  # takes its time

        parameters = self._parameter_server.read()
        checked = self._read(parameters)
        self._configured = ConfiguredLocalizer(
            self, parameters, checked, checked.make_ready(), self._parameter_server, self._read
        )
        self._configured.start()

    def _activate(self) -> None:
        assert self._configured is not None
        self._configured.activate(self._restarts.on_fix, self._on_broken)
        self._bond.start()

    def _deactivate(self) -> None:
        self._bond.stop()  # at once: the last image may take a while
        if self._configured is not None and self._configured.live is not None:
            self._configured.deactivate()
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

    def _live(self) -> LiveLocalization | None:
        return None if self._configured is None else self._configured.live
