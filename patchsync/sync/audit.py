"""All pages of a project, one after the other: it finds what equal counts hide from a round.

A few pages at each turn of beat, in rotation; to the end before `patchsync sync` says that all is
in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial

from patchsync.config import Config
from patchsync.errors import UnknownProject
from patchsync.patchwork.client import Client
from patchsync.patchwork.paging import LARGEST_PAGE, Answer, Page
from patchsync.patchwork.rate_limit import RedisRateLimiter
from patchsync.store.json_file import write_record
from patchsync.sync.compare import FEW, SLACK, PageToFetch, page_across
from patchsync.sync.differences import (
    Differences,
    RememberingRemote,
    demand_same_messages,
    known_ids,
)
from patchsync.sync.id_set import IdSet, Seen
from patchsync.sync.listed import ListedRanges
from patchsync.sync.projects import Project
from patchsync.sync.records import AuditRecord, last_audit
from patchsync.sync.request_count import keep_count

# Of two machines, at most.
_CLOCKS_DIFFER_SECONDS = 60.0
# A page where more answers touch is listed rather than that each of these places is asked for.
_BORDERS = 2
# Asked for in one turn; they are small.
_MOST_BORDERS = 100


@dataclass(frozen=True)
class ListedSince:
    """Since when what was listed counts, and the time now: by Redis' clock, seconds since 1970."""

    since: float
    now: float


@dataclass
class AuditProgress:
    """How far an audit is, and what its pages showed so far.

    Its fields are plain JSON, so that it can be run in pieces: `AuditProgress(**state)` goes on
    where `asdict(progress)` was taken. What a page shows is handed out at once; here it is only
    summed up.
    """

    # The highest id when it began: what arrives later is for the next round
    until: int = 0
    # The page to list next, from 1
    page: int = 1
    # How many different ids were listed
    listed: int = 0
    # The highest of them
    highest: int = 0
    # How many of them we lacked, and how many of ours were proved gone
    missing: int = 0
    gone: int = 0
    # Patches slid between pages: one listed again what the one before it had, or lay past the end
    shifted: bool = False
    # The last page was seen
    done: bool = False

    def see(self, answer: Answer | None, known: IdSet) -> tuple[Seen, PageToFetch | None]:
        """Takes the answer for its next page (None: it lies past the end).

        Returns what it changes, in `known` too, and the page to fetch if it lists what we lack.
        """
        if answer is None:
            self.done = self.shifted = True
            return Seen(frozenset(), frozenset(), ()), None
        seen = known.see(answer)
        self.take(answer.ids, last=answer.last)
        self.missing += sum(patch_id <= self.until for patch_id in seen.missing)
        self.gone += len(seen.gone)
        if not seen.missing:
            return seen, None
        start, end = known.rank(answer.ids[0]) - SLACK, known.rank(answer.ids[-1]) + 1 + SLACK
        return seen, PageToFetch(answer.page, known.slice(start, end))

    def take(self, ids: Sequence[int], *, last: bool) -> None:
        """Takes the ids of its next page, as they were listed now, or by an answer before."""
        self.shifted |= bool(ids) and ids[0] <= self.highest
        self.listed += sum(self.highest < patch_id <= self.until for patch_id in ids)
        self.highest = max(self.highest, *ids, 0)
        self.page += 1
        self.done = last

    def clean(self, known: IdSet) -> bool:
        """Whether all up to `until` was seen, and we have exactly that.

        If not, the next rounds mend it: an id of ours that is gone just between two pages makes the
        counts differ. A deletion meanwhile can slide one id past the audit; the next audit sees it.
        """
        alike = self.listed == known.rank(self.until + 1)
        return self.done and alike and not (self.missing or self.gone or self.shifted)


