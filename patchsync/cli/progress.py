"""A bar per project on a terminal, a plain line each few seconds elsewhere."""

from __future__ import annotations

import time

import click
from rich import progress as columns

from patchsync.cli.bars import Bars
from patchsync.sync.driver import Driver

LINE_SECONDS = 5.0


class Progress(Bars):
    """Shows how far each project is; a context."""

    def __init__(self, drives: list[Driver]) -> None:
        super().__init__(
            columns.BarColumn(),
            columns.MofNCompleteColumn(),
            columns.TextColumn("{task.fields[doing]}"),
            columns.TimeElapsedColumn(),
        )
        self._drives = drives
        self._rows = {
            drive.key: self.shown.add_task(drive.key, total=None, doing="") for drive in drives
        }
        self._next_line = time.monotonic() + LINE_SECONDS

    def update(self) -> None:
        """Show what is so now."""
        if not self.on_terminal:
            if time.monotonic() < self._next_line:
                return
            self._next_line = time.monotonic() + LINE_SECONDS
        for drive in self._drives:
            if self.on_terminal:
                self.shown.update(
                    self._rows[drive.key],
                    description=drive.name,
                    completed=drive.known,
                    total=drive.count,
                    doing=drive.doing,
                )
            elif drive.outcome is None:
                total = "?" if drive.count is None else drive.count
                click.echo(f"{drive.name}: {drive.known} of {total} patches, {drive.doing}")
