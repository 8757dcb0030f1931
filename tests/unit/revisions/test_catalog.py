"""The catalog: what is read of the mails, their groups, pages, search, sums."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalog_fakes import BEGAN, DAY, FakeStore, mail, name

from patchsync.analysis.groups import Group
from patchsync.errors import StoreUnavailable
from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.revisions import catalog_mails, catalog_search
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catalog_file import (
    catalog_file,
    catalog_lock,
    catalog_path,
    has_full_text_search,
)
from patchsync.revisions.model import PatchInProject, PatchMail, SubjectPrefix
from patchsync.store.lock import store_lock
from patchsync.store.patch_views import PatchViews

needs_full_text_search = pytest.mark.skipif(
    not has_full_text_search(), reason="this SQLite has no FTS5, whose tables are damaged here"
)


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """An empty one."""
    return FakeStore(tmp_path / "store")


def test_a_mail_is_told_as_it_says_itself(store: FakeStore) -> None:
    """Head, prefix, files, and which patches it is."""
    raw = mail(
        "=?utf-8?q?=5BPATCH_v2_3/7=5D_gr=C3=BC=C3=9Fe?=",
        author='"Jos\u00e9 \\"J\\" P" <Jose@Example.org>',
        at=5,
        files=["b.c", "a/\u00e9.c"],
        answers=["cover"],
    )
    store.put(7, raw)
    store.put(9, raw, name(7), project=2)
    with store.catalog() as catalog:
        told = catalog.mail(name(7))
    assert told == PatchMail(
        message_id=name(7),
        date=BEGAN + 5,
        author_name='Jos\u00e9 "J" P',
        author_address="jose@example.org",
        subject="[PATCH v2 3/7] gr\u00fc\u00dfe",
        title="gr\u00fc\u00dfe",
        prefix=SubjectPrefix(version=2, part=3, total=7),
        series_key=name("cover"),
        files=("b.c", "a/\u00e9.c"),
        patches=(
            PatchInProject(project_id=1, project_name="sample", patch_id=7),
            PatchInProject(project_id=2, project_name="other", patch_id=9),
        ),
    )


def test_a_patch_is_found_by_its_number(store: FakeStore) -> None:
    """Of whichever project; one that no patch has is none, however large."""
    store.put(7, mail(), project=2)
    with store.catalog() as catalog:
        assert [found.message_id for found in catalog.mails_of_patch(7)] == [name(7)]
        assert catalog.mails_of_patch(8) == catalog.mails_of_patch(10**30) == []
        assert catalog.mail("\ud800") is None


def test_without_a_catalog_nothing_is_known(store: FakeStore) -> None:
    """And nothing is made by looking."""
    with Catalog.open(store.config) as catalog:
        assert catalog.mail(name(1)) is None
        assert catalog.page(1, search="a") == catalog.page(1) == []
        assert catalog.group_of(name(1)) == Group((name(1),), ())
        assert catalog.changed_at is None
    assert list((store.config.d_mbox / "patchsync").glob("catalog*")) == []


def test_groups_have_mails_and_commits(store: FakeStore) -> None:
    """By any of them; who is in no group is alone."""
    for number in (1, 2, 3):
        store.put(number, mail())
    commit = "12" * 20
    store.group(f"1 2 => {commit}", "3")
    with store.catalog() as catalog:
        whole = Group((name(1), name(2)), (commit,))
        assert catalog.group_of(name(1)) == catalog.group_of(commit) == whole
        assert catalog.group_of(name(3)) == Group((name(3),), ())
        assert catalog.group_of("ab" * 20) == Group((), ("ab" * 20,))
        assert catalog.commits_named("1212121") == [commit]
        assert catalog.commits_named("12121213") == catalog.commits_named("1") == []
        assert catalog.sums.revisions_per_group() == {1: 1, 2: 1}


def test_pages_go_back_in_time(store: FakeStore) -> None:
    """The newest first, each once, without what Patchwork lists no more."""
    for number in range(1, 8):
        # Two of each second
        store.put(number, mail(at=number // 2 * 60))
    store.put(8, mail(at=999), project=2)
    store.set_gone(4)
    with store.catalog() as catalog:
        seen: list[PatchMail] = []
        while page := catalog.page(
            1, before=(seen[-1].date, seen[-1].message_id) if seen else None, limit=2
        ):
            seen += page
    assert sorted(mail.patches[0].patch_id for mail in seen) == [1, 2, 3, 5, 6, 7]
    assert [mail.date for mail in seen] == sorted((mail.date for mail in seen), reverse=True)


@pytest.mark.parametrize("full_text", [True, False])
def test_search_looks_for_all_words(
    store: FakeStore, full_text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In subject, author and files, with FTS5 and without it; what it cannot read finds nothing."""
    if not full_text:
        for module in (catalog_search, catalog_mails):
            monkeypatch.setattr(module, "has_full_text_search", lambda: False)
    store.put(1, mail("[PATCH] usb: fix a leak", files=["drivers/usb/core.c"], at=1))
    store.put(2, mail("[PATCH] net: fix it", author="Usher <u@example.org>", at=2))
    store.put(3, mail("[PATCH] usb: other project"), project=2)
    with store.catalog() as catalog:

        def found(search: str) -> list[int]:
            return [mail.patches[0].patch_id for mail in catalog.page(1, search=search)]

        assert found("fix") == [2, 1]
        assert found("USB fix") == found("drivers/usb/core.c") == found("leak usb:") == [1]
        assert found("usher") == found("ushe") == found("net ush") == [2]
        assert found("p1") == found("nothing") == found('"') == found("-") == []
        assert found("fix OR nothing") == found("NOT fix") == []
        assert found("* fix)(") == found("fix\0") == [2, 1]
        assert found("e\u0301 " * 1000) == []


