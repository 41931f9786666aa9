"""The file of the parameter saved_pose_file: read at activate, written while there are fixes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from glace_ros.atomic_write import partial_of, write_atomically
from glace_ros.node.localizing.image_worker import NewestFirstWorker
from glace_ros.node.ros_interface.transition_log import TransitionLog
from glace_ros.node.saved_pose import SavedPose, SavedPoseError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.fusion.odometry_fusion import Fix
    from glace_ros.geometry.pose import Pose
    from glace_ros.node.localizing.loaded_map import LoadedMap
    from glace_ros.node.ros_interface.parameters import LocalizeParameters

PERIOD_S = 5.0  # between two writes
LARGEST_BYTES = 65_536  # of a file that is read: 40 times what is written


class SavedPoseFile:
    """Keeps the file up to date, in a thread of its own: a disk may take its time.

    Nothing is written before `start`; after `stop` neither.

    path: of the file.
    log: an rclpy logger.
    """

    def __init__(self, path: Path, log: Any) -> None:
        self.path, self._log = path, log
        self._transitions = TransitionLog()
        self._newest: SavedPose | None = None
        self._written: SavedPose | None = None
        self._worker: NewestFirstWorker[SavedPose] = NewestFirstWorker(
            self._write, lambda _, error: self._say(error), 1.0 / PERIOD_S
        )

    def start(self) -> None:
        """Begins the thread that writes."""
        self._worker.start()

    def read(self) -> SavedPose | None:
        """None where there is no file yet. Raises SavedPoseError."""
        try:
            if not self.path.exists():
                return None
            if not self.path.is_file():  # nor a pipe that nobody writes to
                raise SavedPoseError("it is not a file")
            with self.path.open("rb") as file:
                data = file.read(LARGEST_BYTES + 1)
            if len(data) > LARGEST_BYTES:
                raise SavedPoseError("it is too large to be one that this node writes")
            return SavedPose.from_json(data.decode("utf-8"))
        except OSError as error:
            raise SavedPoseError(f"it cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SavedPoseError("it is not JSON") from None

    def check_writable(self) -> None:
        """Says at once what would come out after the first fix only."""
        try:
            if self.path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            partial_of(self.path).open("ab").close()
            partial_of(self.path).unlink()
        except OSError as error:
            self._say(error)

    def offer(self, pose: SavedPose) -> None:
        """To be written soon, unless a newer one comes before."""
        self._newest = pose
        self._worker.offer(pose)

    def forget(self) -> None:
        """What was offered is not to be written any more."""
        self._worker.clear()
        self._newest = None

    def stop(self) -> None:
        """Returns when the newest pose is written, or cannot be."""
        self._worker.stop()
        newest, self._newest = self._newest, None
        if newest is not None and newest is not self._written:
            try:
                self._write(newest)
            except OSError as error:
                self._say(error)

    def _write(self, pose: SavedPose) -> None:
        write_atomically(self.path, pose.to_json())
        self._written = pose
        if self._transitions.leave("write"):
            self._log.info(f"The pose is saved again in {self.path}.")

    def _say(self, error: Exception) -> None:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        self._transitions.enter(
            "write",
            reason,
            lambda: self._log.warning(
                f"The pose cannot be saved in {self.path} (saved_pose_file): {reason}."
            ),
        )


class PoseMemory:
    """The parameter saved_pose_file at work, from `start` to `stop`.

    Does nothing where the parameter is empty.

    parameters: of the node.
    log: an rclpy logger.
    """

    def __init__(self, parameters: LocalizeParameters, log: Any) -> None:
        self._log, self._base_frame = log, parameters.base_frame_id
        path = Path(parameters.saved_pose_file).expanduser()
        self._file = SavedPoseFile(path, log) if parameters.saved_pose_file else None

    def start(self) -> None:
        """Begins to write what is to be kept."""
        if self._file is not None:
            self._file.start()

    def recall(
        self,
        loaded_map: LoadedMap,
        expect: Callable[[Pose, NDArray[np.float64], str], None],
    ) -> None:
        """Hands the saved pose to `expect`, with its covariance and what it is called."""
        if self._file is None:
            return
        self._file.check_writable()
        try:
            saved = self._file.read()
            if saved is None:
                return
            saved.check_is_of(loaded_map.map_id, loaded_map.origin_m, self._base_frame)
        except SavedPoseError as error:
            self._log.warning(
                f"The pose in {self._file.path} (saved_pose_file) is left out: {error}."
            )
            return
        expect(saved.map_from_base, saved.expected_66, "Saved pose")

    def keep(self, fix: Fix, loaded_map: LoadedMap) -> None:
        """To be called with each fix that is published, from any thread."""
        if self._file is not None:
            self._file.offer(
                SavedPose(
                    loaded_map.map_id, loaded_map.origin_m, self._base_frame,
                    fix.stamp_ns, fix.map_from_base, fix.covariance_66,
                )
            )  # fmt: skip

    def forget(self) -> None:
        """All fixes are forgotten: those that are not yet in the file do not get there."""
        if self._file is not None:
            self._file.forget()

    def stop(self) -> None:
        """Returns when the last pose is in the file, or cannot be."""
        if self._file is not None:
            self._file.stop()
