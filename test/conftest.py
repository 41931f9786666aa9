"""What all tests share: a ROS graph of their own on this machine only, and the real recordings."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Linux gives the ports of higher domains to outgoing connections.
DOMAINS = range(1, 100)

REPO = Path(__file__).resolve().parents[1]


@contextmanager
def unused_ros_domain() -> Iterator[int]:
    """A ROS domain id that no other test process on this machine holds at the same time."""
    start = os.getpid() % len(DOMAINS)
    for domain in [*DOMAINS[start:], *DOMAINS[:start]]:
        path = Path(tempfile.gettempdir()) / f"glace_ros_test_domain_{domain}_{os.getuid()}.lock"
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise RuntimeError(f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are held by tests")


def pytest_configure() -> None:
    """Before anything can import rclpy: nothing that a test sends leaves this machine."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    # as docs/nav2.md has it: else half of what is started waits for 3 s to be found
    name = "FASTDDS" if Path(sys.prefix, "share", "fastdds").is_dir() else "FASTRTPS"
    os.environ[f"{name}_DEFAULT_PROFILES_FILE"] = str(REPO / "dev" / "fastdds_discovery.xml")
    # a shell's background job ignores Ctrl-C, and so would every program that a test starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.set_threshold(20_000, 20, 100)  # imports leave no garbage behind


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it again and again takes a second or two."""
    gc.freeze()
    gc.set_threshold(700, 10, 10)  # Python's own


@pytest.fixture(autouse=True, scope="session")
def ros_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Maps and features of tests stay out of the user's own ~/.ros."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROS_HOME", str(tmp_path_factory.mktemp("ros_home")))
        yield


@pytest.fixture(autouse=True, scope="module")
def module_ros_domain() -> Iterator[int]:
    """The ROS_DOMAIN_ID of a test module, and of nodes that its module-wide fixtures start."""
    with unused_ros_domain() as domain, pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS_DOMAIN_ID for one test alone: it hears nothing that another test left behind."""
    with unused_ros_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain


@pytest.fixture(scope="module")
def shared_node(module_ros_domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A NodeProcess for all tests of a module: starting one takes seconds."""
    from support.robot import NodeProcess  # the fast tests do without ROS

    node = NodeProcess(tmp_path_factory.mktemp("node"))
    yield node
    node.close()


@pytest.fixture(scope="module")
def robot_class() -> type:
    """What stands beside the shared node; a module may have its own."""
    from support.robot import Robot

    return Robot


@pytest.fixture
def live(module_ros_domain: int, shared_node: Any, robot_class: type) -> Iterator[tuple[Any, Any]]:
    """A robot beside the shared node, and the node."""
    robot = robot_class(module_ros_domain)
    robot.wait_for_node()
    shared_node.forget_log()
    yield robot, shared_node
    robot.close()


@pytest.fixture
def robot(ros_domain_id: int) -> Iterator[Any]:
    """A robot in a graph of its own."""
    from support.robot import Robot

    robot = Robot(ros_domain_id)
    yield robot
    robot.close()


@pytest.fixture
def start(robot: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts a node in the robot's graph; `-p` parameters as keywords."""
    from support.robot import NodeProcess

    nodes = []

    def start(*flags: str, fake: bool = True, wait: bool = True, **parameters: Any) -> Any:
        arguments = [*flags, "--ros-args"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={value}"]
        nodes.append(NodeProcess(tmp_path, *arguments, fake=fake))
        if wait:
            robot.wait_for_node()
            if parameters.get("autostart") == "true":
                robot.wait_for_listeners()
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()


@pytest.fixture
def unconfigured(
    module_ros_domain: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Makes a DrivenNode; parameters as keywords."""
    import rclpy
    from rclpy.publisher import Publisher
    from rclpy.signals import SignalHandlerOptions
    from support.driven_node import DrivenNode

    nodes: list[DrivenNode] = []
    sent: dict[str, list[Any]] = {}

    def make(**parameters: Any) -> DrivenNode:
        nodes.append(DrivenNode(sent, **parameters))
        return nodes[-1]

    def publish(publisher: Publisher, message: Any) -> None:
        sent.setdefault(publisher.topic_name, []).append(message)

    monkeypatch.setattr(Publisher, "publish", publish)
    no_handlers = SignalHandlerOptions.NO
    rclpy.init(args=[], domain_id=module_ros_domain, signal_handler_options=no_handlers)
    yield make
    for node in nodes:
        node.close()
    rclpy.shutdown()


@pytest.fixture
def driven(unconfigured: Callable[..., Any]) -> Callable[..., Any]:
    """Makes one that is active."""

    def make(**parameters: Any) -> Any:
        made = unconfigured(**parameters)
        assert made.node.autostart()
        return made

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real `office` recordings: `mapping` and `query`, both bags."""
    folder = REPO.parent / "shared" / "data" / "office"
    if not folder.is_dir():
        pytest.skip("the office recordings are not here (../shared/data/office beside the repo)")
    return folder
