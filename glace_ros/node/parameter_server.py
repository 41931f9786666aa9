"""The parameters of the localize node on the node: declared, read at configure, then locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rcl_interfaces.msg import SetParametersResult

from glace_ros.errors import GlaceError
from glace_ros.node.ros_interface.parameter_checks import checked, descriptor, from_values
from glace_ros.node.ros_interface.parameters import PARAMETERS, LocalizeParameters, ParameterError

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.parameter import Parameter

    from glace_ros.node.map_switch import MapSwitch

# declared by rclpy itself, or by any node that is launched with them
NOT_OURS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


class ParameterServer:
    """Declares the parameters on a node that was made with
    `automatically_declare_parameters_from_overrides`, and reads them when it is configured.

    What is wrong with an override is kept until `read`, because a lifecycle node has to live to
    say so: its default stands in until then, and `read` raises.

    node: whose parameters they are.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._problems: dict[str, str] = {}
        self._map_switch: MapSwitch | None = None

    def declare(self) -> None:
        """To be called once, by the node's constructor: it has its parameters from the start."""
        node = self._node
        overrides = {
            name: parameter.value
            for name, parameter in node.get_parameters_by_prefix("").items()
            if not name.startswith(NOT_OURS)
        }
        for name in overrides:
            node.undeclare_parameter(name)
        for name, value in overrides.items():
            try:
                overrides[name] = checked(name, value)
            except ParameterError as error:
                self._problems[name] = str(error)
        for name, field_ in PARAMETERS.items():
            good = name in overrides and name not in self._problems
            value = overrides[name] if good else field_.default
            node.declare_parameter(name, value, descriptor(name), ignore_override=True)
        node.add_on_set_parameters_callback(self._may_set)
        node.add_post_set_parameters_callback(self._was_set)

    def read(self) -> LocalizeParameters:
        """The values as they are now. Raises ParameterError with the first thing that is wrong."""
        if self._problems:
            raise ParameterError(" ".join(self._problems.values()))
        return from_values({name: self._node.get_parameter(name).value for name in PARAMETERS})

    def lock(self, map_switch: MapSwitch) -> None:
        """From now on changes are refused, but of the map: the node works with what it has read.
        To set a parameter to what it is changes nothing, and is allowed.
        """
        self._map_switch = map_switch

    def unlock(self) -> None:
        """Everything can be set again, and is looked at by `read`."""
        self._map_switch = None

    def _may_set(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name not in PARAMETERS:
                continue
            try:
                self._check(parameter.name, checked(parameter.name, parameter.value))
            except GlaceError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _check(self, name: str, value: object) -> None:
        """Raises GlaceError where the parameter cannot become that now."""
        if self._map_switch is None:
            return
        if name == "map":
            self._map_switch.check(str(value))
        elif value != checked(name, self._node.get_parameter(name).value):
            raise ParameterError(f"'{name}' is read at configure: deactivate and clean up first")

    def _was_set(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            self._problems.pop(parameter.name, None)
            if self._map_switch is not None and parameter.name == "map":
                self._map_switch.load_checked()
