"""Which mails are one series: threads whole and broken, versions, parts lost and sent again."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalog_fakes import FakeStore, mail, name

from patchsync.revisions import linking
from patchsync.revisions.catalog import Catalog

MINUTE = 60


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """An empty one."""
    return FakeStore(tmp_path / "store")


def series_of(catalog: Catalog, number: int) -> list[str]:
    """The numbers of all mails of a mail's series, in its order."""
    found = catalog.series(name(number))
    assert found is not None
    return [each.message_id.strip("<>").partition("@")[0] for each in found.mails]


def test_parts_that_answer_a_cover_letter_are_one(store: FakeStore) -> None:
    """Its key is the cover letter's message-id, which is not in the store."""
    for part in (1, 2, 3):
        subject = f"[PATCH {part}/3] part {part}"
        store.put(part, mail(subject, answers=["cover"], at=part * 60 * MINUTE))
    store.put(9, mail("[PATCH] another", answers=["cover"]))
    with store.catalog() as catalog:
        series = catalog.series(name("cover"))
        assert series is not None
        assert series == catalog.series(name(2))
        assert (series.key, series.title, series.total) == (name("cover"), "part 1", 3)
        assert series_of(catalog, 1) == ["1", "2", "3"]
        assert series_of(catalog, 9) == ["9"]
        assert catalog.series(name("unknown")) is None
        assert catalog.series("\ud800") is None


def test_parts_that_answer_the_first_are_one(store: FakeStore) -> None:
    """There is no cover letter, so the key is the first part's."""
    store.put(1, mail("[PATCH 1/3] one"))
    store.put(2, mail("[PATCH 2/3] two", answers=[1], at=60 * MINUTE))
    store.put(3, mail("[PATCH 3/3] three", answers=[1], at=90 * MINUTE))
    with store.catalog() as catalog:
        series = catalog.series(name(3))
        assert series is not None
        assert series.key == name(1)
        assert series_of(catalog, 2) == ["1", "2", "3"]


def test_each_part_may_answer_the_one_before(store: FakeStore) -> None:
    """Also where one of them is missing."""
    thread: list[str | int] = ["cover"]
    for part in (1, 2, 3, 4):
        if part != 2:
            store.put(part, mail(f"[PATCH {part}/4] it", answers=thread, at=part * 60 * MINUTE))
        thread.append(part)
    with store.catalog() as catalog:
        assert series_of(catalog, 4) == ["1", "3", "4"]
        series = catalog.series(name("cover"))
        assert series is not None
        assert series.missing == (2,)


def test_versions_of_one_thread_are_apart(store: FakeStore) -> None:
    """With cover letters of their own, below the former one's, or with none."""
    for part in (1, 2):
        store.put(part, mail(f"[PATCH {part}/2] it", answers=["cover"]))
        second = mail(f"[PATCH v2 {part}/2] it", answers=["cover", "cover2"], at=MINUTE)
        store.put(10 + part, second)
        third = mail(f"[PATCH v3 {part}/2] it", answers=["cover"], at=2 * MINUTE)
        store.put(20 + part, third)
    with store.catalog() as catalog:
        assert [series_of(catalog, each) for each in (1, 11, 21)] == [
            ["1", "2"],
            ["11", "12"],
            ["21", "22"],
        ]
        keys = [catalog.mails([name(each)])[name(each)].series_key for each in (2, 12, 22)]
        assert keys == [name("cover"), name("cover2"), name(21)]


def test_a_version_below_reviews_is_one(store: FakeStore) -> None:
    """Each part of it answers what somebody said of the same part before."""
    for part in (1, 2, 3):
        store.put(part, mail(f"[PATCH {part}/3] it", answers=["cover"]))
        thread = ["cover", part, f"review{part}"]
        store.put(10 + part, mail(f"[PATCH v2 {part}/3] it", answers=thread, at=part))
    with store.catalog() as catalog:
        assert series_of(catalog, 12) == ["11", "12", "13"]
        assert catalog.mails([name(12)])[name(12)].series_key == name(11)


def test_without_a_thread_time_tells(store: FakeStore) -> None:
    """Author, version and total, within twenty minutes; the next with them is another one."""
    parts = [(1, 1, 0), (2, 2, 1), (3, 1, 2), (4, 2, 3), (5, 1, 60), (6, 2, 61)]
    for number, part, minutes in parts:
        store.put(number, mail(f"[PATCH {part}/2] it", at=minutes * MINUTE))
    store.put(7, mail("[PATCH 2/2] it", author="B <b@example.org>", at=60 * MINUTE))
    store.put(8, mail("[PATCH v2 2/2] it", at=60 * MINUTE))
    with store.catalog() as catalog:
        found = [series_of(catalog, number) for number in (1, 3, 5, 7, 8)]
        assert found == [["1", "2"], ["3", "4"], ["5", "6"], ["7"], ["8"]]


def test_sending_that_was_resumed_is_one(store: FakeStore) -> None:
    """The rest begins a thread of its own; but two cover letters are two series."""
    for part in (1, 2):
        store.put(part, mail(f"[PATCH {part}/4] it", answers=["cover"]))
    store.put(3, mail("[PATCH 3/4] it", at=5 * MINUTE))
    store.put(4, mail("[PATCH 4/4] it", at=5 * MINUTE, answers=[3]))
    for number, part, cover in ((11, 1, "a"), (12, 3, "a"), (13, 2, "b"), (14, 4, "b")):
        store.put(number, mail(f"[PATCH v2 {part}/4] it", answers=[cover]))
    with store.catalog() as catalog:
        assert series_of(catalog, 1) == ["1", "2", "3", "4"]
        assert [series_of(catalog, each) for each in (11, 13)] == [["11", "12"], ["13", "14"]]


