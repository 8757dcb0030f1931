"""What a project costs its Patchwork in a day, kept in the store so that no flush loses it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchsync.config import Config
from patchsync.errors import TryAgainLater
from patchsync.patchwork.rate_limit_state import NO_PROJECT
from patchsync.store.json_file import write_record
from patchsync.sync.projects import Project, find_projects
from patchsync.sync.records import parsed

if TYPE_CHECKING:
    from patchsync.patchwork.rate_limit import RedisRateLimiter

# So often the count is kept while a backlog comes in; what is lost with Redis is the count since.
KEEP_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class RequestsRecord:
    """The requests of a project on a day (UTC)."""

    day: str
    requests: int
    # Of all projects together: those that belong to none, like the search for the API's version
    others: int = 0


def last_requests(project: Project) -> RequestsRecord | None:
    """The requests of the last day on which there were any."""
    return parsed(RequestsRecord, project.paths.requests)


def keep_count(project: Project, limiter: RedisRateLimiter) -> None:
    """Have the store keep this day's count of requests, if it changed.

    Where Redis went back in time, and has counted fewer than the store kept, it gets these back.
    """
    kept = last_requests(project)
    record = _count_of(project, limiter)
    if kept and kept.day == record.day and kept.requests > record.requests:
        limiter.requests_today()
        record = _count_of(project, limiter)
    if record != kept:
        write_record(project.paths, project.paths.requests, asdict(record))


def keep_count_in_backlog(project: Project, limiter: RedisRateLimiter) -> None:
    """As `keep_count`, every few seconds: a backlog may run for hours between two rounds.

    It is only a note, which comes again: a server or store that is not to be had is no error here.
    """
    with suppress(TryAgainLater):
        # Written in the time to come: a clock was set back.
        if not 0 <= _age(project.paths.requests) <= KEEP_SECONDS:
            keep_count(project, limiter)


def kept_requests(config: Config, day: str) -> dict[str, int]:
    """The requests of a day (`YYYY-MM-DD`, UTC) as the store kept them, by project.

    What the rate limit brings back after Redis lost its data.
    """
    counts = {NO_PROJECT: 0}
    for project in find_projects(config):
        record = last_requests(project)
        if record and record.day == day:
            counts[project.key] = record.requests
            counts[NO_PROJECT] = max(counts[NO_PROJECT], record.others)
    return counts


def _count_of(project: Project, limiter: RedisRateLimiter) -> RequestsRecord:
    spent = limiter.requests_of(project.key)
    return RequestsRecord(day=spent.day, requests=spent.requests, others=spent.others)


def _age(file: Path) -> float:
    """Seconds since it was written; endless where it is not there."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
