"""What `--resume` goes on from, beside the map to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glace_ros.errors import interruption_says
from glace_ros.mapping.resume.encoding_journal import EncodingJournal
from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from glace_ros.mapping.views.encoded_views import EncodedViews
    from glace_ros.ranks import Ranks
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.held_out import HeldOutImages


class SavedWork:
    """The files of one build: a journal of what was encoded, and a checkpoint of training.

    Construction touches no file: call `start` before the first image.

    output: the map to be; the files lie beside it.
    fingerprint: names recording and settings; only files of the same ones are gone on from.
    encoded: what the journal saves and restores.
    resume: whether to go on from what is there.
    every_s: seconds of work between two files.
    journal: of this rank's views.
    checkpoint: of training; rank 0 alone has one.
    """

    def __init__(
        self,
        output: Path,
        fingerprint: str,
        reader: DrivesReader,
        encoded: EncodedViews,
        held_out: HeldOutImages,
        ranks: Ranks,
        *,
        resume: bool,
        every_s: float,
    ) -> None:
        self._every_s = every_s
        self._resume = resume
        self._held_out = held_out
        path = output.with_name(output.name + ".checkpoint")
        self.checkpoint = (
            None if ranks.rank else TrainingCheckpoint(path, fingerprint, resume=resume)
        )
        part = f"-{ranks.rank}of{ranks.count}" if ranks.count > 1 else ""
        self.journal = EncodingJournal(
            output.with_name(f"{output.name}.encoded{part}"),
            f"{fingerprint} {ranks.rank} of {ranks.count}",
            encoded,
            lambda: {
                "position": reader.position,
                "held_out": held_out.noted,
                "non_keyframes": held_out.non_keyframes,
            },
            every_s,
        )

    @property
    def latest(self) -> Path | None:
        """What `--resume` would go on from; None where nothing is saved."""
        paths = [self.checkpoint.path] if self.checkpoint else []
        return next((path for path in (*paths, self.journal.folder) if path.exists()), None)

    def start(self) -> dict[str, Any] | None:
        """Put views and held-out images where an interrupted run left them; where to go on reading.

        Without `resume` the journal of an earlier run is deleted, and None returned: from the
        start. Its checkpoint goes when training begins (`forget_unless_resumed`).
        Raises MappingError for files of another recording, other settings, or damaged ones.
        """
        if not self._resume:
            self.journal.remove()
        saved = self.journal.restore() if self._resume else {}
        for noted, name in (
            (self._held_out.noted, "held_out"), (self._held_out.non_keyframes, "non_keyframes"),
        ):  # fmt: skip
            noted[:] = [(drive, stamp) for drive, stamp in saved.get(name, [])]
        return saved.get("position")

    def before_training(self, seconds: float) -> None:
        """The work so far took so long: what is not saved yet is, if it is worth it."""
        if seconds > self._every_s:
            self.journal.save()

    def resumable(self) -> AbstractContextManager[None]:
        """Ctrl-C and SIGTERM say what was saved until then."""

        def words() -> str:
            path = self.latest
            return f"; --resume goes on from {path}" if path else "; nothing was saved yet"

        return interruption_says(words)

    def remove(self) -> None:
        """The map is written."""
        if self.checkpoint:
            self.checkpoint.remove()
        self.journal.remove()
