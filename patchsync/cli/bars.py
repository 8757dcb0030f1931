"""Bars on a terminal, and plain lines elsewhere, one each few seconds."""

from __future__ import annotations

import time
from typing import Self

from rich.progress import Progress, ProgressColumn, TextColumn

LINE_SECONDS = 5.0


class Bars:
    """A context that shows bars where there is a terminal."""

    def __init__(self, *columns: ProgressColumn) -> None:
        """`columns`: those after the description."""
        # Square brackets in a project's name are no markup.
        self.progress = Progress(TextColumn("{task.description}", markup=False), *columns)
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
