"""A lifecycle node that answers every request for a transition.

rclpy 7.1 (Jazzy) raises what asks for an impossible one out of the executor, which ends the process
and leaves whoever asked without an answer (ros2/rclpy#1209; findings/ has a script that tells when
that has changed). Nav2's lifecycle manager does ask: after a restart, and on PAUSE before RESET.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode

if TYPE_CHECKING:
    from lifecycle_msgs.srv import ChangeState


class AnsweringLifecycleNode(LifecycleNode):  # type: ignore[misc]  # rclpy is not typed
    """As rclpy's, and an impossible transition is refused as by nodes in C++: `success: false`."""

    def __init__(self, name: str, **options: Any) -> None:
        """Arguments as those of rclpy's LifecycleNode."""
        super().__init__(name, **options)
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._answer_change_state

    def destroy_node(self) -> None:
        """Also of the services of the lifecycle, which rclpy leaves standing: whoever asks a node
        that is gone would wait for its answer.
        """
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    @property
    def state_label(self) -> str:
        """The state's name, such as inactive."""
        return str(self._state_machine.current_state[1])

    def _answer_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        asked = request.transition
        possible = {
            number: label for number, label, *_ in self._state_machine.available_transitions
        }
        if asked.label in possible.values() if asked.label else asked.id in possible:
            return self._tried(request, response)
        can = [f"{label} ({number})" for number, label in possible.items()]
        self.get_logger().warning(
            f"The transition {asked.label or asked.id} is not possible in the state "
            f"{self.state_label}, which stays. Possible: {', '.join(can) or 'none'}."
        )
        response.success = False
        return response

    def _tried(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        try:
            return self._change_state(request, response)
        except RuntimeError:  # rclpy's errors
            if self.context.ok():
                raise
            response.success = False  # Ctrl-C came meanwhile; who asks waits all the same
            return response
