"""Makes durable what was written, while more is written."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from patchsync.store.files import storing, sync_file_system


class BackgroundSync:
    """As `sync_file_system`, in a thread while more is written; a context.

    What it met is raised by the next call, as StoreUnavailable: the system tells of it only once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    @property
    def idle(self) -> bool:
        """Whether none is under way."""
        return self._running is None or self._running.done()

    def start(self) -> None:
        """Begin, unless it is under way."""
        if self.idle:
            self.finish()
            self._running = self._thread.submit(sync_file_system, self._folder)

    def finish(self) -> None:
        """Wait until it is through."""
        running, self._running = self._running, None
        if running is not None:
            with storing(self._folder):
                running.result()
