"""Another map in the place of the one in use, while images go on to be localized in that one.

Setting the parameter `map` has to be answered at once, so the work has three parts. `check` reads
the file in the executor's thread (20 ms for 5 MB) and is the answer: a map that cannot be used is
refused, and with one that is in use already nothing more is done. A thread of its own then makes
the map ready, which takes seconds on a GPU, and the executor's thread puts it in place, between two
images. What goes wrong only in that thread (the GPU's memory is full) is said in the log; the old
map stays, and `map` names it again.
"""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from glace_ros.errors import GlaceError
from glace_ros.node.localizing.image_worker import NewestFirstWorker
from glace_ros.node.localizing.loaded_map import LoadedMap

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.guard_condition import GuardCondition
    from rclpy.node import Node

    from glace_ros.node.localizing.loaded_map import CheckedMap
    from glace_ros.node.ros_interface.parameters import LocalizeParameters


@dataclass(frozen=True, eq=False)
class _Change:
    parameters: LocalizeParameters
    contents: object
    make_ready: Callable[[], LoadedMap]

    def is_to(self, path: str, contents: object) -> bool:
        """A file that was built anew under the same name is another map."""
        return (self.parameters.map, self.contents) == (path, contents)


class MapSwitch:
    """Works from `start` to `stop`. All but the work itself is in the executor's thread.

    node: in whose executor `use` and `keep` are called.
    parameters: with the map in use.
    contents: of that map, see CheckedMap.
    read: checks a map file.
    use: called with each map that has become ready, and the parameters with its name.
    keep: called after a map that could not be made ready.
    """

    def __init__(
        self,
        node: Node,
        parameters: LocalizeParameters,
        contents: object,
        read: Callable[[LocalizeParameters], CheckedMap],
        use: Callable[[LoadedMap, LocalizeParameters], None],
        keep: Callable[[], None],
    ) -> None:
        self._node, self._log = node, node.get_logger()
        self._parameters, self._contents = parameters, contents
        self._read, self._use, self._keep = read, use, keep
        self._checked: _Change | None = None
        self._wanted: _Change | None = None
        self._outcomes: deque[tuple[_Change, LoadedMap | Exception]] = deque()
        self._worker: NewestFirstWorker[_Change] = NewestFirstWorker(
            lambda change: self._hand_over(change, change.make_ready()), self._hand_over, 1e3
        )
        self._ready: GuardCondition | None = None

    def start(self) -> None:
        """Begins the thread that loads."""
        if self._ready is None:
            self._ready = self._node.create_guard_condition(self._finish)
            self._worker.start()

    def stop(self) -> None:
        """Returns when the map that is being loaded is done with; it is not used."""
        self._worker.stop()
        if self._ready is not None:
            self._node.destroy_guard_condition(self._ready)
            self._ready = None

    def check(self, path: str) -> None:
        """Raises GlaceError where the map cannot be used; then nothing changes."""
        parameters = replace(self._parameters, map=path)
        checked = self._read(parameters)
        self._checked = _Change(parameters, checked.contents, checked.make_ready)

    def load_checked(self) -> None:
        """Loads the map that was checked last, unless it is in use or being loaded. Another one
        that is being loaded is no longer wanted.
        """
        change, self._checked = self._checked, None
        if change is None:  # one call may name the parameter twice
            return
        if self._wanted is not None and self._wanted.is_to(change.parameters.map, change.contents):
            return
        if change.is_to(self._parameters.map, self._contents):
            self._wanted = None
            return
        self._wanted = change
        self._worker.offer(change)

    def _hand_over(self, change: _Change, outcome: LoadedMap | Exception) -> None:
        """In the worker's thread."""
        self._outcomes.append((change, outcome))
        if self._ready is not None:
            self._ready.trigger()

    def _finish(self) -> None:
        while self._outcomes:
            change, outcome = self._outcomes.popleft()
            if change is not self._wanted:
                continue  # another one was asked for meanwhile
            self._wanted = None
            if isinstance(outcome, LoadedMap):
                self._parameters, self._contents = change.parameters, change.contents
                self._use(outcome, change.parameters)
            else:
                self._refuse(change, outcome)

    def _refuse(self, change: _Change, error: Exception) -> None:
        what = str(error)
        if not isinstance(error, GlaceError):
            what = "\n" + "".join(traceback.format_exception(error))
        self._log.error(
            f"The map {change.parameters.map} cannot be used, the one before stays in use: {what}"
        )
        self._keep()
