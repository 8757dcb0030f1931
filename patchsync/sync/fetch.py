"""The work of a fetch task: list a page, download what is missing. Needs no store."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import replace

from patchsync.patchwork.client import Client
from patchsync.patchwork.download import Limits, batches, fetch_missing
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.paging import LARGEST_PAGE, Answer, Page
from patchsync.patchwork.schemas import PatchEntry

# A slow page comes into the store bit by bit, so that no limit of time makes it begin anew. Else a
# page is one result: to store one costs what to store many does.
MOST_MAILS = LARGEST_PAGE
MOST_SECONDS = 10.0


def lease_of(page: Page) -> str:
    """The name of the lease on a page in flight."""
    return f"page {page.page} of {page.per_page} by {page.order}"


def leased_pages(leases: Iterable[str]) -> list[Page]:
    """The pages in flight, by the names of all leases."""
    found = (re.fullmatch(r"page ([0-9]+) of ([0-9]+) by (-?id)", lease) for lease in leases)
    return [
        Page("-id" if match[3] == "-id" else "id", int(match[2]), int(match[1]))
        for match in found
        if match
    ]


def fetch_page(
    client: Client,
    key: str,
    page: Page,
    held: Collection[int],
    limits: Limits,
    asked_at: float = 0.0,
) -> Iterator[FetchResult]:
    """List a page of the project `key` and download what is listed and not in `held`.

    `held` are the ids that the store has in the page's range. `asked_at`: the time, by Redis'
    clock. The last result says what was seen and ends the page's lease.

    Raises:
        UnknownProject: the page is empty because there is no such project.
        PatchsyncError: a download failed; what others found was handed out before.
    """
    last = yield from _fetch(client, key, page, held, limits, asked_at)
    yield replace(last, lease=lease_of(page))


def _fetch(
    client: Client,
    key: str,
    page: Page,
    held: Collection[int],
    limits: Limits,
    listed_at: float,
) -> Generator[FetchResult, None, FetchResult]:
    """What `fetch_page` does, but that the last result is returned."""
    shown_at = time.time()
    listing = client.list_page(key, page)
    if listing is None:
        # The list got shorter than the page meanwhile: the next round sees by how much.
        return FetchResult()
    if not listing.entries:
        client.project(key)
    rest = yield from _download(client, key, listing.entries, held, limits)
    result = replace(
        rest,
        gone=tuple(listing.answer.proves_gone(sorted(held))),
        listed=listing.answer.entries,
        listed_at=listed_at,
        shown=tuple(entry.shown for entry in listing.entries),
        shown_at=shown_at,
    )
    if not _lists_only_newer(listing.answer, held):
        return result
    # Some of ours are gone, so there are more new ones than the counts told.
    yield result
    following = replace(page, page=page.page + 1)
    return (yield from _fetch(client, key, following, held, limits, listed_at))


def _lists_only_newer(answer: Answer, held: Collection[int]) -> bool:
    """Whether a page of the newest ends above the highest of ours, and others lie between."""
    if answer.page.order != "-id" or answer.last or not held or not answer.ids:
        return False
    return min(answer.ids) > max(held)


def fetch_patches(
    client: Client, key: str, ids: Collection[int], limits: Limits, lease: str
) -> Iterator[FetchResult]:
    """Download single patches by their id, such as those that were quarantined.

    Raises:
        PatchsyncError: a download failed; what others found was handed out before.
    """
    asked_at = time.time()
    answers = {patch_id: client.patch(key, patch_id) for patch_id in ids}
    entries = [entry for entry in answers.values() if entry is not None]
    rest = yield from _download(client, key, entries, (), limits)
    yield replace(
        rest,
        gone=tuple(patch_id for patch_id, entry in answers.items() if entry is None),
        listed=tuple((entry.id, entry.message_id) for entry in entries),
        shown=tuple(entry.shown for entry in entries),
        shown_at=asked_at,
        lease=lease,
    )


def _download(
    client: Client,
    key: str,
    entries: Collection[PatchEntry],
    held: Collection[int],
    limits: Limits,
) -> Generator[FetchResult, None, FetchResult]:
    downloaded = fetch_missing(client, key, entries, held, limits)
    return batches(downloaded, limits.batch_bytes, MOST_MAILS, MOST_SECONDS)
