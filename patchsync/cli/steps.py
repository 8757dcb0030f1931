"""How far a command is, step by step, where it takes longer than a moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from patchsync.cli.bars import StepBars

# What ends sooner shows no bar, and need not load what draws it.
MOMENT_SECONDS = 0.3


class Steps:
    """Shows one step after the other, each with how far it is; a context."""

    def __init__(self, *, err: bool = False) -> None:
        """`err`: on stderr, and gone at the end."""
        self._err = err
        self._from = time.monotonic() + MOMENT_SECONDS
        self._bars: StepBars | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bars:
            self._bars.__exit__(*raised)

    def on_progress(self, what: str, done: int, of: int) -> None:
        """Show that `done` of `of` is done of a step."""
        if self._bars is None:
            if time.monotonic() < self._from:
                return
            from patchsync.cli.bars import StepBars

            self._bars = StepBars(err=self._err).__enter__()
        self._bars.on_progress(what, done, of)
