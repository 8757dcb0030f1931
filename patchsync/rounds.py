"""One round of a project: compare it with the store, or audit it; and store what was fetched.

The comparison itself is `patchsync.sync`. Here it meets the client on one side and the store on the
other, and what it found is kept as a record.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from patchsync.archive.expected import expected
from patchsync.config import Config
from patchsync.delivery import Delivery
from patchsync.errors import (
    GiveUp,
    ServerRestored,
    StoreUnavailable,
    TryAgainLater,
    UnknownProject,
)
from patchsync.known import Known
from patchsync.patchwork.client import Client, ProjectRemote
from patchsync.patchwork.paging import Answer, Page
from patchsync.patchwork.rate_limit import NO_PROJECT, RedisRateLimiter
from patchsync.sites import Site, find_site
from patchsync.store.container import MboxPatchwork
from patchsync.store.evidence import due
from patchsync.store.record import halt, halted, read_record, write_record
from patchsync.store.writer import Batch, Stored, StoreWriter
from patchsync.sync import PAGE, Audit, Want, compare

# A store that is written elsewhere is not waited for long: the message comes again.
STORE_LOCK_SECONDS = 5.0
# So often the count of requests is kept while a backlog comes in; what is lost with Redis is the
# count since.
KEEP_COUNT_SECONDS = 5.0
_Record = TypeVar("_Record")
# Patches that were set aside and are tried again by one task; the next round takes more.
MOST_RETRIED = 20


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """How a round went. Times are seconds since 1970."""

    at: float
    # The server's numbers
    highest: int | None
    count: int
    # How many we know: stored or set aside, and not gone
    known: int
    in_sync: bool
    # Pages that differ, in one window
    pages: int
    # Requests of the comparison
    requests: int


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """How far an audit is, or how the last one ended. Times are seconds since 1970."""

    began: float
    at: float
    # Of how many pages how many were seen
    pages: int
    all_pages: int
    ended: bool
    # Up to the highest id at its beginning: every id and message-id listed is ours, and no other
    agreed: bool
    # When an audit last agreed
    last_agreed: float | None
    state: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RequestsRecord:
    """What a project cost its Patchwork on a day (UTC); a flush of Redis does not touch it."""

    day: str
    requests: int
    # Of all projects together: those that belong to none, like the search for the API's version
    others: int = 0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a comparison or a step of an audit found."""

    # Pages to fetch
    want: tuple[Want, ...] = ()
    # For the store: what is gone, and what is back; None if nothing
    seen: Delivery | None = None
    # Patches that were set aside and are due for another try
    due: tuple[int, ...] = ()
    # Of an audit: whether that was its last page
    ended: bool = False
    # What was compared and what came of it, for the log
    story: str = ""


def probe(site: Site, config: Config, client: Client, gate: RedisRateLimiter) -> Found:
    """Compare a project with the store (`sync.compare`), and keep the record.

    Raises:
        GiveUp: the project is halted.
        StoreUnavailable: there is no room for what would be fetched.
        UnknownProject: the server does not know the project any more.
    """
    _demand_not_halted(site)
    _demand_room(config)
    # Here too, for it must be kept also when the budget is spent and no request follows.
    keep_count(site, gate)
    remote = _Listener(client, site.key)
    with site.open() as box:
        known, coming = _known(site, box)
        outcome = compare(remote, known, config.fleet.window)
        _demand_same_messages(site, box, remote.listed)
        seen = _seen(remote, outcome.gone, outcome.back)
        retry = due(box.set_aside().values(), datetime.now(UTC))[:MOST_RETRIED]
    record = RoundRecord(
        at=time.time(),
        highest=outcome.highest,
        count=outcome.count,
        known=outcome.known,
        in_sync=outcome.in_sync and not coming,
        pages=len(outcome.want),
        requests=outcome.requests,
    )
    write_record(site.paths, site.paths.round, asdict(record))
    keep_count(site, gate)
    story = _round_story(record) + (f", {coming} of these from an archive" if coming else "")
    return Found(want=outcome.want, seen=seen, due=tuple(retry), story=story)


