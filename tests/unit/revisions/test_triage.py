"""What waits: patches that are done but shown as open, and those that nobody answered."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from catalog_fakes import BEGAN, DAY, FakeStore, mail, name

from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.revisions import triage as triage_module
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.model import PatchMail
from patchsync.revisions.triage import Kind, WaitingPage, triage
from patchsync.store.patch_views import PatchViews
from patchsync.sync.projects import find_project

COMMIT = "1a2b3c4d5e6f" + "0" * 28


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path / "store")


def show(store: FakeStore, *ids: int, state: str = "new", **more: object) -> None:
    """Have Patchwork been seen to show these so."""
    with PatchViews(store.paths()) as views:
        views.record(
            [ShownPatch(patch_id=each, state=state, **more) for each in ids],  # type: ignore[arg-type]
            BEGAN,
        )


def page(store: FakeStore, kind: Kind, **more: object) -> WaitingPage:
    project = find_project(store.config, "1")
    assert project
    with store.catalog() as catalog:
        return triage(store.config, catalog, project, kind, **more)  # type: ignore[arg-type]


def ids(store: FakeStore, kind: Kind) -> list[int]:
    return [waiting.patch.patch_id for waiting in page(store, kind).patches]


def test_done_but_shown_as_open(store: FakeStore) -> None:
    """A later revision is there, or it is upstream; the last revision is not done."""
    for number in range(1, 7):
        store.put(number, mail(f"[PATCH v{number}] it", at=number * DAY))
    store.group("1 2 3", f"4 => {COMMIT}", "5 6")
    show(store, 1, 3, 4, 6)
    show(store, 2, state="under-review")
    show(store, 5, state="superseded")
    found = page(store, "done")
    assert [waiting.patch.patch_id for waiting in found.patches] == [4, 2, 1]
    upstream, second, first = found.patches
    assert (upstream.commits, upstream.later) == ((COMMIT,), None)
    assert first.later == second.later == name(3)
    assert (second.patch.state, second.patch.seen_at) == ("under-review", BEGAN)
    assert found.before is None


def test_what_is_not_done(store: FakeStore) -> None:
    """What is archived, gone, or not seen; another part of its own series is no later revision."""
    for number in (1, 2, 3):
        store.put(number, mail("[PATCH] it", at=number))
    store.put(4, mail("[PATCH v2] it", at=DAY))
    for part in (1, 2):
        raw = mail(f"[PATCH {part}/2] alike", at=part, answers=["cover"])
        store.put(10 + part, raw)
    store.group("1 2 3 4", "11 12")
    show(store, 1, archived=True)
    show(store, 2, 11, 12)
    store.set_gone(2)
    assert ids(store, "done") == []


def test_a_later_revision_on_another_list(store: FakeStore) -> None:
    """It counts wherever it was posted."""
    store.put(1, mail("[PATCH] it"))
    store.put(9, mail("[PATCH v2] it", at=DAY), project=2)
    store.group("1 9")
    show(store, 1)
    assert ids(store, "done") == [1]


def test_unanswered(store: FakeStore) -> None:
    """Still new, and no sign of anybody: neither delegate nor check, revision, commit or answer."""
    for number in range(1, 11):
        store.put(number, mail(f"[PATCH] topic {number}", at=number))
    show(store, *range(1, 11))
    show(store, 2, state="under-review")
    show(store, 3, delegate="ada")
    show(store, 4, check="warning")
    show(store, 5, check="success")
    show(store, 6, check="pending")
    store.put(20, mail("[PATCH v2] topic 7", at=DAY))
    store.group("7 20", f"8 => {COMMIT}")
    store.put(21, mail("[PATCH] fixup", author="B <b@example.org>", at=DAY, answers=[9]))
    store.put(22, mail("[PATCH] my fixup", at=DAY, answers=[10]))
    assert ids(store, "unanswered") == [10, 6, 1]


def test_our_own_check_is_no_answer(tmp_path: Path) -> None:
    """Where we post checks, one that says success is as good as none."""
    store = FakeStore(tmp_path / "store", '[push]\nsinks = ["check"]\n')
    store.put(1, mail("[PATCH] it"))
    store.put(2, mail("[PATCH] other"))
    show(store, 1, check="success")
    show(store, 2, check="fail")
    assert ids(store, "unanswered") == [1]


def test_other_states(store: FakeStore) -> None:
    """A Patchwork has its own; the first is that of what nobody has looked at."""
    store.put(1, mail("[PATCH] it"))
    store.put(2, mail("[PATCH] other"))
    show(store, 1, state="fresh")
    show(store, 2)
    assert [
        each.patch.patch_id for each in page(store, "unanswered", states=["fresh"]).patches
    ] == [1]


@pytest.mark.parametrize("looked_at", [10_000, 3])
def test_by_page(store: FakeStore, monkeypatch: pytest.MonkeyPatch, looked_at: int) -> None:
    """Each once, in falling order; where little is looked at for one page, by more of them."""
    monkeypatch.setattr(triage_module, "_AT_ONCE", 3)
    monkeypatch.setattr(triage_module, "MOST_LOOKED_AT", looked_at)
    for number in range(1, 20):
        store.put(number, mail(f"[PATCH] topic {number}", at=number))
    show(store, *range(1, 20))
    store.group(*(f"{number} => {COMMIT[:-2]}{number:02}" for number in range(1, 20, 3)))
    found: list[int] = []
    before = None
    for _ in range(20):
        some = page(store, "done", before=before, limit=2)
        assert len(some.patches) <= 2
        found += [waiting.patch.patch_id for waiting in some.patches]
        before = some.before
        if before is None:
            break
    assert found == [19, 16, 13, 10, 7, 4, 1]


def test_a_large_group_is_read_once(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of it are looked at one after the other; what was read of others is dropped."""
    for number in range(1, 10):
        store.put(number, mail(f"[PATCH v{number}] it", at=number * DAY))
    store.group("1 2 3 4 5 6 8 9")
    show(store, *range(1, 10))
    monkeypatch.setattr(triage_module, "_AT_ONCE", 2)
    asked: list[str] = []
    read = Catalog.mails

    def mails(catalog: Catalog, names: Iterable[str]) -> dict[str, PatchMail]:
        wanted = list(names)
        asked.extend(wanted)
        return read(catalog, wanted)

    monkeypatch.setattr(Catalog, "mails", mails)
    found = page(store, "done").patches
    assert [waiting.patch.patch_id for waiting in found] == [8, 6, 5, 4, 3, 2, 1]
    assert {waiting.later for waiting in found} == {name(9)}
    assert sorted(asked) == sorted(map(name, (1, 2, 3, 4, 5, 6, 8, 9)))


def test_where_nothing_was_seen(store: FakeStore) -> None:
    """As after an import: no state is known, so nothing is shown."""
    store.put(1, mail())
    assert page(store, "done") == page(store, "unanswered") == WaitingPage(patches=(), before=None)