def audit(
    project: Project,
    config: Config,
    client: Client,
    limiter: RedisRateLimiter,
    *,
    since: float | None = None,
    listed: ListedSince | None = None,
) -> Differences:
    """List the next pages of a project's audit and compare each id and message-id.

    `since` (seconds since 1970): go on with the audit that began then, or begin it; one that was
    overtaken or has ended is left alone. None: go on in rotation.

    `listed`: a page that was listed since then, and is as we hold it, is not listed again, if where
    two answers touch there is nothing between them, which is asked for. What went away after it was
    listed, and is hidden by one that came late, is for the next audit. So one that lists none again
    wants the server's numbers to be ours, in one answer.

    Raises:
        GiveUp: the project is halted.
        ServerRestored: a message-id is not the one in the store; the project is halted.
        UnknownProject: the server does not know the project any more.
    """
    project.demand_not_halted()
    remote = RememberingRemote(client, project.key)
    before = last_audit(project)
    pages_before = before.all_pages if before else 0
    highest, count = remote.newest(few=0 < pages_before * LARGEST_PAGE <= FEW)
    record = _to_go_on_with(before, since, listed, highest or 0)
    if record is None:
        return Differences(ended=True, summary="audit: ended already")
    if count == 0 and not remote.exists():
        raise UnknownProject
    all_pages = max(1, -(-count // LARGEST_PAGE))
    progress = AuditProgress(**record.state)
    want: list[PageToFetch] = []
    gone: set[int] = set()
    back: set[int] = set()
    with project.open() as container, ThreadPoolExecutor(config.fleet.downloads) as pool:
        # First: what is held must be known before it is asked whether it is there.
        known, _ = known_ids(project, container)
        ranges = ListedRanges()
        if listed and highest and (known.highest, len(known)) == (highest, count):
            ranges = ListedRanges.of(project.paths, known, since=listed.since, now=listed.now)
        at_most = config.schedule.audit_pages
        pages, borders = _next_pages(progress, all_pages, at_most, known, ranges)
        across = pool.map(remote.list_page, [page_across(border, count) for border in borders])
        if not all(map(partial(_are_side_by_side, known), borders, across)):
            pages, _ = _next_pages(progress, all_pages, at_most, known, ListedRanges())
        answers = pool.map(remote.list_page, [page for page, ids in pages if ids is None])
        for page, ids in pages:
            if progress.done:
                break
            if ids is not None:
                progress.take(ids, last=page.page == all_pages)
                continue
            seen, missing = progress.see(next(answers), known)
            gone |= seen.gone
            back |= seen.back
            want += [missing] if missing else []
        demand_same_messages(project, container, remote)
    agreed = progress.clean(known)
    record = replace(
        record,
        at=time.time(),
        pages=progress.page - 1,
        all_pages=all_pages,
        ended=progress.done,
        agreed=agreed,
        last_agreed=time.time() if agreed else record.last_agreed,
        state=asdict(progress),
    )
    write_record(project.paths, project.paths.audit, asdict(record))
    keep_count(project, limiter)
    return Differences(
        want=tuple(want),
        seen=remote.evidence(gone, back),
        ended=progress.done,
        summary=f"audit: {record.pages} of {all_pages} pages, {len(want)} of these to fetch",
    )


def _to_go_on_with(
    before: AuditRecord | None, since: float | None, listed: ListedSince | None, highest: int
) -> AuditRecord | None:
    """The audit under way, or a new one up to the id `highest`; None if there is nothing to do.

    `since`: only the audit that began then is meant, which begins now if it has not. One that would
    begin in the time to come is none that overtook it: a clock was set back. One that goes by what
    was listed too long ago for this one begins anew, for both.
    """
    listed_since = listed.since if listed else None
    if before is None or since is None:
        return (
            before
            if before and not before.ended
            else _begin(since or time.time(), listed_since, highest, before)
        )
    overtaken = since < before.began <= time.time() + _CLOCKS_DIFFER_SECONDS
    if not overtaken and before.began != since:
        return _begin(since, listed_since, highest, before)
    if not before.proves_for(listed_since):
        return _begin(before.began, listed_since, highest, before)
    return None if overtaken or before.ended else before


def _next_pages(
    progress: AuditProgress, all_pages: int, at_most: int, known: IdSet, ranges: ListedRanges
) -> tuple[list[tuple[Page, tuple[int, ...] | None]], list[int]]:
    """The pages of this turn: at least one, where the list got shorter one past its end.

    By that the audit sees where it ends. With each its ids where it was listed before, if there is
    nothing unknown just below the ranks that are returned, too; else it is one of `at_most` to
    list.
    """
    pages: list[tuple[Page, tuple[int, ...] | None]] = []
    asked: set[int] = set()
    for number in range(progress.page, max(progress.page, all_pages) + 1):
        start, end = (number - 1) * LARGEST_PAGE, min(number * LARGEST_PAGE, len(known))
        borders = ranges.borders(start, end) if start < end else None
        # That nothing is above the highest was asked for.
        new = {border for border in borders or () if border < len(known)} - asked
        ids = None
        if borders is not None and len(new) <= _BORDERS:
            ids = known.slice(start, end)
            asked |= new
        else:
            at_most -= 1
        if at_most < 0 or len(asked) > _MOST_BORDERS:
            break
        pages.append((Page("id", LARGEST_PAGE, number), ids))
    return pages, sorted(asked)


def _are_side_by_side(known: IdSet, rank: int, answer: Answer | None) -> bool:
    """Whether an answer has nothing between the known id of this rank and the one below it."""
    ours, ids = known.slice(rank - 1, rank + 1), sorted(answer.ids) if answer else []
    return ours in [tuple(ids[at : at + len(ours)]) for at in range(len(ids))]


def _begin(
    began: float, listed_since: float | None, highest: int, before: AuditRecord | None
) -> AuditRecord:
    return AuditRecord(
        began=began,
        at=began,
        pages=0,
        all_pages=0,
        ended=False,
        agreed=False,
        last_agreed=before.last_agreed if before else None,
        state=asdict(AuditProgress(until=highest)),
        listed_since=listed_since,
    )
