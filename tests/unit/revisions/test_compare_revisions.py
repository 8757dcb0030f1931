"""What changed between revisions, and between versions of a series."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pygit2
import pytest
from catalog_fakes import BEGAN, DAY, FakeStore, mail, name

from patchsync.errors import ConfigError, GiveUp, NoPredecessor, PatchTooLarge, UnknownPatch
from patchsync.range_diff import pairing, patch_text
from patchsync.revisions import compare as compare_module
from patchsync.revisions.as_json import diff_json, series_diff_json
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catch_up import catch_up
from patchsync.revisions.compare import PartDiff, SeriesDiff, compare_revisions, compare_series
from tests.support.real_store import real_store

LINES = tuple(f"line {number}" for number in range(30))


def revision(subject: str, *, change: str = "new", at: float = 0, **others: object) -> bytes:
    """A mail whose diff has `change` in the place of a line."""
    raw = mail(subject, at=at, **others)  # type: ignore[arg-type]
    return raw.replace(
        b"@@ -1 +1 @@\n-a\n+b\n", b"@@ -1,2 +1,2 @@\n a\n-b\n+%b\n" % change.encode()
    )


def compared(store: FakeStore, left: object, right: object = None) -> PartDiff:
    with store.catalog() as catalog:
        names = str(left), None if right is None else str(right)
        return compare_revisions(store.config, catalog, *names)


def series(store: FakeStore, asked: object, before: object = None) -> SeriesDiff:
    with store.catalog() as catalog:
        names = str(asked), None if before is None else str(before)
        return compare_series(store.config, catalog, *names)


def changed(diff: PartDiff) -> list[str]:
    """The lines that one side has alone."""
    return [f"{line.sign}{line.text}" for line in diff.lines if line.sign in "+-"]


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """Three revisions of a patch; the last says the same as the one before."""
    store = FakeStore(tmp_path / "store")
    store.put(1, revision("[PATCH] a change", change="one"))
    store.put(2, revision("[PATCH v2] a change", change="two", at=DAY))
    store.put(3, revision("[PATCH v3] a change", change="two", at=2 * DAY))
    store.put(4, revision("[PATCH] alone"))
    store.group("1 2 3")
    return store


def test_two_revisions(store: FakeStore) -> None:
    """In either direction, by any names."""
    found = compared(store, 1, "2@example.org")
    assert (found.pair.sign, changed(found)) == ("!", ["-+one", "++two"])
    assert found.pair.left and found.pair.left.name == "1"
    assert changed(compared(store, 2, 1)) == ["-+two", "++one"]


def test_one_is_compared_with_the_one_before(store: FakeStore) -> None:
    """Where both say the same, nothing is shown."""
    assert changed(compared(store, 2)) == ["-+one", "++two"]
    found = compared(store, 3)
    assert (found.pair.sign, found.lines) == ("=", ())


def test_the_first_has_none_before(store: FakeStore) -> None:
    """It says with what it can be compared."""
    with pytest.raises(NoPredecessor, match=r"<2@example\.org>"):
        compared(store, 1)
    with pytest.raises(NoPredecessor, match=r"first revision that is known$"):
        compared(store, 4)
    with pytest.raises(UnknownPatch):
        compared(store, 1, 99)


def test_as_json(store: FakeStore) -> None:
    """The lines, and who both are."""
    found = json.loads(json.dumps(diff_json(store.config, compared(store, 2))))
    assert (found["sign"], found["left"]["message_id"]) == ("!", name(1))
    assert {"sign": "-", "text": "+one"} in found["lines"]


def test_what_is_no_patch(store: FakeStore) -> None:
    """A mail whose file is missing is told as that."""
    with store.catalog() as catalog:
        for file in store.paths().mails.rglob("*"):
            if file.is_file() and b"+one" in file.read_bytes():
                file.unlink()
        with pytest.raises(GiveUp, match=r"<1@example\.org> is no patch"):
            compare_revisions(store.config, catalog, "1", "2")


# Against commits


def commit_to(repository: pygit2.Repository, message: str, content: str, days: float) -> str:
    """Commit a content of a.c on top."""
    builder = repository.TreeBuilder()
    builder.insert("a.c", repository.create_blob(content.encode()), pygit2.enums.FileMode.BLOB)
    who = pygit2.Signature("A", "a@example.org", int(BEGAN + days * DAY), 0)
    parents = [] if repository.is_empty else [repository.references["refs/heads/main"].target]
    tree = builder.write()
    return str(repository.create_commit("refs/heads/main", who, who, message, tree, parents))


@pytest.fixture
def upstream(tmp_path: Path) -> tuple[FakeStore, str]:
    """The same with a commit that the second became; and its hash."""
    repository = pygit2.init_repository(tmp_path / "repo", bare=True)
    commit_to(repository, "Before\n", "a\nb\n", 0)
    commit = commit_to(repository, "a change\n", "a\ntwo of the maintainer\n", 1.5)
    tables = f'[analysis]\nrepo = "{tmp_path / "repo"}"\nupstream = "main"\n'
    store = FakeStore(tmp_path / "store", tables)
    store.put(1, revision("[PATCH] a change", change="one"))
    store.put(2, revision("[PATCH v2] a change", change="two", at=DAY))
    store.put(3, revision("[PATCH v2] for stable: a change", change="x", at=9 * DAY))
    store.group(f"1 2 3 => {commit}")
    return store, commit


def test_what_the_maintainer_changed(upstream: tuple[FakeStore, str]) -> None:
    """Against the last revision by then, not what was posted after it; or the one that is named."""
    store, commit = upstream
    found = compared(store, commit[:8])
    assert found.right == commit
    assert not isinstance(found.left, str) and found.left and found.left.message_id == name(2)
    # git takes an author's name of one letter for none.
    assert changed(found)[-2:] == ["-+two", "++two of the maintainer"]
    assert "-+one" in changed(compared(store, 1, commit))
    assert diff_json(store.config, found)["right"] == {"hash": commit}


def test_authors_are_called_as_the_mailmap_says(tmp_path: Path) -> None:
    """Those of mails and of a series too; without a repository that opens as they said."""
    repository = pygit2.init_repository(tmp_path / "repo")
    commit_to(repository, "Before\n", "a\nb\n", 0)
    (tmp_path / "repo/.mailmap").write_text("Ann One <ann@new.org> <ann@old.org>\n")
    tables = f'[analysis]\nrepo = "{tmp_path / "repo"}"\nupstream = "main"\n'
    store = FakeStore(tmp_path / "store", tables)
    store.put(1, revision("[PATCH] a change", author="Ann <ann@old.org>"))
    store.put(2, revision("[PATCH v2] a change", author="Ann One <ann@new.org>", at=DAY))
    store.group("1 2")
    assert compared(store, 2).pair.sign == "="
    assert rows(series(store, 2)) == ["1 = 1"]
    (tmp_path / "repo").rename(tmp_path / "elsewhere")
    expected = ["-Author: Ann <ann@old.org>", "+Author: Ann One <ann@new.org>"]
    with Catalog.open(store.config) as catalog:
        assert changed(compare_revisions(store.config, catalog, "2")) == expected
        assert changed(compare_series(store.config, catalog, "2").parts[0]) == expected


def test_commits_that_cannot_be_compared(tmp_path: Path, upstream: tuple[FakeStore, str]) -> None:
    """One of no patch, one of a repository that is not configured."""
    store, commit = upstream
    store.group("1 2 3")
    with pytest.raises(NoPredecessor, match="no patch is known"):
        compared(store, commit)
    bare = FakeStore(tmp_path / "bare")
    bare.put(1, revision("[PATCH] a change"))
    bare.group(f"1 => {commit}")
    with pytest.raises(ConfigError, match=r"\[analysis\] repo"):
        compared(bare, commit)


# Series


def put_series(
    store: FakeStore,
    version: int,
    changes: Iterable[str],
    *,
    total: int = 0,
    leave_out: Iterable[int] = (),
) -> None:
    """A series with a cover letter that is in no store; ids are 10 * version + part."""
    parts = list(changes)
    for part, change in enumerate(parts, start=1):
        if part not in leave_out:
            subject = f"[PATCH v{version} {part}/{total or len(parts)}] {change.split()[0]}"
            raw = revision(
                subject, change=change, at=version * DAY + part, answers=[f"cover{version}"]
            )
            store.put(10 * version + part, raw)


def rows(diff: SeriesDiff) -> list[str]:
    """`<number on the left> <sign> <number on the right>: remarks` of each pair."""
    return [
        f"{part.pair.left_number or '-'} {part.pair.sign} {part.pair.right_number or '-'}"
        + "".join(f": {remark}" for remark in part.remarks)
        for part in diff.parts
    ]


def test_a_series(tmp_path: Path) -> None:
    """By the groups: equal, changed, dropped, new and reordered parts; by a part or the cover."""
    store = FakeStore(tmp_path / "store")
    put_series(store, 1, ["a", "b", "c", "d"])
    put_series(store, 2, ["new", "c changed", "a", "d"])
    store.group("11 23", "13 22", "14 24", "12", "21")
    for asked in (23, "cover2@example.org"):
        found = series(store, asked)
        assert (found.left.version, found.right.version) == (1, 2)
        assert rows(found) == [
            "- > 1: new",
            "3 ! 2: reordered",
            "1 = 3",
            "2 < -: dropped",
            "4 = 4",
        ]
        assert found.remarks == ()
    assert changed(found.parts[1]) == ["-+c", "++c changed"]
    content = series_diff_json(store.config, found)
    assert json.loads(json.dumps(content)) == content
    assert [part["sign"] for part in content["parts"]] == [">", "!", "=", "<", "="]


def test_a_split(tmp_path: Path) -> None:
    """A part that the groups have as two now is told."""
    store = FakeStore(tmp_path / "store")
    put_series(store, 1, ["a", "b"])
    put_series(store, 2, ["a", "more", "b"])
    store.group("11 21 22", "12 23")
    assert rows(series(store, 21)) == [
        "1 = 1",
        "- > 2: split from part 1 before: the groups have them as one patch",
        "2 = 3",
    ]


def put_long_series(store: FakeStore, version: int, *words: str) -> None:
    """As `put_series`, but of patches of ten lines; of "word:more" one of them is another."""
    for part, word in enumerate(words, start=1):
        word, _, last = word.partition(":")
        lines = [*(f"+{word} {number}" for number in range(9)), f"+{last or word} at last"]
        raw = mail(f"[PATCH v{version} {part}/{len(words)}] {word}", at=version * DAY + part)
        diff = "\n".join(["@@ -1 +1,11 @@", " a", *lines, ""]).encode()
        raw = raw.replace(b"@@ -1 +1 @@\n-a\n+b\n", diff)
        store.put(10 * version + part, raw)


def test_what_is_not_grouped_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paired as git range-diff does it, but for what the groups pair, or have as two patches."""
    store = FakeStore(tmp_path / "store")
    put_long_series(store, 1, "a", "b", "c", "gone")
    put_long_series(store, 2, "a", "x", "b:new", "c:new")
    store.group("11 21", "12", "13", "14", "24")
    paired = "not grouped yet: paired as git range-diff does"
    another = "has the same title, but is another patch to the groups"
    new = "- > 2: new: not grouped yet"
    found = series(store, 21)
    assert rows(found) == [
        "1 = 1",
        new,
        f"2 ! 3: {paired}",
        f"3 < -: dropped: part 4 now {another}",
        "4 < -: dropped",
        f"- > 4: new: part 3 before {another}",
    ]
    assert series_diff_json(store.config, found)["parts"][2]["remarks"] == [paired]
    # The other way round: the earlier one is not grouped.
    store.group("21 29", "22", "23", "24")
    both = [f"1 = 1: {paired}", "- > 2: new", f"2 ! 3: {paired}", f"3 ! 4: {paired}"]
    assert rows(series(store, 21, 11)) == [*both, "4 < -: dropped: not grouped yet"]
    # Nothing is grouped, as before the first analysis.
    store.group("98 99")
    both[1] = new
    assert rows(series(store, 21, 11)) == [*both, "4 < -: dropped: not grouped yet"]
    monkeypatch.setattr(pairing, "MOST_LINES", 10)
    found = series(store, 21, 11)
    assert rows(found)[-1] == "- > 4: new: not grouped yet"
    assert "not grouped yet is not paired: the series have too many lines" in found.remarks[0]