def test_sums_for_charts(store: FakeStore) -> None:
    """Patches a day of a project."""
    for number, day in enumerate([0, 0, 1, 40], 1):
        store.put(number, mail(at=day * DAY))
    store.set_gone(2)
    with store.catalog() as catalog:
        first = BEGAN // DAY
        days = catalog.sums.patches_per_day(1, days=30, now=BEGAN + 10 * DAY)
        assert days == [(first, 1), (first + 1, 1)]
        assert catalog.sums.patches_per_day(1, days=5, now=BEGAN + 41 * DAY) == [(first + 40, 1)]
        assert catalog.sums.patches_per_day(2) == []


def test_what_patchwork_was_seen_to_show_is_told(store: FakeStore) -> None:
    """Of the project's own lists; None where none was read, or what was kept is damaged."""
    for project in (1, 2):
        store.put(7, mail(), project=project)
    with PatchViews(store.paths(1)) as views:
        shown = ShownPatch(patch_id=7, state="new", archived=False, check="fail", series_id=3)
        views.record([shown], seen_at=BEGAN)
    told = PatchInProject(
        project_id=1,
        project_name="sample",
        patch_id=7,
        state="new",
        archived=False,
        check="fail",
        series_id=3,
        seen_at=BEGAN,
    )
    other = PatchInProject(project_id=2, project_name="other", patch_id=7)
    with store.catalog() as catalog:
        assert catalog.mails_of_patch(7)[0].patches == (told, other)
    store.paths(1).patch_views.write_bytes(b"no database" * 1000)
    with store.catalog() as catalog:
        assert catalog.mails_of_patch(7)[0].patches[0].state is None


@needs_full_text_search
def test_a_search_that_is_damaged_is_said_to_be(store: FakeStore) -> None:
    """In words, and not as an answer; then it is removed, and made anew by who comes next."""
    store.put(1, mail("[PATCH] usb"))
    with store.catalog():
        pass
    with catalog_file(store.config) as file, file.transaction() as sql:
        sql.execute("DELETE FROM search_data")
    with Catalog.open(store.config) as catalog:
        with pytest.raises(StoreUnavailable, match="is damaged"):
            catalog.page(1, search="usb")
        assert len(catalog.page(1)) == 1
    assert not catalog_path(store.config).exists()
    with store.catalog() as catalog:
        assert len(catalog.page(1, search="usb")) == 1


@needs_full_text_search
def test_a_damaged_catalog_is_not_removed_beside_its_writer(store: FakeStore) -> None:
    """Nor is another one that is there by then."""
    store.put(1, mail("[PATCH] usb"))
    store.catalog().close()
    path = catalog_path(store.config)
    with catalog_file(store.config) as file, file.transaction() as sql:
        sql.execute("DELETE FROM search_data")

    def find_it_damaged(catalog: Catalog) -> None:
        with pytest.raises(StoreUnavailable, match="is damaged"):
            catalog.page(1, search="usb")

    with store_lock(catalog_lock(path)), Catalog.open(store.config) as catalog:
        find_it_damaged(catalog)
    assert path.exists()
    with Catalog.open(store.config) as catalog:
        find_it_damaged(catalog)
        path.unlink()
        store.catalog().close()
    with Catalog.open(store.config) as catalog:
        assert len(catalog.page(1, search="usb")) == 1
