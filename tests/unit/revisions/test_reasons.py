"""Why revisions are one patch: what `explain` finds, of a bounded number of bounded mails."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalog_fakes import DAY, FakeStore, mail, name

from patchsync.revisions.history import history_of
from patchsync.revisions.model import Reason
from patchsync.revisions.reasons import reasons_of


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """Three revisions that are alike."""
    store = FakeStore(tmp_path / "store")
    for number in (1, 2, 3):
        store.put(number, mail(f"[PATCH v{number}] a change", at=number * DAY))
    store.group("1 2 3")
    return store


def reasons(store: FakeStore, **bounds: int) -> tuple[Reason, ...]:
    with store.catalog() as catalog:
        return reasons_of(store.config, catalog, history_of(store.config, catalog, "1"), **bounds)


def test_each_with_the_one_before(store: FakeStore) -> None:
    """The rating, and the words of `explain`."""
    found = reasons(store)
    assert [(each.left, each.right) for each in found] == [(name(1), name(2)), (name(2), name(3))]
    assert [each.rating for each in found] == [1, 1]
    assert found[0].verdict == "one patch: 1.0000 is at least 0.82 (AUTOACCEPT_THRESHOLD)"


def test_no_more_than_so_many(store: FakeStore) -> None:
    """The last ones."""
    assert [each.right for each in reasons(store, most=1)] == [name(3)]


def test_no_large_mails(store: FakeStore) -> None:
    """They would take long, for a page too; the others are rated."""
    store.put(4, mail("[PATCH v4] a change", at=4 * DAY, body="x" * 200_000))
    store.group("1 2 3 4")
    *others, last = reasons(store)
    assert [each.rating for each in others] == [1, 1]
    assert (last.right, last.rating) == (name(4), None)
    assert last.verdict.startswith("not rated here: a mail has more than 200 kB")


def test_what_is_no_patch(store: FakeStore) -> None:
    """It says why."""
    store.put(4, b"Subject: [PATCH v4] a change\n\nno diff", name(4))
    store.group("1 2 3 4")
    found = {each.right: each for each in reasons(store)}
    told = [each.verdict for each in found.values() if name(4) in (each.left, each.right)]
    assert told
    assert all("no patch" in verdict for verdict in told)
