"""Models of a Patchwork project and of our store, for the tests of the comparison.

The server answers as Patchwork does: it counts first, lists then, and cuts the list by that count.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import count as counting

from patchsync.patchwork.paging import LARGEST_PAGE, Answer, Page
from patchsync.sync import compare as comparison
from patchsync.sync.audit import AuditProgress
from patchsync.sync.compare import Comparison, PageToFetch
from patchsync.sync.id_set import IdSet


def numbered(count: int) -> list[int]:
    """The ids of a project that has the instance for itself."""
    return list(range(1, count + 1))


def nothing() -> None:
    """What happens on a quiet server."""


class ModelServer:
    """One project. `between` is what happens before each query; a request makes two of them."""

    def __init__(self, ids: Iterable[int], *, page_size: int = 250) -> None:
        self.ids = sorted(ids)
        self.known_project = True
        self.between: Callable[[], None] = nothing
        self.page_size = page_size
        self.small_requests = 0
        self.pages = 0
        # How far from the end that it counts from a list began, at most
        self.deepest = 0

    def add(self, patch_id: int) -> None:
        insort(self.ids, patch_id)

    def remove(self, patch_id: int) -> None:
        del self.ids[bisect_left(self.ids, patch_id)]

    def newest(self, *, few: bool = False) -> tuple[int | None, int]:
        self.small_requests += 1
        count = self._count()
        if few and (last := self._slice(Page("id", 1, max(count, 1)), count)):
            return last[0], count
        if few:  # The list got shorter in between.
            self.small_requests += 1
            count = self._count()
        ids = self._slice(Page("-id", 1, 1), count)
        return (ids[0], count) if ids else (None, 0)

    def exists(self) -> bool:
        self.small_requests += 1
        return self.known_project

    def list_page(self, page: Page) -> Answer | None:
        assert 1 <= page.per_page <= 250, "the server would cut the page"
        if page.per_page == self.page_size:
            self.pages += 1
        else:
            self.small_requests += 1
        count = self._count()
        number_of_pages = max(1, -(-count // page.per_page))
        if page.page > number_of_pages:
            return None
        ids = self._slice(page, count)
        return Answer(
            page,
            tuple((patch_id, f"<{patch_id}@list>") for patch_id in ids),
            last=page.page == number_of_pages,
        )

    def _count(self) -> int:
        self.between()
        return len(self.ids)

    def _slice(self, page: Page, count: int) -> list[int]:
        self.between()
        start = (page.page - 1) * page.per_page
        self.deepest = max(self.deepest, start)
        end = min(start + page.per_page, count)
        if page.order == "id":
            return self.ids[start:end]
        return self.ids[max(len(self.ids) - end, 0) : max(len(self.ids) - start, 0)][::-1]


@dataclass(frozen=True)
class Found:
    """What a fetch task hands to the index."""

    listed: tuple[int, ...]
    downloaded: tuple[int, ...]
    gone: tuple[int, ...]


@dataclass
class ModelStore:
    """What the index keeps: the ids held, and those of them that are gone."""

    held: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    # How often an id was downloaded that was held already
    downloaded_again: int = 0

    def known(self) -> IdSet:
        return IdSet(self.held, self.gone)

    def apply(self, found: Found) -> None:
        self.downloaded_again += len(self.held.intersection(found.downloaded))
        self.held.update(found.downloaded)
        self.gone.difference_update(found.listed)
        self.gone.update(self.held.intersection(found.gone))

    def apply_round(self, outcome: Comparison) -> None:
        self.apply(Found(tuple(outcome.back), (), tuple(outcome.gone)))


def fetch(server: ModelServer, want: PageToFetch) -> Found:
    """A fetch task: lists the page, downloads what is not held, reports what is proved gone."""
    answer = server.list_page(want.page)
    if answer is None:
        return Found((), (), ())
    downloaded = tuple(sorted(set(answer.ids) - set(want.held)))
    return Found(answer.ids, downloaded, tuple(answer.proves_gone(want.held)))


def compare(server: ModelServer, store: ModelStore, window: int = 50) -> Comparison:
    """A round, which keeps its bounds."""
    outcome = comparison.compare(server, store.known(), window)
    assert len(outcome.want) <= window
    assert all(len(want.held) <= comparison.HELD for want in outcome.want)
    assert all(list(want.held) == sorted(set(want.held)) for want in outcome.want)
    return outcome


def sync(server: ModelServer, store: ModelStore, *, window: int = 50, rounds: int = 30) -> int:
    """Rounds on a server until one is in sync; returns how many, and fails after `rounds`."""
    for number in counting(1):
        outcome = compare(server, store, window)
        store.apply_round(outcome)
        if outcome.in_sync:
            return number
        assert number < rounds, f"not in sync after {rounds} rounds"
        for want in outcome.want:
            store.apply(fetch(server, want))
    raise AssertionError


def audit(server: ModelServer, store: ModelStore) -> AuditProgress:
    """All pages one by one, the state sent on as JSON, each compared with what is known then."""
    progress = AuditProgress(until=max(server.ids, default=0))
    while not progress.done:
        page = Page("id", LARGEST_PAGE, progress.page)
        seen, want = progress.see(server.list_page(page), store.known())
        store.apply(Found(tuple(seen.back), (), tuple(seen.gone)))
        if want is not None:
            store.apply(fetch(server, want))
        progress = AuditProgress(**json.loads(json.dumps(asdict(progress))))
    return progress
