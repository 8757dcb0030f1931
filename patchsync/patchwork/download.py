"""Downloads the mails of a listed page, whole series at a time where that saves requests.

What is returned as a mail is the one that was listed, by id and message-id. What cannot be had and
will not come by itself is refused with its reason; what may come is left out, for the next round.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

from patchsync.config import Config
from patchsync.errors import PatchsyncError, ServerUnavailable
from patchsync.patchwork.client import Client
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.http import ServerFailed, TooLarge
from patchsync.patchwork.mbox import Mail, MailError, certain, parse_mail
from patchsync.patchwork.schemas import PatchEntry


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is downloaded at a time; in bytes, but for `threads`."""

    max_mail_bytes: int = 10 * 2**20
    max_series_bytes: int = 64 * 2**20
    # Of the mails in one `FetchResult`
    batch_bytes: int = 4 * 2**20
    # Downloads at once
    threads: int = 4

    @classmethod
    def of(cls, config: Config) -> Limits:
        """Those that a configuration sets."""
        return cls(
            max_mail_bytes=config.patchwork.max_mail_bytes,
            max_series_bytes=config.patchwork.max_series_bytes,
            batch_bytes=config.fleet.batch_bytes,
            threads=config.fleet.downloads,
        )


class Unstorable(NamedTuple):
    """A patch whose mail cannot be had or stored, and why."""

    patch_id: int
    reason: str


Found = Mail | Unstorable


def fetch_missing(
    client: Client,
    key: str,
    entries: Iterable[PatchEntry],
    held: Collection[int],
    limits: Limits,
) -> Iterator[Found]:
    """Downloads what a page lists and we do not hold, a few at a time, in no order that matters.

    Args:
        client: the Patchwork.
        key: the project that the requests are counted for.
        entries: all that the page lists; a series is recognised by those held as well.
        held: ids not to be downloaded.
        limits: on bytes and threads.

    Raises:
        PatchsyncError: the first that a download raised, after all that the others found.
    """
    fetch = _Fetch(client, key, limits, list(entries))
    with _Downloads(fetch, held, limits) as downloads:
        yield from downloads.found()


def batches(
    found: Iterable[Found],
    max_bytes: int,
    max_mails: int,
    max_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[FetchResult, None, FetchResult]:
    """Gathers what was downloaded; the last of it, or nothing, is returned and not given out.

    A result has at least one of them and at most `max_mails`; its mails have at most `max_bytes`,
    unless it is a single mail; it waits no longer than `max_seconds` for the next one to come. What
    came before an error is given out before the error.
    """
    mails: list[Mail] = []
    quarantined: list[Unstorable] = []
    size = 0
    failed: PatchsyncError | None = None
    source = iter(found)
    begun = clock()
    while True:
        try:
            item = next(source, None)
        except PatchsyncError as error:
            failed = error
            item = None
        grown = size + (0 if item is None else _size(item))
        many = len(mails) + len(quarantined) >= max_mails
        full = many or grown > max_bytes or clock() - begun > max_seconds
        if item is None:
            break
        if (mails or quarantined) and full:
            yield FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))
            mails, quarantined, size, begun = [], [], 0, clock()
        if isinstance(item, Mail):
            mails.append(item)
            size += _size(item)
        else:
            quarantined.append(item)
    last = FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))
    if failed is None:
        return last
    if mails or quarantined:
        yield last
    raise failed


@dataclass(frozen=True)
class _Done:
    """What a job found, and what is to be asked for singly instead."""

    found: tuple[Found, ...] = ()
    singly: tuple[PatchEntry, ...] = ()


_Job = Callable[[], _Done]


