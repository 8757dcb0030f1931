"""Bars on a terminal, and plain lines elsewhere, one each few seconds."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from patchsync.cli.output import echo
from patchsync.patchwork.foreign_text import visible

LINE_SECONDS = 5.0


class Bars:
    """A context that shows bars where there is a terminal."""

    def __init__(self, *columns: ProgressColumn, err: bool = False) -> None:
        """`columns`: those after the description; `err`: on stderr, and gone at the end."""
        # Square brackets in a project's name are no markup.
        description = TextColumn("{task.description}", markup=False)
        console = Console(stderr=err)
        self.progress = Progress(description, *columns, console=console, transient=err)
        self.on_terminal = self.progress.console.is_terminal
        self._next_line = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Self:
        if self.on_terminal:
            self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.on_terminal:
            self.progress.stop()

    def line_is_due(self) -> bool:
        """Whether it is time for plain lines; asked again it is not, for some seconds."""
        if self.on_terminal or time.monotonic() < self._next_line:
            return False
        self._next_line = time.monotonic() + LINE_SECONDS
        return True


class StepBars(Bars):
    """Shows one step after the other, each with how far it is; a context."""

    def __init__(self, *, err: bool = False) -> None:
        """`err`: as of `Bars`."""
        super().__init__(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), err=err)
        self._err = err
        self._rows: dict[str, TaskID] = {}

    def on_progress(self, what: str, done: int, of: int) -> None:
        """Show that `done` of `of` is done of a step."""
        if self.on_terminal:
            if what not in self._rows:
                self._rows[what] = self.progress.add_task(visible(what), total=of)
            self.progress.update(self._rows[what], completed=done, total=of)
        elif self.line_is_due():
            echo(f"{what}: {done} of {of}", err=self._err)
