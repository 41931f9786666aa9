"""What `--resume` goes on from, beside the map to be; and what is said where the memory or the disk
is full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glace_ros.errors import interruption_says
from glace_ros.mapping.resume.encoding_journal import EncodingJournal
from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from glace_ros.mapping.map_builder import MapBuilder
    from glace_ros.ranks import Ranks
    from glace_ros.recording.held_out import HeldOutImages
    from glace_ros.recording.posed_image_reader import PosedImageReader


class SavedWork:
    """Puts the builder and the held-out images where an interrupted run left them, if asked to.

    checkpoint: of training; rank 0 alone has one. position: where to go on reading.
    """

    def __init__(
        self,
        output: Path,
        mark: str,
        reader: PosedImageReader,
        builder: MapBuilder,
        held_out: HeldOutImages,
        ranks: Ranks,
        *,
        resume: bool,
        every_s: float,
    ) -> None:
        self._every_s = every_s
        path = output.with_name(output.name + ".checkpoint")
        self.checkpoint = None if ranks.rank else TrainingCheckpoint(path, mark, resume=resume)
        share = f"-{ranks.rank}of{ranks.count}" if ranks.count > 1 else ""
        self.journal = EncodingJournal(
            output.with_name(f"{output.name}.encoded{share}"),
            f"{mark} {ranks}",
            builder.encoded,
            lambda: {"position": reader.position, "held_out": held_out.stamps_ns},
            every_s,
        )
        saved = {}
        if resume:
            saved = self.journal.restore()
        else:
            self.journal.remove()
        held_out.stamps_ns[:] = saved.get("held_out", [])
        self.position = saved.get("position")

    def before_training(self, seconds: float) -> None:
        """The work so far took so long: what is not saved yet is, if it is worth it."""
        if seconds > self._every_s:
            self.journal.save()

    def resumable(self) -> AbstractContextManager[None]:
        """Ctrl-C and SIGTERM say what was saved until then."""

        def words() -> str:
            paths = [self.checkpoint.path] if self.checkpoint else []
            for path in (*paths, self.journal.folder):
                if path.exists():
                    return f"; --resume goes on from {path}"
            return "; nothing was saved yet"

        return interruption_says(words)

    def remove(self) -> None:
        """The map is written."""
        if self.checkpoint:
            self.checkpoint.remove()
        self.journal.remove()
