"""Bars on a terminal, which plain lines stand in for elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import Progress, ProgressColumn, TextColumn


class Bars:
    """A context that shows bars where there is a terminal."""

    def __init__(self, *columns: ProgressColumn) -> None:
        """`columns`: those after the description."""
        self.shown = Progress(TextColumn("{task.description}"), *columns)
        self.on_terminal = self.shown.console.is_terminal

    def __enter__(self) -> Self:
        if self.on_terminal:
            self.shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.on_terminal:
            self.shown.stop()
