"""Downloads the mails of a listed page, whole series at a time where that saves requests.

What is returned as a mail is the one that was listed, by id and message-id. What cannot be had and
will not come by itself is refused with its reason; what may come is left out, for the next round.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

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
    first_error: PatchsyncError | None = None
    jobs = deque(fetch.jobs(frozenset(held)))
    waiting: set[Future[_Done]] = set()
    pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="download")
    try:
        while waiting or (jobs and first_error is None):
            # No more than are being worked on: mails wait in memory.
            while jobs and first_error is None and len(waiting) < limits.threads:
                waiting.add(pool.submit(jobs.popleft()))
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                try:
                    done = future.result()
                except PatchsyncError as error:
                    first_error = first_error or error
                    continue
                yield from done.found
                jobs.extendleft(partial(fetch.single, entry) for entry in done.singly)
    finally:
        pool.shutdown(cancel_futures=True)
    if first_error is not None:
        raise first_error


def batches(
    found: Iterable[Found],
    max_bytes: int,
    max_mails: int,
    max_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[FetchResult]:
    """Gathers what was downloaded.

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
        grown = size + (len(item.content) if isinstance(item, Mail) else 0)
        many = len(mails) + len(quarantined) >= max_mails
        full = many or grown > max_bytes or clock() - begun > max_seconds
        if (mails or quarantined) and (item is None or full):
            yield FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))
            mails, quarantined, size, begun = [], [], 0, clock()
        if item is None:
            break
        if isinstance(item, Mail):
            mails.append(item)
            size += len(item.content)
        else:
            quarantined.append(item)
    if failed is not None:
        raise failed


@dataclass(frozen=True)
class _Done:
    """What a job found, and what is to be asked for singly instead."""

    found: tuple[Found, ...] = ()
    singly: tuple[PatchEntry, ...] = ()


_Job = Callable[[], _Done]


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
