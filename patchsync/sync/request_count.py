"""What a project costs its Patchwork in a day, kept in the store so that no flush loses it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchsync.config import Config
from patchsync.errors import TryAgainLater
from patchsync.patchwork.rate_limit_state import NO_PROJECT
from patchsync.store.json_file import write_record
from patchsync.sync.projects import Project, find_project
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
    """Have the store keep this day's count of requests, if it changed."""
    spent = limiter.requests_today()
    record = RequestsRecord(
        day=spent.day,
        requests=spent.requests.get(project.key, 0),
        others=spent.requests.get(NO_PROJECT, 0),
    )
    if record != last_requests(project):
        write_record(project.paths, project.paths.requests, asdict(record))


def keep_count_in_backlog(project: Project, limiter: RedisRateLimiter) -> None:
    """As `keep_count`, every few seconds: a backlog may run for hours between two rounds.

    It is only a note, which comes again: a server or store that is not to be had is no error here.
    """
    with suppress(TryAgainLater):
        if _age(project.paths.requests) > KEEP_SECONDS:
            keep_count(project, limiter)


def kept_requests(config: Config, day: str) -> dict[str, int]:
    """The requests of a day (`YYYY-MM-DD`, UTC) as the store kept them, by project.

    What the rate limit brings back after Redis lost its data.
    """
    counts = {NO_PROJECT: 0}
    for project in _synced(config):
        record = last_requests(project)
        if record and record.day == day:
            counts[project.key] = record.requests
            counts[NO_PROJECT] = max(counts[NO_PROJECT], record.others)
    return counts


def _synced(config: Config) -> Iterable[Project]:
    projects = (find_project(config, table.id) for table in config.projects)
    return (project for project in projects if project)


def _age(file: Path) -> float:
    """Seconds since it was written; endless where it is not there."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
