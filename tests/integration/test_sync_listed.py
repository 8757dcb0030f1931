"""The audit at the end of a sync: it does not list again what the sync listed, and misses nothing.

Each page that it leaves out was listed after the sync began, by one answer, and is as it is stored.
"""

from __future__ import annotations

from typing import Any

import pytest

from patchsync.patchwork.client import Client, Listing
from patchsync.patchwork.paging import Page
from patchsync.sync import store_result
from patchsync.sync.listed import ListedRanges, note_listed
from tests.support.inprocess import Workers
from tests.support.installation import Installation
from workers import fetch

PATCHES = 600  # Some four hundred of `sample`: two pages
SMALL = 20  # What is listed where one or two are asked for


@pytest.fixture
def installation(installation: Installation) -> Installation:
    """One with several pages to list."""
    installation.patchwork.control.reset(patches=PATCHES)
    return installation


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many patches each answer to a round, a fetch and an audit lists."""
    numbers: list[int] = []
    list_page = Client.list_page

    def counted(self: Client, key: str, page: Page) -> Listing | None:
        listing = list_page(self, key, page)
        numbers.append(len(listing.entries) if listing else 0)
        return listing

    monkeypatch.setattr(Client, "list_page", counted)
    return numbers


def hide_one_by_another(installation: Installation, how: str = "deleted") -> int:
    """One goes away and one comes late, so that count and highest stay; returns the late one."""
    control = installation.patchwork.control
    gone = control.ids("sample")[20]
    (late,) = control.add("sample", 1, visible=False)
    control.add("sample", 1)
    installation.sync()
    control.commit([late])
    if how == "moved":
        control.move([gone], "neighbour")
    else:
        control.delete([gone])
    return late


def test_each_page_once(
    installation: Installation, listed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync from nothing lists none again; it asks for the one or two where each begins."""
    installation.sync()
    assert PATCHES <= sum(listed) < PATCHES + SMALL
    installation.assert_mirrors("sample")

    other = installation.changed("[redis]", '[store]\nmbox = "other"\n[redis]')
    monkeypatch.setattr(ListedRanges, "of", lambda *_, **__: ListedRanges())
    listed.clear()
    other.sync()
    assert 2 * PATCHES <= sum(listed) < 2 * PATCHES + SMALL


@pytest.mark.parametrize(("how", "new"), [("deleted", 300), ("moved", 0)])
def test_what_hides_each_other_is_found(installation: Installation, how: str, new: int) -> None:
    """Where the sync had pages to fetch and where it had none: of others it listed nothing."""
    installation.sync()
    late = hide_one_by_another(installation, how)
    installation.patchwork.control.add("sample", new)
    installation.sync()
    assert late in installation.ids("sample")
    assert installation.status("sample")["ours"]["gone"] == 1
    installation.assert_mirrors("sample")
    installation.assert_mirrors("neighbour")


def test_messages_that_come_again(installation: Installation, workers: Workers) -> None:
    """What they tell was listed before the next sync began, and proves nothing there."""
    installation.sync()
    late = hide_one_by_another(installation)
    for sent in workers.of("index.index_mails"):
        workers.send_task(f"workers.{sent.task}", sent.args)
    with workers.running("index"):
        workers.work()
    installation.sync()
    assert late in installation.ids("sample")
    assert installation.status("sample")["ours"]["gone"] == 1


def test_a_restored_database(installation: Installation) -> None:
    """An id has another message-id on a page that the sync did not fetch."""
    control = installation.patchwork.control
    installation.sync()
    control.replace(control.ids("sample")[20], "<other@example.org>")
    control.add("sample", 300)
    done = installation.patchsync("sync")
    assert done.returncode == 1
    assert "restored from a backup" in done.stdout


def test_a_note_that_is_lost(
    installation: Installation, listed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page is listed again, and the sync ends as it should."""
    lost: list[object] = []

    def once(*args: object) -> None:
        if lost:
            note_listed(*args)  # type: ignore[arg-type]
        lost.append(args)

    monkeypatch.setattr(store_result, "note_listed", once)
    installation.sync()
    # It lies across two pages of the audit.
    again = len(installation.patchwork.control.ids("sample"))
    assert PATCHES + again <= sum(listed) < PATCHES + again + SMALL
    installation.assert_mirrors("sample")


@pytest.mark.parametrize("committed", [False, True])
def test_what_goes_away_after_it_was_listed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """The numbers differ, or, where a late one hides it, the next sync sees it."""
    control = installation.patchwork.control
    (late,) = control.add("sample", 1, visible=False)
    control.add("sample", 1)
    gone = control.ids("sample")[20]

    def change() -> None:
        control.delete([gone])
        if committed:
            control.commit([late])

    audit = fetch._audit

    def after_a_change(*args: Any) -> None:
        monkeypatch.setattr(fetch, "_audit", audit)
        change()
        audit(*args)

    monkeypatch.setattr(fetch, "_audit", after_a_change)
    installation.sync()
    if committed:
        installation.sync()
        assert late in installation.ids("sample")
    assert installation.status("sample")["ours"]["gone"] == 1
    installation.assert_mirrors("sample")


def test_a_border_that_moved(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """One goes away between the answers of two pages: another one stands on neither of them."""
    control = installation.patchwork.control
    ids = control.ids("sample")
    skipped, gone = ids[-251], ids[-5]
    fetch_listed = fetch.fetch_listed

    def then_one_goes(*args: Any) -> Any:
        monkeypatch.setattr(fetch, "fetch_listed", fetch_listed)
        yield from fetch_listed(*args)
        control.delete([gone])

    monkeypatch.setattr(fetch, "fetch_listed", then_one_goes)
    installation.sync()
    assert skipped in installation.ids("sample")
    assert installation.status("sample")["ours"]["gone"] == 1
    installation.assert_mirrors("sample")
