"""A bar per project on a terminal, a plain line each few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import click
from rich import progress as bars

from patchsync.oneshot import Drive

LINE_SECONDS = 5.0


class Progress:
    """Shows how far each project is; a context."""

    def __init__(self, drives: list[Drive]) -> None:
        self._drives = drives
        self._bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[doing]}"),
            bars.TimeElapsedColumn(),
        )
        self._rows = {
            drive.key: self._bars.add_task(drive.key, total=None, doing="") for drive in drives
        }
        self._terminal = self._bars.console.is_terminal
        self._next_line = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Self:
        if self._terminal:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal:
            self._bars.stop()

    def update(self) -> None:
        """Show what is so now."""
        if not self._terminal:
            if time.monotonic() < self._next_line:
                return
            self._next_line = time.monotonic() + LINE_SECONDS
        for drive in self._drives:
            if self._terminal:
                self._bars.update(
                    self._rows[drive.key],
                    description=drive.name,
                    completed=drive.known,
                    total=drive.count,
                    doing=drive.doing,
                )
            elif drive.outcome is None:
                total = "?" if drive.count is None else drive.count
                click.echo(f"{drive.name}: {drive.known} of {total} patches, {drive.doing}")