def test_missing_parts_and_parts_that_came_twice(tmp_path: Path) -> None:
    """They are told; what is there is compared under its own number."""
    store = FakeStore(tmp_path / "store")
    put_series(store, 1, ["a", "b", "c"], leave_out=[2])
    put_series(store, 2, ["a", "b", "c"])
    again = revision("[PATCH v2 3/3] c", change="c again", at=2 * DAY + 9, answers=["cover2"])
    store.put(29, again)
    store.group("11 21", "13 23 29", "22")
    found = series(store, 21)
    assert rows(found) == ["1 = 1", "- > 2: new", "3 ! 3"]
    assert found.remarks == (
        "of 3 parts before these are not in the store: 2",
        "sent again now, the later one is compared: part 3",
    )


def test_the_version_before(tmp_path: Path) -> None:
    """The last one that has most of it: not a part that was sent alone, nor the one before."""
    store = FakeStore(tmp_path / "store")
    put_series(store, 1, ["a", "b", "c", "d"])
    put_series(store, 2, ["a", "b", "c"])
    put_series(store, 3, ["a", "b", "c", "d"])
    store.put(5, revision("[PATCH] a", change="a", at=2.5 * DAY))
    store.group("11 21 31 5", "12 22 32", "13 23 33", "14 34")
    assert series(store, 31).left.version == 2
    assert series(store, 31, 11).left.version == 1
    assert rows(series(store, 31))[-1] == "- > 4: new"
    with pytest.raises(NoPredecessor, match="version 1"):
        series(store, 11)
    assert series(store, 5).left.version == 2


