"""Processes that make pages: few, bounded in what waits for them and in the time that each has.

A page is made of what strangers mailed. What takes too long, or too much memory, is ended with its
process, and the server itself waits for nobody.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from patchsync.fleet.parent_death import die_with_parent
from patchsync.web.answers import LARGEST_BODY, RETRY_AFTER, Answer, PageError

logger = logging.getLogger(__name__)

# Of a line between the processes; a body follows it by itself
LONGEST_LINE = 1 << 20
# Loading Python and us, on a busy machine
START_SECONDS = 60.0


class Pool:
    """Some processes of one command; each has one page in hand at a time."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        *,
        size: int,
        waiting: int,
        seconds: float,
    ) -> None:
        """Nothing is started before it is needed.

        `waiting`: questions that wait for a process; more are refused. `seconds`: for a page.
        """
        self._workers = [_Worker(command, environment) for _ in range(size)]
        self._free = asyncio.LifoQueue[_Worker]()
        for worker in self._workers:
            self._free.put_nowait(worker)
        # Questions that wait or are being answered
        self._asked = 0
        self._most_asked = size + waiting
        self._seconds = seconds

    async def ask(self, question: dict[str, Any], is_wanted: Callable[[], bool]) -> Answer:
        """What a process answers to a question (see `patchsync.web.worker`).

        `is_wanted`: whether somebody still listens, once it is this question's turn.

        Raises:
            PageError: too many wait already, or the answer took too long or too much.
        """
        if self._asked >= self._most_asked:
            raise _busy()
        self._asked += 1
        try:
            return await self._answered(question, is_wanted)
        finally:
            self._asked -= 1

    async def _answered(self, question: dict[str, Any], is_wanted: Callable[[], bool]) -> Answer:
        try:
            worker = await asyncio.wait_for(self._free.get(), self._seconds)
        except TimeoutError:
            raise _busy() from None
        try:
            if not is_wanted():
                raise PageError(503, "Nobody waits for this any more.")
            return await worker.ask(question, self._seconds)
        finally:
            self._free.put_nowait(worker)

    async def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            await worker.kill()


def _busy() -> PageError:
    return PageError(
        503, "Too much is asked at once; try again in some seconds.", retry_after=RETRY_AFTER
    )


class _Worker:
    """One process, started when it is needed, and again when it has ended."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, question: dict[str, Any], seconds: float) -> Answer:
        """What it answers; it is ended where that takes longer than `seconds`."""
        whole = False
        try:
            process = await asyncio.wait_for(self._started(), START_SECONDS)
            answer = await asyncio.wait_for(_exchange(process, question), seconds)
            whole = True
            return answer
        except TimeoutError:
            logger.warning("%s took longer than %g s and was ended", question["page"], seconds)
            raise PageError(
                503, f"This took longer than {seconds:g} seconds, and was ended."
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            logger.warning("%s ended its process", question["page"])
            raise PageError(503, "This took more than a page may take, and was ended.") from None
        finally:
            if not whole:
                await self.kill()

    async def kill(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process and self._process.returncode is None:
            return self._process
        self._process = process = await asyncio.create_subprocess_exec(
            *die_with_parent(self._command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        assert process.stdout
        await process.stdout.readuntil(b"\n")  # It is ready.
        return process


async def _exchange(process: asyncio.subprocess.Process, question: dict[str, Any]) -> Answer:
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(question).encode() + b"\n")
    await process.stdin.drain()
    head = json.loads(await process.stdout.readuntil(b"\n"))
    size = head.pop("size")
    if size > LARGEST_BODY:
        raise ConnectionError
    return Answer(body=await process.stdout.readexactly(size), **head)
