"""Tasks that ask Patchwork: what is new (`probe`, `audit`), and the mails (`fetch_page`).

`probe` and `audit` run where the store is; the others need only Redis and HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from celery import Task

from patchsync import pages, rounds
from patchsync.backlog import LATER, Brake
from patchsync.delivery import Delivery
from patchsync.errors import GiveUp, PatchsyncError
from patchsync.patchwork.download import Limits
from patchsync.patchwork.paging import Page
from patchsync.sites import Site, open_site
from workers import context, messages
from workers.celery import app
from workers.tasks import OPTIONS, told

log = logging.getLogger(__name__)

# While the store has not taken in what a comparison saw, the next one would see it again.
SEEN_LEASE = "what was seen"
# A round that asks for more pages than that is a backlog, and lets other projects go first.
FEW_PAGES = 2


@app.task(name="workers.fetch.probe", **OPTIONS)
def probe(project: str) -> None:
    """Compare a project with the store and fan out the pages that differ."""
    with told("probe", project):
        config, gate = context.config(), context.gate(has_store=True)
        client = context.client(has_store=True)
        site = open_site(config, client, str(project))
        board = context.board(site.key)
        if board.in_flight():
            rounds.keep_count(site, gate)
            return  # The last page of the round that is under way enqueues the next one.
        found = rounds.probe(site, config, client, gate)
        log.info("%s: %s", site.name, found.story)
        _follow(site, found)
        if found.due and board.take(messages.SET_ASIDE_LEASE):
            messages.fetch_set_aside(site.key, site.name, found.due)


@app.task(name="workers.fetch.audit", **OPTIONS)
def audit(project: str, since: float | None = None) -> None:
    """List the next pages of a project and compare every id; with `since`, go on to the last."""
    with told("audit", project):
        config, gate = context.config(), context.gate(has_store=True)
        client = context.client(has_store=True)
        site = open_site(config, client, str(project))
        if since is None and context.board(site.key).in_flight():
            return  # What is missing now is on its way; the audit goes on at its next turn.
        found = rounds.audit(site, config, client, gate, since=since)
        log.info("%s: %s", site.name, found.story)
        _follow(site, found)
        if since is not None and not found.ended:
            messages.audit_on(site.key, since)


@app.task(name="workers.fetch.fetch_page", bind=True, **OPTIONS)
def fetch_page(
    self: Task[..., None],
    project: str,
    page: dict[str, Any],
    held: list[int],
    lease: str | None = None,
) -> None:
    """Download the patches that a page lists and the store does not hold.

    With `lease`: only if somebody still waits for it.
    """
    ask = context.config().fleet
    with told("fetch_page", project):
        key = context.config().project(project).id
        wanted = Page.from_message(page)
        if lease is not None and not context.board(key).is_out(lease):
            return  # It waited too long, or comes twice: the next round asks for what is missing.
        found = pages.fetch_page(context.client(), key, wanted, held, _limits(), ask.batch_bytes)
        _deliver(self, key, pages.lease_of(wanted), found)


@app.task(name="workers.fetch.fetch_patches", bind=True, **OPTIONS)
def fetch_patches(self: Task[..., None], project: str, ids: list[int]) -> None:
    """Download single patches by their ids, such as those that were set aside."""
    lease = messages.SET_ASIDE_LEASE
    with told("fetch_patches", project):
        key = context.config().project(project).id
        if not isinstance(ids, list) or not all(type(each) is int and each > 0 for each in ids):
            raise GiveUp(f"{ids!r} is no list of patchwork ids like [17, 18]")
        found = pages.fetch_patches(
            context.client(), key, ids, _limits(), context.config().fleet.batch_bytes, lease
        )
        _deliver(self, key, lease, found)


def _follow(site: Site, found: rounds.Found) -> None:
    """Hand on what a comparison found: what was seen to index, each page to fetch."""
    board = context.board(site.key)
    if found.seen is not None:
        board.take(SEEN_LEASE)
        messages.index_mails(site.key, replace(found.seen, lease=SEEN_LEASE))
    for want in found.want:
        if board.take(pages.lease_of(want.page)):
            messages.fetch_page(site.key, site.name, want, later=len(found.want) > FEW_PAGES)


def _deliver(task: Task[..., None], key: str, lease: str, found: Iterable[Delivery]) -> None:
    """Hand to index what is downloaded as it comes, and give the lease back if that fails.

    While too much waits for index, nothing is begun and nothing is handed over.
    """
    board = context.board(key)
    later = (task.request.delivery_info or {}).get("priority") == LATER
    brake = Brake(context.backlog(), context.config().fleet.queue_bytes, later=later)

    def keep() -> None:
        board.keep(lease)

    keep()
    mails = set_aside = 0
    try:
        brake.wait(keep)
        # Nothing is asked before the first turn of this loop.
        for delivery in found:
            brake.wait(keep)
            messages.index_mails(key, delivery)
            mails += len(delivery.mails)
            set_aside += len(delivery.set_aside)
            if delivery.lease is None:
                keep()  # Else index may have given it back by now.
    except PatchsyncError:
        board.release(lease)
        raise
    log.info("%s: %s: %d mails, %d set aside", key, lease, mails, set_aside)


def _limits() -> Limits:
    config = context.config()
    return Limits(
        max_mail_bytes=config.patchwork.max_mail_bytes,
        max_series_bytes=config.patchwork.max_series_bytes,
        threads=config.fleet.downloads,
    )