def test_the_version_before_by_its_change_id(tmp_path: Path) -> None:
    """The last one before it that has the same, where the groups know of none."""
    store = FakeStore(tmp_path / "store")
    change = "X-Change-ID: 20260101-topic-0123456789ab\n"
    for version in (1, 2, 3, 4):
        subject = f"[PATCH v{version}] called {version}"
        store.put(version, revision(subject, at=version * DAY, headers=change))
    store.put(5, revision("[PATCH v3] called 3", at=2.5 * DAY, headers=change[:-3] + "xy\n"))
    store.group("1", "2 99")
    found = series(store, 3)
    assert found.left.version == 2
    assert rows(found) == ["1 ! 1: not grouped yet: paired as git range-diff does"]
    store.group("1 3")
    assert series(store, 3).left.version == 1
    with pytest.raises(NoPredecessor, match="they do not have it yet"):
        series(store, 5)
    store.group("5")
    with pytest.raises(NoPredecessor, match=r"has a patch of it$"):
        series(store, 5)


def test_a_part_that_cannot_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told; the others are compared."""
    store = FakeStore(tmp_path / "store")
    put_series(store, 1, ["a", "b" * 400])
    put_series(store, 2, ["a changed", "b" * 400])
    store.group("11 21", "12 22")
    monkeypatch.setattr(patch_text, "LARGEST_BYTES", 600)
    first, second = series(store, 21).parts
    assert (first.remarks, bool(first.lines)) == ((), True)
    # They may have changed.
    assert (second.pair.sign, second.lines) == ("!", ())
    assert len(second.remarks) == 2
    assert "cannot be read" in second.remarks[0]
    monkeypatch.setattr(compare_module, "MOST_PATCHES", 1)
    with pytest.raises(PatchTooLarge):
        series(store, 21)


@pytest.mark.parametrize(("bound", "most"), [("MOST_BYTES", 2000), ("MOST_LINES", 30)])
def test_a_series_that_is_too_large_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    """The first parts are compared; of the others not even the mails are read."""
    store = FakeStore(tmp_path / "store")
    for version in (1, 2):
        put_series(store, version, [f"{each} {version}" for each in "abcdefgh"])
    store.group(*(f"1{part} 2{part}" for part in range(1, 9)))
    assert all(part.lines for part in series(store, 21).parts)
    monkeypatch.setattr(compare_module, bound, most)
    read: list[str] = []
    raws = Catalog.raws
    monkeypatch.setattr(
        Catalog, "raws", lambda self, message_id: read.append(message_id) or raws(self, message_id)
    )
    found = series(store, 21).parts
    assert found[0].lines and not found[0].remarks
    last = found[-1]
    assert (last.pair.sign, last.lines, len(last.remarks)) == ("!", (), 2)
    assert "<18@example.org> is left out: the parts before it have more than" in last.remarks[0]
    assert name(11) in read and name(18) not in read and name(28) not in read


def test_a_real_series(tmp_path: Path) -> None:
    """Parts of jailhouse that changed their places, by the groups that the real PaStA found."""
    config = real_store(tmp_path)
    assert catch_up(config)
    with Catalog.open(config) as catalog:
        found = compare_series(config, catalog, "1607")
        assert rows(found) == [
            "1 < -: dropped: part 1 now has the same title, but is another patch to the groups",
            "- > 1: new: part 1 before has the same title, but is another patch to the groups",
            "3 ! 2: reordered",
            "2 = 3",
            "4 ! 4",
        ]
        one = compare_revisions(config, catalog, "672")
        assert changed(one) == [
            "-+	memcpy(&setup_data.hdr, mapping, setup_data_len);",
            "++	memcpy(&setup_data, mapping, setup_data_len);",
        ]
