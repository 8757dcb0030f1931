"""A process that keeps the catalog up to date while the pages are served: none waits for it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from patchsync.config import load
from patchsync.errors import PatchsyncError
from patchsync.fleet.parent_death import die_with_parent
from patchsync.web.answers import NICENESS

# By its name, not `__main__`, which it is in its process
logger = logging.getLogger("patchsync.web.catching_up")

PAUSE_SECONDS = 2.0
# After a failure, where it may not write, and until a process that ended is started again
LONG_PAUSE_SECONDS = 60.0
NOT_WRITTEN = (
    "the catalog is not brought up to date: this user may not write it, or another process has been"
    " at it for long"
)
COMMAND = [sys.executable, "-m", "patchsync.web.catching_up"]


class CatchingUp:
    """The process, started again when it ends; to be used within an event loop."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it."""
        self._task = asyncio.get_running_loop().create_task(self._keep_running())

    async def close(self) -> None:
        """End it."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def _keep_running(self) -> None:
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *die_with_parent(self._command),
                stdin=asyncio.subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
            code = await self._process.wait()
            logger.warning("what keeps the catalog up to date ended with status %d", code)
            await asyncio.sleep(LONG_PAUSE_SECONDS)


def main() -> None:
    """Catch up again and again; what is wrong is logged once."""
    from patchsync.revisions.catch_up import catch_up

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    os.nice(NICENESS)
    config = load()
    said = ""
    while True:
        try:
            trouble = "" if catch_up(config) else NOT_WRITTEN
        except PatchsyncError as error:
            trouble = str(error)
        if trouble != said:
            logger.warning("%s", trouble or "the catalog is brought up to date again")
        said = trouble
        time.sleep(LONG_PAUSE_SECONDS if trouble else PAUSE_SECONDS)


if __name__ == "__main__":
    main()
