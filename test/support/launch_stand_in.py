"""Enough of the packages launch and launch_ros, which are not on PyPI, to evaluate a launch file.

What is left of a node action is the command line that the real one gives its process.
"""

from __future__ import annotations

import logging
import runpy
import sys
import types
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


class LaunchConfiguration:
    def __init__(self, name):
        self._name = name

    def perform(self, context):
        return context[self._name]


class PathJoinSubstitution:
    def __init__(self, parts):
        self._parts = parts

    def perform(self, context):
        return str(Path(*(text(part, context) for part in self._parts)))


class FindPackageShare:
    def __init__(self, package):
        assert package == "glace_ros"

    def perform(self, context):
        return str(REPOSITORY)


class ParameterValue:
    def __init__(self, value, value_type):
        self.value, self._type = value, value_type

    def perform(self, context):
        value = text(self.value, context)
        return {"true": "true", "false": "false"}[value.lower()] if self._type is bool else value


class ParameterFile(ParameterValue):
    def __init__(self, path, allow_substs):
        super().__init__(path, str)


class IfCondition:
    def __init__(self, condition):
        self._condition = condition

    def holds(self, context):
        return text(self._condition, context).lower() == "true"


class Action:
    """Any other action: keeps what it was made with."""

    def __init__(self, *arguments, **options):
        self.arguments, self.options = arguments, options


class DeclareLaunchArgument(Action):
    pass


class OpaqueFunction(Action):
    pass


class Node(Action):
    def arguments_of_process(self, context):
        """What follows the executable, resolved."""
        options, arguments = self.options, [text(a, context) for a in self._list("arguments")]
        arguments += ["--ros-args", *(text(a, context) for a in self._list("ros_arguments"))]
        if "name" in options:
            arguments += ["-r", f"__node:={options['name']}"]
        if namespace := text(options["namespace"], context):
            arguments += ["-r", f"__ns:=/{namespace.lstrip('/')}"]
        for parameters in options["parameters"]:
            if isinstance(parameters, dict):
                for name, value in parameters.items():
                    arguments += ["-p", f"{name}:={text(value, context)}"]
            else:
                arguments += ["--params-file", text(parameters, context)]
        for source, target in options["remappings"]:
            arguments += ["-r", f"{source}:={text(target, context)}"]
        return arguments

    def _list(self, name):
        return self.options.get(name, [])


def text(value, context):
    if isinstance(value, list):  # of strings: a parameter
        return f"[{', '.join(value)}]"
    return value if isinstance(value, str) else value.perform(context)


MODULES = {
    "launch": {"LaunchDescription": list},
    "launch.actions": {
        "DeclareLaunchArgument": DeclareLaunchArgument,
        "OpaqueFunction": OpaqueFunction,
        "SetEnvironmentVariable": Action,
    },
    "launch.conditions": {"IfCondition": IfCondition},
    "launch.logging": {"get_logger": logging.getLogger},
    "launch.substitutions": {
        "LaunchConfiguration": LaunchConfiguration,
        "PathJoinSubstitution": PathJoinSubstitution,
    },
    "launch_ros": {},
    "launch_ros.actions": {"Node": Node},
    "launch_ros.parameter_descriptions": {
        "ParameterFile": ParameterFile,
        "ParameterValue": ParameterValue,
    },
    "launch_ros.substitutions": {"FindPackageShare": FindPackageShare},
}


def nodes_of_launch_file(path, **given):
    """({executable: (arguments of its process, the node action)}, {argument: its default}).

    given: launch arguments. Actions whose condition does not hold are left out.
    """
    with pytest.MonkeyPatch.context() as modules:
        for name, contents in MODULES.items():
            module = types.ModuleType(name)
            vars(module).update(contents)
            modules.setitem(sys.modules, name, module)
        actions = runpy.run_path(str(path))["generate_launch_description"]()
    declarations = [action for action in actions if isinstance(action, DeclareLaunchArgument)]
    defaults = {a.arguments[0]: text(a.options["default_value"], {}) for a in declarations}
    assert set(given) <= set(defaults)
    context, nodes = defaults | given, {}
    for action in actions:
        condition = action.options.get("condition")
        if condition is not None and not condition.holds(context):
            continue
        made = action.options["function"](context) if isinstance(action, OpaqueFunction) else ()
        for node in (action, *made):
            if isinstance(node, Node):
                nodes[node.options["executable"]] = (node.arguments_of_process(context), node)
    return nodes, defaults
