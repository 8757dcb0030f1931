"""Writes a project's store piece by piece, beside a fleet that writes it too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Self, TypeVar

import redis

from patchsync.config import Config
from patchsync.errors import LockHeld, StaleWriter, StoreUnavailable, TryAgainLater
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.background_sync import BackgroundSync
from patchsync.store.redis_lock import give_way, lock_name, redis_lock
from patchsync.store.writer import Stored, StoreWriter, Written
from patchsync.sync.projects import Project
from patchsync.sync.store_result import halting, open_writer

# Whoever is killed while it has the lock keeps the others waiting for so long. A piece that takes
# longer may be overtaken, and is tried again: then its mails are on disk already.
LOCK_SECONDS = 10.0
_PAUSE = 0.2  # seconds before Redis is tried again
_Done = TypeVar("_Done")


class LockedStore:
    """The store of one project, whose lock is held for one piece at a time; a context.

    Between two pieces index workers have their turn. What they write makes our writer stale: we
    take the store over again and go on.
    """

    def __init__(
        self,
        config: Config,
        project: Project,
        client: redis.Redis,
        *,
        patience: float,
        keep_redis: Callable[[], object],
    ) -> None:
        """Nothing is written yet.

        Args:
            config: the configuration.
            project: it has its place in the store.
            client: Redis, where the fleet's lock is.
            patience: seconds without any progress after which it is given up.
            keep_redis: is called where Redis does not answer, to start it again if it is ours.
        """
        self._project = project
        self._client = client
        self._lock_name = lock_name(config, project.key)
        self._lock_seconds = min(LOCK_SECONDS, config.fleet.lock_seconds)
        self._patience = patience
        self._keep_redis = keep_redis
        self._lock: ExitStack | None = None
        self._open = ExitStack()
        self._writer: StoreWriter | None = None
        # Most of a piece is durable by the time when all of it is written.
        self._sync = BackgroundSync(project.paths.mails)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._sync:
            self._unlock()
            self._close()

    def store(self, piece: Iterable[FetchResult]) -> Stored:
        """Store a piece: all of it is durable, and in the index, at its end.

        Raises:
            GiveUp: the project is halted, or the store is damaged.
            StoreUnavailable: the disk is full, or not writable.
            TryAgainLater: the store was not to be had for too long.
        """
        written = Written()
        try:
            for result in piece:
                self._under_lock(partial(StoreWriter.write, result=result, written=written))
                if written.entries:  # Else there may be no folder yet.
                    self._sync.start()
            self._sync.finish()
            return self._under_lock(partial(StoreWriter.commit, written=written))
        finally:
            self._unlock()

    def _under_lock(self, work: Callable[[StoreWriter], _Done]) -> _Done:
        """Have the writer do something under the lock, again where it passes by itself."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                writer = self._locked_writer(max(0.0, deadline - time.monotonic()))
                with halting(self._project):
                    return work(writer)
            except (StaleWriter, LockHeld, StoreUnavailable, redis.RedisError) as error:
                self._unlock()
                self._close()
                if time.monotonic() >= deadline:
                    raise TryAgainLater(
                        f"nothing was stored for {self._patience:g} s: {error}"
                    ) from error
                if isinstance(error, redis.RedisError):
                    self._keep_redis()
                if isinstance(error, redis.RedisError | StoreUnavailable):
                    time.sleep(_PAUSE)

    def _locked_writer(self, wait: float) -> StoreWriter:
        if self._lock is None:
            give_way(self._client, self._lock_name)
            with ExitStack() as stack:
                stack.enter_context(
                    redis_lock(self._client, self._lock_name, ttl=self._lock_seconds, wait=wait)
                )
                self._lock = stack.pop_all()
        if self._writer is None:
            self._writer = self._open.enter_context(open_writer(self._project))
        return self._writer

    def _unlock(self) -> None:
        if self._lock is not None:
            lock, self._lock = self._lock, None
            lock.close()

    def _close(self) -> None:
        self._writer = None
        self._open.close()