class _Downloads:
    """Jobs that are worked off by threads while what they found is handed on; a context.

    A thread goes on while its finds wait, until those that wait have `Limits.batch_bytes`: so the
    server is asked while mails are packed and sent, and few of them wait in memory.
    """

    def __init__(self, fetch: _Fetch, held: Collection[int], limits: Limits) -> None:
        self._fetch = fetch
        self._jobs = deque(fetch.jobs(frozenset(held)))
        self._most_bytes = limits.batch_bytes
        # Of the following ones
        self._changed = threading.Condition()
        self._found: deque[Found] = deque()
        self._found_bytes = 0
        self._at_work = 0
        self._ended = False
        self._error: BaseException | None = None
        self._most_threads = min(limits.threads, len(self._jobs))
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        try:
            for number in range(self._most_threads):
                thread = threading.Thread(target=self._work, name=f"download-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
        except BaseException:  # The process may have no more threads, or the task no more time.
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def found(self) -> Iterator[Found]:
        """What they find, as it comes; then the first error, if there was one."""
        while True:
            with self._changed:
                while not self._found and (self._at_work or self._has_jobs()):
                    self._changed.wait()
                found, self._found, self._found_bytes = self._found, deque(), 0
                self._changed.notify_all()
            if not found:
                break
            yield from found
        if self._error is not None:
            raise self._error

    def _has_jobs(self) -> bool:
        return bool(self._jobs) and self._error is None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            done, error = _Done(), None
            try:
                done = job()
            except BaseException as problem:
                error = problem
            with self._changed:
                self._jobs.extendleft(partial(self._fetch.single, entry) for entry in done.singly)
                while self._found_bytes > self._most_bytes and not self._ended:
                    self._changed.wait()
                self._found += done.found
                self._found_bytes += sum(map(_size, done.found))
                self._error = self._error or error
                self._at_work -= 1
                self._changed.notify_all()

    def _next(self) -> _Job | None:
        """A job that is begun now; None when there will be no more."""
        with self._changed:
            # One that is at work may yet have found out that some must be asked for singly.
            while not self._jobs and self._at_work and not (self._ended or self._error):
                self._changed.wait()
            if self._ended or not self._has_jobs():
                return None
            self._at_work += 1
            return self._jobs.popleft()


def _size(found: Found) -> int:
    return len(found.content) if isinstance(found, Mail) else 0


class _Fetch:
    """The downloads of one page."""

    def __init__(self, client: Client, key: str, limits: Limits, entries: list[PatchEntry]) -> None:
        self._client = client
        self._key = key
        self._limits = limits
        self._entries = entries
        self._series_entries: dict[int, list[PatchEntry]] = {}
        for entry in entries:
            if entry.series_id is not None:
                self._series_entries.setdefault(entry.series_id, []).append(entry)

    def jobs(self, held: frozenset[int]) -> Iterator[_Job]:
        """What can be done side by side: a series of which two or more are missing, or one mail."""
        begun: set[int] = set()
        for entry in self._entries:
            if entry.id in held or entry.series_id in begun:
                continue
            missing = [one for one in self._listed_with(entry) if one.id not in held]
            if entry.series_id is None or len(missing) < 2:
                yield partial(self.single, entry)
            else:
                begun.add(entry.series_id)
                yield partial(self._series, missing)

    def single(self, entry: PatchEntry) -> _Done:
        """Downloads one mail."""
        found = self._single(entry)
        return _Done(() if found is None else (found,))

    def _series(self, missing: list[PatchEntry]) -> _Done:
        mails = self._series_mails(missing[0])
        return _Done(
            found=tuple(self._bounded(mails[e.id], e) for e in missing if e.id in mails),
            singly=tuple(entry for entry in missing if entry.id not in mails),
        )

    def _listed_with(self, entry: PatchEntry) -> list[PatchEntry]:
        """What the page lists of the series of `entry`."""
        return [] if entry.series_id is None else self._series_entries[entry.series_id]

    def _series_mails(self, entry: PatchEntry) -> dict[int, Mail]:
        """Of the series of `entry`, the listed mails that its mbox certainly holds, by id."""
        if entry.series_mbox_path is None:
            return {}
        listed = {(one.id, one.message_id) for one in self._listed_with(entry)}
        try:
            body = self._client.mbox(
                self._key, entry.series_mbox_path, self._limits.max_series_bytes
            )
        except (TooLarge, ServerFailed):
            # ServerFailed: one mail that the server cannot render would cost us all of them.
            return {}
        return {} if body is None else {mail.patch_id: mail for mail in certain(body, listed)}

    def _single(self, entry: PatchEntry) -> Found | None:
        try:
            rendered = self._by_path_or_id(entry)
            if rendered is None:
                return self._not_found(entry)
            mail = parse_mail(rendered)
        except TooLarge:
            return self._too_large(entry)
        except ServerFailed as error:
            return self._failed(entry, error)
        except MailError as error:
            return _unstorable(entry, f"what the server serves is not its mail: {error}")
        if mail.patch_id != entry.id:
            return _unstorable(entry, f"the server serves the mail of patch {mail.patch_id} for it")
        if mail.message_id != entry.message_id:
            return _unstorable(entry, f"its mail has another message-id: {mail.message_id}")
        return self._bounded(mail, entry)

    def _failed(self, entry: PatchEntry, error: ServerFailed) -> Found | None:
        """What to make of a 500 at each attempt: quarantined only if another mail can be had."""
        if not self._is_known(entry):
            return None
        others = [one for one in self._entries if one.id != entry.id]
        if others and not any(self._can_be_had(one) for one in (others[0], others[-1])):
            raise ServerUnavailable(str(error)) from error
        return _unstorable(entry, "the server fails (500) to render its mail")

    def _can_be_had(self, entry: PatchEntry) -> bool:
        try:
            return self._by_path_or_id(entry) is not None
        except TooLarge:
            return True
        except ServerFailed:
            return False

    def _is_known(self, entry: PatchEntry) -> bool:
        try:
            return self._client.patch(self._key, entry.id) is not None
        except ServerFailed as error:
            # It fails for more than a mail: that passes.
            raise ServerUnavailable(str(error)) from error

    def _by_path_or_id(self, entry: PatchEntry) -> bytes | None:
        limit = self._limits.max_mail_bytes
        rendered = self._client.mbox(self._key, entry.mbox_path, limit)
        if rendered is None:
            rendered = self._client.mbox_by_id(self._key, entry.id, limit)
        return rendered

    def _not_found(self, entry: PatchEntry) -> Found | None:
        """What to make of a 404 by path and by id: usually that the patch is gone by now.

        But Patchwork looks a mail up by its message-id in either case, and fails to find it if that
        has no brackets (it puts them on) or holds %2F (it decodes it). Its series may lead there.
        """
        mails = self._series_mails(entry)
        if entry.id in mails:
            return self._bounded(mails[entry.id], entry)
        if not self._is_known(entry):
            return None
        return _unstorable(entry, "Patchwork lists it, but does not find its mail (404)")

    def _bounded(self, mail: Mail, entry: PatchEntry) -> Found:
        # A single one is not even read further; here it came with its series.
        if len(mail.content) - 1 > self._limits.max_mail_bytes:
            return self._too_large(entry)
        return mail

    def _too_large(self, entry: PatchEntry) -> Unstorable:
        return _unstorable(entry, too_large(self._limits.max_mail_bytes))


def too_large(max_mail_bytes: int) -> str:
    """Why a mail of more bytes is quarantined."""
    return f"its mail is larger than {max_mail_bytes} bytes, which is [patchwork] max_mail_bytes"


def _unstorable(entry: PatchEntry, reason: str) -> Unstorable:
    return Unstorable(entry.id, reason)
