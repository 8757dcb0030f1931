"""A bar with mails, speed and time left on a terminal, a plain line each few seconds elsewhere."""

from __future__ import annotations

import time

from rich import progress as columns

from patchsync.cli.bars import Bars
from patchsync.cli.output import echo
from patchsync.imports.intake import ImportProgress

# Before so much is done, the time left is anybody's guess.
GUESSABLE = 0.03


class Bar(Bars):
    """Shows how far a step is; a context."""

    def __init__(self, what: str, total_bytes: int) -> None:
        super().__init__(
            columns.BarColumn(),
            columns.TextColumn("{task.fields[mails]} mails"),
            columns.DownloadColumn(),
            columns.TransferSpeedColumn(),
            columns.TimeRemainingColumn(),
        )
        self._what = what
        self._total = total_bytes
        self._row = self.progress.add_task(what, total=total_bytes, mails=0)
        self._began = time.monotonic()
        self._last = ImportProgress()

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        if not self.on_terminal and raised[0] is None:
            self._line()

    def update(self, now: ImportProgress) -> None:
        """Show how much is done now."""
        self._last = now
        if self.on_terminal:
            self.progress.update(self._row, completed=now.bytes, mails=now.mails)
        elif self.line_is_due():
            self._line()

    def _line(self) -> None:
        if not self._total:
            echo(f"{self._what}: {self._last.mails} mails")
            return
        seconds = time.monotonic() - self._began
        speed = self._last.bytes / max(seconds, 0.001)
        left = ""
        if GUESSABLE * self._total < self._last.bytes < self._total:
            left = f", {(self._total - self._last.bytes) / speed:.0f} s left"
        echo(
            f"{self._what}: {self._last.mails} mails, {self._last.bytes / 1e6:.1f} of "
            f"{self._total / 1e6:.1f} MB, {speed / 1e6:.1f} MB/s{left}"
        )