def test_a_part_sent_again_stays_in_its_series(store: FakeStore) -> None:
    """The later one comes first; a new version of it alone is a series with parts missing."""
    for part in (1, 2, 3):
        store.put(part, mail(f"[PATCH {part}/3] it", answers=["cover"]))
    store.put(4, mail("[PATCH 2/3] it", answers=["cover", 2], at=DAY_LATER))
    store.put(5, mail("[PATCH v2 2/3] it", answers=["cover", 2], at=2 * DAY_LATER))
    with store.catalog() as catalog:
        assert series_of(catalog, 1) == ["1", "4", "2", "3"]
        alone = catalog.series(name(5))
        assert alone is not None
        assert (alone.version, alone.missing, alone.key) == (2, (1, 3), name(5))


DAY_LATER = 24 * 60 * MINUTE


def test_all_sent_again_below_the_first_is_another_one(store: FakeStore) -> None:
    """Its parts answer its own first part."""
    store.put(1, mail("[PATCH 1/2] it"))
    store.put(2, mail("[PATCH 2/2] it", answers=[1]))
    store.put(3, mail("[PATCH 1/2] it", answers=[1], at=DAY_LATER))
    store.put(4, mail("[PATCH 2/2] it", answers=[1, 3], at=DAY_LATER))
    with store.catalog() as catalog:
        assert [series_of(catalog, each) for each in (1, 4)] == [["1", "2"], ["3", "4"]]


def test_two_authors_below_one_mail_are_two(store: FakeStore) -> None:
    """But parts of several authors that are each there once are one."""
    for number, author in ((1, "a"), (3, "b")):
        for part in (0, 1):
            text = mail(f"[PATCH {part + 1}/2] it", author=f"<{author}@b>", answers=["question"])
            store.put(number + part, text)
    for part, author in ((1, "a"), (2, "b"), (3, "c")):
        store.put(
            10 + part, mail(f"[PATCH {part}/3] it", author=f"<{author}@b>", answers=["cover"])
        )
    with store.catalog() as catalog:
        assert [series_of(catalog, each) for each in (1, 3)] == [["1", "2"], ["3", "4"]]
        assert series_of(catalog, 11) == ["11", "12", "13"]


def test_a_change_id_tells_without_thread_and_time(store: FakeStore) -> None:
    """b4's, in a header or in the text; and it leads to the other versions."""
    header = "X-Change-ID: 20260101-topic-0123456789ab\n"
    text = "base-commit: 0\nchange-id: 20260101-topic-0123456789ab\n"
    store.put(1, mail("[PATCH 1/2] it", headers=header))
    store.put(2, mail("[PATCH 2/2] it", body=text, at=DAY_LATER))
    store.put(3, mail("[PATCH v2 1/2] it", body=text, at=2 * DAY_LATER))
    store.put(4, mail("[PATCH] alone", body="Change-Id: I0123456789\n"))
    with store.catalog() as catalog:
        assert series_of(catalog, 1) == ["1", "2"]
        found = catalog.mails_of_same_change([name(1)])
        assert [mail.message_id for mail in found] == [name(1), name(2), name(3)]
        assert catalog.mails_of_same_change([name(4), "nobody"]) == []


def test_a_cover_letter_that_is_a_patch_is_the_first_part(store: FakeStore) -> None:
    """Patchwork lists one that has a diff."""
    store.put(1, mail("[PATCH 0/1] it"))
    store.put(2, mail("[PATCH 0/2] all"))
    store.put(3, mail("[PATCH 1/2] one", answers=[2]))
    store.put(4, mail("[PATCH 2/2] two", answers=[2]))
    with store.catalog() as catalog:
        assert series_of(catalog, 3) == ["2", "3", "4"]
        series = catalog.series(name(4))
        assert series is not None
        assert (series.key, series.missing) == (name(2), ())
        assert series_of(catalog, 1) == ["1"]


@pytest.mark.parametrize("kind", ["one cover", "one author", "one change", "a thread"])
def test_too_many_are_no_series(
    store: FakeStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one by itself then, and costs no more than the others; what is near stays whole."""
    monkeypatch.setattr(linking, "MOST_TOGETHER", 20)
    for part in (1, 2):
        store.put(900 + part, mail(f"[PATCH {part}/2] it", answers=["other"]))
    for number in range(1, 61):
        author, thread, header, at = f"A <{number}@b.c>", [], "", number * DAY_LATER
        match kind:
            case "one cover":
                thread = ["cover"]
            case "one author":
                author, at = "A <a@b.c>", number
            case "one change":
                header = "X-Change-ID: 20260101-a\n"
            case "a thread":
                thread = list(range(max(1, number - 5), number))
        raw = mail(f"[PATCH {number}/99] it", author=author, answers=thread, headers=header, at=at)
        store.put(number, raw)
        if number % 15 == 0:
            store.catalog().close()
    with store.catalog() as catalog:
        assert series_of(catalog, 901) == ["901", "902"]
        assert series_of(catalog, 60) == ["60"]
        for number in range(1, 61):
            # Those of the first may be together, as long as there were few.
            assert str(number) in series_of(catalog, number)
            assert len(series_of(catalog, number)) <= 20
