"""The one place that stores what was brought home: from a fetched page, or from an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from patchsync.errors import ServerRestored
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.rate_limit import RedisRateLimiter
from patchsync.store.halt import halt
from patchsync.store.writer import Stored, StoreWriter
from patchsync.sync.listed import note_listed
from patchsync.sync.projects import Project
from patchsync.sync.request_count import keep_count_in_backlog
from patchsync.sync.view_recorder import record_shown

# A store that is written elsewhere is not waited for long: the message comes again.
LOCK_SECONDS = 5.0


def store_result(
    project: Project, result: FetchResult, limiter: RedisRateLimiter | None = None
) -> Stored:
    """Write what was fetched. To be called under the project's Redis lock.

    `limiter`: of what asked the Patchwork for it; its count of requests is kept now and then.

    Raises:
        GiveUp: the project is halted.
        ServerRestored: a message-id is not the one in the store; the project is halted.
        StaleWriter, LockHeld: another writer was there; the same result may come again.
        StoreUnavailable: the disk is full, or not writable.
    """
    with open_writer(project) as writer, halting(project):
        stored = writer.apply(result)
    note_listed(project.paths, result)
    record_shown(project.paths, result.shown, result.shown_at)
    if limiter is not None:
        keep_count_in_backlog(project, limiter)
    return stored


def open_writer(project: Project) -> StoreWriter:
    """A writer of the project's store, to be entered under the project's Redis lock."""
    return StoreWriter(project.paths, lock_wait=LOCK_SECONDS)


@contextmanager
def halting(project: Project) -> Iterator[None]:
    """Within it a writer stores: not in a halted project, and what contradicts the store halts it.

    Raises:
        GiveUp: the project is halted.
        ServerRestored: a message-id is not the one in the store; the project is halted now.
    """
    project.demand_not_halted()
    try:
        yield
    except ServerRestored as error:
        halt(project.paths, str(error))
        raise