def audit(
    site: Site,
    config: Config,
    client: Client,
    gate: RedisRateLimiter,
    *,
    since: float | None = None,
) -> Found:
    """List the next pages of a project's audit and compare each id and message-id.

    `since` (seconds since 1970): go on with the audit that began then, or begin it; one that was
    overtaken or has ended is left alone. None: go on in rotation.

    Raises:
        GiveUp: the project is halted.
        ServerRestored: a message-id is not the one in the store; the project is halted.
    """
    _demand_not_halted(site)
    remote = _Listener(client, site.key)
    highest, count = remote.newest()
    before = last_audit(site)
    if (
        since is not None
        and before
        and before.began >= since
        and (before.began > since or before.ended)
    ):
        return Found(ended=True, story="audit: ended already")
    if before is None or before.ended or (since is not None and before.began < since):
        before = _begin_audit(since or time.time(), highest or 0, before)
    state = Audit(**before.state)
    if count == 0 and not remote.exists():
        raise UnknownProject(f"{config.base_url} has no project {site.key!r} any more")
    all_pages = max(1, -(-count // PAGE))
    # At least one: where the list got shorter meanwhile, that is how the audit sees its end.
    last = max(state.page, min(all_pages, state.page - 1 + config.schedule.audit_pages))
    want: list[Want] = []
    gone: set[int] = set()
    back: set[int] = set()
    # What is held must be known before it is asked whether it is there.
    with site.open() as box, ThreadPoolExecutor(config.fleet.downloads) as pool:
        known, _ = _known(site, box)
        pages = [Page("id", PAGE, number) for number in range(state.page, last + 1)]
        for answer in pool.map(remote.list_page, pages):
            if state.done:
                break
            seen, missing = state.see(answer, known)
            gone |= seen.gone
            back |= seen.back
            want += [missing] if missing else []
        _demand_same_messages(site, box, remote.listed)
        delivery = _seen(remote, gone, back)
        agreed = state.clean(known)
    record = replace(
        before,
        at=time.time(),
        pages=state.page - 1,
        all_pages=all_pages,
        ended=state.done,
        agreed=agreed,
        last_agreed=time.time() if agreed else before.last_agreed,
        state=asdict(state),
    )
    write_record(site.paths, site.paths.audit, asdict(record))
    keep_count(site, gate)
    story = f"audit: {record.pages} of {all_pages} pages, {len(want)} of these to fetch"
    return Found(want=tuple(want), seen=delivery, ended=state.done, story=story)


def store(config: Config, key: str, delivery: Delivery, gate: RedisRateLimiter) -> Stored:
    """Write what a fetch task delivered. To be called under the project's Redis lock.

    Now and then the count of requests is kept too: a backlog may run for hours between two rounds.

    Raises:
        ServerRestored: a message-id is not the one in the store; the project is halted.
        StaleWriter, LockHeld: another writer was there; the same delivery may come again.
        StoreUnavailable: the disk is full, or not writable.
    """
    site = find_site(config, key)
    if site is None:
        raise GiveUp(f"{config.d_mbox} has no place for project {key!r} yet; a probe makes it")
    _demand_not_halted(site)
    batch = Batch(
        mails=delivery.mails,
        set_aside=delivery.set_aside,
        gone=frozenset(delivery.gone),
        listed=delivery.listed,
    )
    try:
        with StoreWriter(site.paths, lock_wait=STORE_LOCK_SECONDS) as writer:
            stored = writer.apply(batch)
    except ServerRestored as error:
        halt(site.paths, str(error))
        raise
    # Only a note, which comes again.
    with suppress(TryAgainLater):
        if _age(site.paths.requests) > KEEP_COUNT_SECONDS:
            keep_count(site, gate)
    return stored


def last_round(site: Site) -> RoundRecord | None:
    """The record of the last round; None before the first."""
    return _record(RoundRecord, site.paths.round)


def last_audit(site: Site) -> AuditRecord | None:
    """The record of the audit that is under way, or of the last one; None before the first."""
    return _record(AuditRecord, site.paths.audit)


def last_requests(site: Site) -> RequestsRecord | None:
    """The requests of the last day on which there were any."""
    return _record(RequestsRecord, site.paths.requests)


def _record(kind: Callable[..., _Record], file: Path) -> _Record | None:
    """Read a record; one of another version of patchsync is as none, for it is only a note."""
    try:
        return kind(**(read_record(file) or {}))
    except TypeError:
        return None


def _round_story(record: RoundRecord) -> str:
    server = f"the server has {record.count} up to {record.highest}"
    if record.in_sync:
        return f"in step: {server}"
    return f"{server}, {record.known} known: {record.pages} pages to fetch"


class _Listener(ProjectRemote):
    """A remote that remembers the message-ids it was told, by patchwork id."""

    def __init__(self, client: Client, key: str) -> None:
        super().__init__(client, key)
        self.listed: dict[int, str] = {}

    def list_page(self, page: Page) -> Answer | None:
        """As `ProjectRemote`."""
        answer = super().list_page(page)
        if answer is not None:
            self.listed.update(answer.entries)
        return answer


def _known(site: Site, box: MboxPatchwork) -> tuple[Known, int]:
    """What need not be fetched: what is held and not gone, and what an import will bring.

    Returns also how many of it are still to come.
    """
    coming = expected(site.paths)  # First: what arrives meanwhile is held by then.
    known = Known(box.held(), box.gone())
    held = len(known)
    gone = known.gone
    known.add(each for each in coming if each not in gone)
    return known, len(known) - held


def _begin_audit(began: float, highest: int, before: AuditRecord | None) -> AuditRecord:
    return AuditRecord(
        began=began,
        at=began,
        pages=0,
        all_pages=0,
        ended=False,
        agreed=False,
        last_agreed=before.last_agreed if before else None,
        state=asdict(Audit(until=highest)),
    )


def _seen(remote: _Listener, gone: Iterable[int], back: Iterable[int]) -> Delivery | None:
    listed = tuple((number, remote.listed[number]) for number in sorted(back))
    delivery = Delivery(gone=tuple(sorted(gone)), listed=listed)
    return delivery if delivery != Delivery() else None


def _demand_not_halted(site: Site) -> None:
    reason = halted(site.paths)
    if reason:
        raise GiveUp(
            f"{site.name} is halted: {reason} When that is mended, remove {site.paths.halted}"
        )


def _demand_room(config: Config) -> None:
    """Refuse to fetch what could not be stored: it would be fetched again each round."""
    folder = next(each for each in (config.d_mbox, *config.d_mbox.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    needed = 2 * config.fleet.batch_bytes
    if free < needed:
        raise StoreUnavailable(
            f"{folder}: {free} bytes are free, less than two batches of mails ({needed}); "
            "free some space"
        )


def _demand_same_messages(site: Site, box: MboxPatchwork, listed: Mapping[int, str]) -> None:
    for number, message_id in listed.items():
        ours = box.message_id_of(number)
        if ours is not None and ours != message_id:
            error = ServerRestored(
                f"{site.paths.index}: patch {number} is {ours} here, but {message_id!r} at the "
                "server; was its database restored from a backup?"
            )
            halt(site.paths, str(error))
            raise error


def kept_requests(config: Config, day: str) -> dict[str, int]:
    """The requests of a day (`YYYY-MM-DD`, UTC) as the store kept them, by project.

    What a gate brings back after Redis lost its data.
    """
    counts = {NO_PROJECT: 0}
    for table in config.projects:
        site = find_site(config, table.id)
        record = last_requests(site) if site else None
        if record and record.day == day:
            counts[table.id] = record.requests
            counts[NO_PROJECT] = max(counts[NO_PROJECT], record.others)
    return counts


def keep_count(site: Site, gate: RedisRateLimiter) -> None:
    """Have the store keep this day's count of requests, if it changed."""
    spent = gate.requests_today()
    record = RequestsRecord(
        day=spent.day,
        requests=spent.requests.get(site.key, 0),
        others=spent.requests.get(NO_PROJECT, 0),
    )
    if record != last_requests(site):
        write_record(site.paths, site.paths.requests, asdict(record))


def _age(file: Path) -> float:
    """Seconds since it was written; endless where it is not there."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
