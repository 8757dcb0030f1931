"""Tasks that ask Patchwork: what is new (`probe`, `audit`), and the mails (`fetch_page`).

`probe` and `audit` run where the store is; the others need only Redis and HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import redis

from patchsync.errors import ConfigError, GiveUp, PatchsyncError
from patchsync.fleet.backpressure import LATER, Backpressure
from patchsync.fleet.redis_client import redis_now
from patchsync.patchwork.download import Limits
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.paging import Page
from patchsync.sync.audit import ListedSince
from patchsync.sync.audit import audit as audit_next_pages
from patchsync.sync.differences import Differences
from patchsync.sync.fetch import fetch_page as fetch_listed
from patchsync.sync.fetch import fetch_patches as fetch_singly
from patchsync.sync.fetch import lease_of, leased_pages
from patchsync.sync.probe import goes_on
from patchsync.sync.probe import probe as compare_with_store
from patchsync.sync.projects import Project, name_of, open_project
from patchsync.sync.request_count import keep_count
from workers import context, enqueue
from workers.celery import app
from workers.task_base import ProjectTask

log = logging.getLogger(__name__)

# While the store has not taken in what a comparison saw, the next one would see it again.
SEEN_LEASE = "what was seen"
# A round that asks for more pages than that is a backlog, and lets other projects go first.
FEW_PAGES = 2


class ProbeTask(ProjectTask):
    """A round of the project that it names; with `in_turn` of the one whose turn it is."""

    abstract = True

    def __call__(self, project: str, in_turn: bool = False, *args: Any, **kwargs: Any) -> None:
        """As `ProjectTask`'s, for that project."""
        if in_turn:
            with suppress(redis.RedisError):  # The round meets it too, or Redis is full.
                project = context.project_in_turn()
        super().__call__(project, *args, **kwargs)


@app.task(name="workers.fetch.probe", base=ProbeTask, wants_key=False)
def probe(project: str, in_turn: bool = False) -> None:
    """Compare a project with the store and fan out the pages that differ.

    With `in_turn`, as beat enqueues it, that is the next of all projects, and `project` is for when
    nobody knows which (see `ProbeTask`): who waits in vain for a whole interval goes first then.
    """
    config, limiter = context.config(), context.limiter(has_store=True)
    client = context.client(has_store=True)
    synced = open_project(config, client, project)
    leases = context.leases(synced.key)
    in_flight = leases.names()
    pages = leased_pages(in_flight)
    if in_flight and (len(pages) < len(in_flight) or not goes_on(synced, config, len(pages))):
        keep_count(synced, limiter)
        return  # A page of the round that is under way enqueues the next one.
    differences = compare_with_store(synced, config, client, limiter, pages)
    log.info("%s: %s", synced.name, differences.summary)
    _follow(synced, differences)
    if differences.due and leases.take(enqueue.QUARANTINE_LEASE):
        enqueue.retry_quarantined(synced.key, synced.name, differences.due)


@app.task(name="workers.fetch.audit", base=ProjectTask, wants_key=False)
def audit(project: str, since: float | None = None, listed_since: float | None = None) -> None:
    """List the next pages of a project and compare every id; with `since`, go on to the last.

    With `listed_since`, without those that were listed since then.
    """
    turn, ours = context.audit_turn(), False
    try:
        with turn.take((project, since, listed_since)) as ours:
            if ours:
                _audit(project, since, listed_since)
    finally:
        if ours and (waiting := turn.next()):
            with suppress(ConfigError):  # It may have left the configuration.
                enqueue.audit(*waiting)


def _audit(project: str, since: float | None, listed_since: float | None) -> None:
    config, limiter = context.config(), context.limiter(has_store=True)
    client = context.client(has_store=True)
    synced = open_project(config, client, project)
    if since is None and context.leases(synced.key).in_flight():
        return  # What is missing now is on its way; the audit goes on at its next turn.
    listed = None
    if listed_since is not None:
        listed = ListedSince(listed_since, redis_now(context.redis_client()))
    differences = audit_next_pages(synced, config, client, limiter, since=since, listed=listed)
    log.info("%s: %s", synced.name, differences.summary)
    _follow(synced, differences)
    if since is not None and not differences.ended:
        enqueue.audit(synced.key, since, listed_since)


@app.task(name="workers.fetch.fetch_page", base=ProjectTask, bind=True)
def fetch_page(
    self: ProjectTask,
    project: str,
    page: dict[str, Any],
    held: list[int],
    lease: str | None = None,
) -> None:
    """Download the patches that a page lists and the store does not hold.

    With `lease`: only if somebody still waits for it.
    """
    listed = Page.from_message(page)
    if lease is not None and not context.leases(project).is_out(lease):
        return  # It waited too long, or comes twice: the next round asks for what is missing.
    limits, asked_at = Limits.of(context.config()), redis_now(context.redis_client())
    results = fetch_listed(context.client(), project, listed, held, limits, asked_at)
    _hand_over(self, project, lease_of(listed), results)


@app.task(name="workers.fetch.fetch_patches", base=ProjectTask, bind=True)
def fetch_patches(self: ProjectTask, project: str, ids: list[int]) -> None:
    """Download single patches by their ids, such as those that were quarantined."""
    if not isinstance(ids, list) or not all(type(number) is int and number > 0 for number in ids):
        raise GiveUp(f"{ids!r} is no list of patchwork ids like [17, 18]")
    limits = Limits.of(context.config())
    results = fetch_singly(context.client(), project, ids, limits, enqueue.QUARANTINE_LEASE)
    _hand_over(self, project, enqueue.QUARANTINE_LEASE, results)


def _follow(project: Project, differences: Differences) -> None:
    """Enqueue what follows from a comparison: what was seen to index, each page to fetch."""
    leases = context.leases(project.key)
    if differences.seen is not None:
        leases.take(SEEN_LEASE)
        enqueue.index_mails(project.key, replace(differences.seen, lease=SEEN_LEASE))
    later = len(differences.want) > FEW_PAGES
    for want in differences.want:
        if leases.take(lease_of(want.page)):
            enqueue.fetch_page(project.key, project.name, want, later=later)


def _hand_over(task: ProjectTask, key: str, lease: str, results: Iterable[FetchResult]) -> None:
    """Enqueue to index what is downloaded, as it comes; give the lease back if that fails.

    While too much waits for index, nothing is begun and nothing is enqueued.
    """
    leases = context.leases(key)
    later = (task.request.delivery_info or {}).get("priority") == LATER
    bound = context.config().fleet.queue_bytes
    backpressure = Backpressure(context.index_queue(), bound, later=later)

    def keep() -> None:
        leases.keep(lease)

    keep()
    mails = quarantined = 0
    try:
        backpressure.wait(keep)
        # Nothing is asked before the first turn of this loop.
        for result in results:
            backpressure.wait(keep)
            enqueue.index_mails(key, result)
            mails += len(result.mails)
            quarantined += len(result.quarantined)
            if result.lease is None:
                keep()  # Else index may have given it back by now.
    except PatchsyncError:
        leases.release(lease)
        raise
    name = name_of(context.config(), key)
    log.info("%s: %s: %d mails, %d quarantined", name, lease, mails, quarantined)
