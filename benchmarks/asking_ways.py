"""Ways to ask a Patchwork for what is new: each says what it would fetch, and what is gone.

Ours is the comparison and the pages of patchsync itself, without the mails and without a store. The
others are what one would write in an afternoon, as well as that can be done.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from unittest import mock

import click
import requests
from claims import OURS
from requests.adapters import HTTPAdapter

from patchsync.patchwork.client import Client, ProjectRemote
from patchsync.patchwork.download import Limits
from patchsync.patchwork.http import TooLarge
from patchsync.patchwork.paging import LARGEST_PAGE, Answer, Page
from patchsync.patchwork.rate_limit import LocalRateLimiter
from patchsync.sync.audit import AuditProgress
from patchsync.sync.compare import compare
from patchsync.sync.fetch import fetch_page
from patchsync.sync.id_set import IdSet

WINDOW = 50
FIRST_LOOK = 25
# How far back a look goes beyond the last one: by the mails' dates, by the server's own clock.
SINCE_OVERLAP = timedelta(days=1)
EVENTS_OVERLAP = timedelta(hours=1)


@dataclass
class Spent:
    """What was asked of a server; `seconds` until each answer began."""

    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0


@contextmanager
def metered() -> Iterator[Spent]:
    """All that this process asks by `requests`, at the lowest place that all pass.

    Raises:
        click.ClickException: nothing was asked, so it passes elsewhere now.
    """
    spent = Spent()
    send = HTTPAdapter.send

    def counted(*args: Any, **settings: Any) -> requests.Response:
        begun = time.perf_counter()
        response = send(*args, **settings)
        spent.seconds += time.perf_counter() - begun
        spent.requests += 1
        if "Content-Length" not in response.headers:
            raise click.ClickException(f"{response.url}: without a Content-Length")
        spent.bytes += int(response.headers["Content-Length"])
        return response

    with mock.patch.object(HTTPAdapter, "send", counted):
        yield spent
    if not spent.requests:
        raise click.ClickException("no request was counted")


class Way(Protocol):
    """Keeps `held`, the ids that it has, in step with one project."""

    held: set[int]

    def look(self, now: datetime) -> None:
        """Take in all that it finds at a moment (UTC, naive)."""


class Bisection:
    """The highest id and the count, with bisection; and the audit of all pages, if it is asked."""

    def __init__(self, url: str, key: str, held: Iterable[int]) -> None:
        self._client = _ClientWithoutMails(url, LocalRateLimiter())
        self._key = key
        self._limits = Limits()
        self.held = set(held)
        # As the store keeps them, in order
        self._known = IdSet(sorted(self.held))
        _ = self._client.api_version  # It is asked for once in the life of a process.

    def look(self, now: datetime) -> None:
        """Rounds until one finds both in step, as in a fleet."""
        remote = ProjectRemote(self._client, self._key)
        while True:
            outcome = compare(remote, self._known, WINDOW)
            self.held -= outcome.gone
            self.held |= outcome.back
            if outcome.in_sync:
                return
            for wanted in outcome.want:
                self._fetch(wanted.page, wanted.held)

    def audit(self) -> None:
        """Then every page is listed once."""
        remote = ProjectRemote(self._client, self._key)
        progress = AuditProgress(until=max(self.held, default=0))
        while not progress.done:
            page = Page("id", LARGEST_PAGE, progress.page)
            seen, wanted = progress.see(remote.list_page(page), self._known)
            self.held -= seen.gone
            self.held |= seen.back
            if wanted is not None:
                self._fetch(wanted.page, wanted.held)

    def _fetch(self, page: Page, held: tuple[int, ...]) -> None:
        for result in fetch_page(self._client, self._key, page, held, self._limits):
            listed = {patch_id for patch_id, _ in result.listed}
            self._known.add(sorted(listed))
            self.held |= listed
            if gone := self.held.intersection(result.gone):
                self.held -= gone
                self._known = IdSet(sorted(self.held))


class _ClientWithoutMails(Client):
    def mbox(self, key: str, path: str, max_bytes: int) -> bytes | None:
        """Takes each mail as too large, unasked: they cost the same in every way."""
        raise TooLarge(path)


class _Asking:
    """What the other ways share: a session, and the ids held."""

    def __init__(self, url: str, key: str, held: Iterable[int]) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._api = f"{url}/api/{Client(url, LocalRateLimiter()).api_version}"
        self._key = key
        self.held = set(held)

    def _pages(self, kind: str, **query: str | int) -> Iterator[tuple[list[Any], bool]]:
        """What each page lists, and whether it is the last."""
        asked: dict[str, str | int] = {"project": self._key, "per_page": LARGEST_PAGE}
        asked |= query
        response = self._session.get(f"{self._api}/{kind}/", params=asked, timeout=600)
        while True:
            response.raise_for_status()
            link = response.links.get("next")
            yield response.json(), link is None
            if link is None:
                return
            response = self._session.get(link["url"], timeout=600)


class Descending(_Asking):
    """A short page of the newest; if it has something new, pages until one has nothing new."""

    def look(self, now: datetime) -> None:
        if self._see(FIRST_LOOK):
            self._see(LARGEST_PAGE)

    def _see(self, per_page: int) -> bool:
        found = False
        pages = self._pages("patches", order="-id", per_page=per_page)
        for number, (entries, last) in enumerate(pages, start=1):
            listed = tuple((entry["id"], entry["msgid"]) for entry in entries)
            answer = Answer(Page("-id", per_page, number), listed, last)
            new = set(answer.ids) - self.held
            gone = answer.proves_gone(sorted(self.held))
            self.held -= set(gone)
            self.held |= new
            found |= bool(new or gone)
            if per_page == FIRST_LOOK or not (new or gone):
                break
        return found


class Since(_Asking):
    """All that is dated later than a day before the last look."""

    def __init__(self, url: str, key: str, held: Iterable[int], looked: datetime) -> None:
        super().__init__(url, key, held)
        self._looked = looked

    def look(self, now: datetime) -> None:
        since = (self._looked - SINCE_OVERLAP).isoformat()
        for entries, _ in self._pages("patches", order="-id", since=since):
            self.held |= {entry["id"] for entry in entries}
        self._looked = now


class Events(_Asking):
    """All patch-created events that are dated later than an hour before the last one seen."""

    def __init__(self, url: str, key: str, held: Iterable[int], newest: datetime) -> None:
        """`newest`: the date of the last event seen, as the server tells it."""
        super().__init__(url, key, held)
        self._newest = newest

    def look(self, now: datetime) -> None:
        since = (self._newest - EVENTS_OVERLAP).isoformat()
        pages = self._pages("events", category="patch-created", order="date", since=since)
        for events, _ in pages:
            for event in events:
                self.held.add(event["payload"]["patch"]["id"])
                self._newest = max(self._newest, datetime.fromisoformat(event["date"]))


BISECTION = OURS
AUDITED = f"{OURS} after an audit"
DESCENDING = "descending pages"
SINCE = "since="
EVENTS = "events/"


def all_ways(
    url: str, key: str, held: Iterable[int], looked: datetime, event: datetime
) -> dict[str, Way]:
    """Each, with the same ids held, and as if it had looked at a moment (UTC, naive).

    `event`: the date of the last event then.
    """
    held = list(held)
    return {
        BISECTION: Bisection(url, key, held),
        DESCENDING: Descending(url, key, held),
        SINCE: Since(url, key, held, looked),
        EVENTS: Events(url, key, held, event),
    }
