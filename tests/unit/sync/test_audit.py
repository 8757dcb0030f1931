"""The audit of all pages: it sees what equal counts hide."""

from __future__ import annotations

import pytest
from model_server import ModelServer, ModelStore, audit, compare, fetch, numbered, sync

from patchsync.patchwork.paging import LARGEST_PAGE, Page
from patchsync.sync.audit import AuditProgress
from patchsync.sync.compare import HELD
from patchsync.sync.id_set import IdSet


@pytest.mark.parametrize("count", [0, 1, 250, 251, 1000])
def test_audit_of_equal_sides_is_clean(count: int) -> None:
    """It lists each page once and finds nothing."""
    server, store = ModelServer(numbered(count)), ModelStore(set(numbered(count)))

    result = audit(server, store)

    assert result.clean(store.known())
    assert result.listed == count
    assert server.pages == max(1, -(-count // LARGEST_PAGE))


@pytest.mark.parametrize("gone", [600, 500, 501, 1])
def test_gone_and_late_that_hide_each_other_are_mended_by_an_audit_and_rounds(gone: int) -> None:
    """Highest and count agree, yet one is missing and another gone: the audit sees it."""
    # Given one gone, at the border of a page or inside, and one missing
    server = ModelServer(numbered(1500))
    server.remove(gone)
    store = ModelStore(set(numbered(1500)) - {900})
    assert compare(server, store).in_sync

    # When
    first = audit(server, store)
    sync(server, store)

    # Then
    assert not first.clean(store.known())
    assert store.held - store.gone == set(server.ids)
    assert audit(server, store).clean(store.known())


def test_audit_that_counts_fewer_than_we_know_is_not_clean() -> None:
    """A patch gone just between two pages is on neither: only the numbers differ."""
    server, store = ModelServer(numbered(1000)), ModelStore(set(numbered(1000)))
    server.remove(501)

    result = audit(server, store)

    assert (result.missing, result.gone, result.shifted) == (0, 0, False)
    assert not result.clean(store.known())


def test_audit_names_the_page_to_fetch_with_all_of_ours_on_it() -> None:
    """Only what is missing is downloaded from a page that an audit found wanting."""
    server, known = ModelServer(numbered(600)), IdSet(set(numbered(600)) - {300})
    state = AuditProgress(until=600, page=2, listed=250, highest=250)

    seen, want = state.see(server.list_page(Page("id", LARGEST_PAGE, 2)), known)

    assert seen.missing == (300,)
    assert want is not None
    assert fetch(server, want).downloaded == (300,)
    assert len(want.held) <= HELD


def test_audit_during_which_pages_shift_is_not_clean() -> None:
    """A late id makes a page list again what the one before it had listed."""
    server, store = ModelServer(range(2, 1002)), ModelStore(set(range(1, 1002)))
    state = AuditProgress(until=1001)

    state.see(server.list_page(Page("id", LARGEST_PAGE, 1)), store.known())
    server.add(1)
    while not state.done:
        state.see(server.list_page(Page("id", LARGEST_PAGE, state.page)), store.known())

    assert state.shifted
    assert state.listed == 1000
    assert not state.clean(store.known())


def test_audit_ends_where_the_list_got_shorter() -> None:
    """A page past the end ends the audit, and it is not clean."""
    state = AuditProgress(page=9)

    seen, want = state.see(None, IdSet([]))

    assert (seen.missing, want) == ((), None)
    assert state.done
    assert not state.clean(IdSet([]))


def test_what_arrives_during_an_audit_is_for_the_next_round() -> None:
    """A busy list has an end too: what is above the highest id at its beginning does not count."""
    server, store = ModelServer(numbered(600)), ModelStore(set(numbered(600)))
    state = AuditProgress(until=600)

    while not state.done:
        server.add(max(server.ids) + 1)
        _, want = state.see(server.list_page(Page("id", LARGEST_PAGE, state.page)), store.known())

    assert state.clean(store.known())
    assert want is not None, "it is fetched all the same"
