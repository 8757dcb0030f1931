"""The way of mails through the fleet's index queue: piece by piece, a few of them at a time.

What is done is read from the spool, never remembered: a piece whose message was lost is asked for
again, and one that is asked for twice is stored once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import redis

from patchsync.archive.spool import Contents, Piece, Spool
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.fleet.trouble import Trouble

TASK = "index.import_archive"
LOOK_SECONDS = 0.02
# A message may be lost: when nothing was stored for so long it is sent again, then less often.
ASK_AGAIN_SECONDS = 10.0
LONGEST_SECONDS = 60.0

# enqueue(task, project, ...) enqueues a task for a project.
Enqueue = Callable[..., Any]


class Progress(NamedTuple):
    """How much is done."""

    mails: int = 0
    bytes: int = 0


class Feed:
    """Hands pieces of one project to index workers, and waits for them."""

    def __init__(
        self,
        spool: Spool,
        enqueue: Enqueue,
        trouble: Callable[[], Trouble | None],
        *,
        archive: str,
        project: str,
        spool_bytes: int,
        patience: float,
    ) -> None:
        """Nothing is written yet.

        Args:
            spool: where pieces wait.
            enqueue: how tasks are enqueued.
            trouble: what index workers last had trouble with.
            archive: names the spool in messages.
            project: as the configuration spells it.
            spool_bytes: no piece is begun while so many wait.
            patience: seconds without any progress after which it is given up.
        """
        self._spool = spool
        self._enqueue = enqueue
        self._last_trouble = trouble
        self._archive = archive
        self._project = project
        self._spool_bytes = spool_bytes
        self._patience = patience
        self._began = time.time()
        self._out: dict[Piece, Progress] = {}
        self._done = Progress()
        self._trouble: str | None = None
        self._moved_at = self._ask_again_at = 0.0
        self._note_move()

    def run(self, pieces: Iterable[tuple[Piece, Contents]]) -> Iterator[Progress]:
        """Have all pieces stored; yields what is done, often, also while it waits.

        Raises:
            GiveUp: an index worker says that it cannot go on.
            TryAgainLater: nothing was stored for too long.
        """
        for piece, contents in pieces:
            size = sum(len(mail.content) for mail in contents.mails)
            while self._waiting_bytes() + size > self._spool_bytes and self._out:
                yield from self._wait()
            self._spool.write(piece, contents)
            self._out[piece] = Progress(len(contents.mails) + len(contents.quarantined), size)
            self._ask_for(piece)
            self._look()
            yield self._done
        while self._out:
            yield from self._wait()

    def _waiting_bytes(self) -> int:
        return sum(each.bytes for each in self._out.values())

    def _wait(self) -> Iterator[Progress]:
        time.sleep(LOOK_SECONDS)
        self._look()
        now = time.monotonic()
        if now - self._moved_at > self._patience:
            raise TryAgainLater(
                f"nothing was stored for {self._patience:g} s: "
                f"{self._trouble or 'no index worker takes it; is one running?'}"
            )
        if now > self._ask_again_at:
            self._ask_again_at = now + min(now - self._moved_at, LONGEST_SECONDS)
            for piece in list(self._out):
                self._ask_for(piece)
        yield self._done

    def _look(self) -> None:
        """See which pieces are stored, and whether a worker reports trouble."""
        for piece in self._out.keys() - self._spool.waiting():
            done = self._out.pop(piece)
            self._done = Progress(self._done.mails + done.mails, self._done.bytes + done.bytes)
            self._note_move()
        with suppress(redis.RedisError):  # It comes back, or patience runs out.
            trouble = self._last_trouble()
            if trouble and trouble.at >= self._began and TASK.endswith(trouble.task):
                self._trouble = trouble.message
                if trouble.lasting:
                    raise GiveUp(trouble.message)

    def _ask_for(self, piece: Piece) -> None:
        try:
            self._enqueue(TASK, self._project, self._archive, piece.start, piece.length)
        except TryAgainLater as error:  # It is asked for again.
            self._trouble = str(error)

    def _note_move(self) -> None:
        self._moved_at = time.monotonic()
        self._ask_again_at = self._moved_at + ASK_AGAIN_SECONDS
