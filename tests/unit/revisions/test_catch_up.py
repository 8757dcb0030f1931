"""Catching up: what is new alone, with the same result as from nothing, whatever came when."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest
from catalog_fakes import BEGAN, FakeStore, mail, name

from patchsync.analysis.engine import Stopped
from patchsync.errors import StoreDamaged
from patchsync.revisions import catalog_mails
from patchsync.revisions import catch_up as catch_up_module
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catalog_file import catalog_path
from patchsync.revisions.catch_up import catch_up
from patchsync.store import sqlite_file
from patchsync.store.layout import parse_line
from patchsync.store.lock import store_lock
from tests.support.real_mail import PATCHES_JSON
from tests.support.real_store import real_mails

WORDS = ("usb", "net", "fix", "leak")
COMMIT = "12" * 20
NUMBERS = range(1, 31)


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """An empty one."""
    return FakeStore(tmp_path / "store")


def contents(catalog: Catalog, numbers: range) -> dict[str, object]:
    """All that a catalog says of these mails."""
    names = [name(number) for number in numbers]
    mails = catalog.mails(names)
    return {
        "mails": mails,
        "series": {key: catalog.series(key) for key in [*names, name("c1"), name("c2")]},
        "groups": catalog.groups_of([*names, COMMIT]),
        "pages": [catalog.page(project, search=word)
                  for project in (1, 2) for word in ("", *WORDS, "a b", "b.c")],
        "days": [catalog.sums.patches_per_day(project, now=BEGAN) for project in (1, 2)],
        "revisions": catalog.sums.revisions_per_group(),
        "lines": catalog._file.rows("SELECT * FROM line ORDER BY id"),
        "unlinked": catalog._file.rows("SELECT * FROM unlinked"),
    }  # fmt: skip


class Life:
    """A store to which things happen."""

    def __init__(self, store: FakeStore, random: Random) -> None:
        self.store = store
        self.random = random
        self.mails: dict[int, bytes] = {}
        # Patches of each project, by the number of the mail that they are
        self.patches: dict[int, set[int]] = {1: set(), 2: set()}

    def arrive(self, number: int) -> None:
        """A mail comes, to one project or both; the other one may have other bytes of it."""
        random = self.random
        total = random.choice([2, 2, 3])
        version = random.choice(["", "v2 "])
        subject = f"[PATCH {version}{random.randint(1, total)}/{total}] {random.choice(WORDS)} it"
        thread = [random.choice(["c1", "c2", *NUMBERS]) for _ in range(random.randint(0, 3))]
        for project in random.sample([1, 2], random.choice([1, 1, 2])):
            raw = self.mails[number] = mail(
                random.choice([subject, subject, f"[PATCH] {random.choice(WORDS)}"]),
                author=random.choice(["A <a@b.c>", "B <b@b.c>"]),
                at=random.randint(0, 6) * 600,
                files=random.sample(["a.c", "b.c"], random.randint(0, 2)),
                answers=thread,
                headers=random.choice(["", "", "X-Change-ID: 20260101-a\n"]),
            )
            self.patches[project].add(number)
            self.store.put(number, raw, project=project)

    def leave(self) -> None:
        """A line is taken out of an index."""
        project = self.random.choice([1, 2])
        if self.patches[project]:
            number = self.random.choice(sorted(self.patches[project]))
            self.patches[project].remove(number)
            self.store.take_out(number, project)

    def change(self) -> None:
        """Other things that happen."""
        match self.random.randrange(6):
            case 0 | 1:
                self.leave()
            case 2:
                some = self.random.sample(NUMBERS, 5)
                self.store.set_gone(*some, project=self.random.choice([1, 2]))
            case 3 | 4:
                numbers = list(NUMBERS)
                self.random.shuffle(numbers)
                groups = []
                while numbers:
                    size = self.random.randint(1, 4)
                    group, numbers = numbers[:size], numbers[size:]
                    groups.append(" ".join(map(str, group)))
                if self.random.random() < 0.5:
                    groups[0] += f" => {COMMIT}"
                self.store.group(*groups)
            case 5:
                if self.random.random() < 0.3:
                    catalog_path(self.store.config).unlink(missing_ok=True)


@pytest.mark.parametrize("lives", [3, pytest.param(300, marks=pytest.mark.long)])
def test_what_came_bit_by_bit_is_as_from_nothing(
    tmp_path: Path, random: Random, lives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mails in any order, lines taken out, patches gone, groups that change, the cache deleted."""
    monkeypatch.setattr(catalog_mails, "BATCH", 3)
    for _ in range(lives):
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        live(Life(FakeStore(tmp_path / "store"), random), random)


def live(life: Life, random: Random) -> None:
    """Have all mails arrive, and look at the catalog now and then."""
    numbers = list(NUMBERS)
    random.shuffle(numbers)
    while numbers:
        for _ in range(random.randint(1, 6)):
            if numbers:
                life.arrive(numbers.pop())
        for _ in range(random.randint(0, 2)):
            life.change()
        with life.store.catalog() as catalog, life.store.scratch() as scratch:
            assert contents(catalog, NUMBERS) == contents(scratch, NUMBERS)


def test_what_is_new_alone_is_read(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where nothing is, nothing is even opened to write."""
    read = []
    monkeypatch.setattr(
        catalog_mails,
        "read_head",
        lambda raw, read_head=catalog_mails.read_head: read.append(raw) or read_head(raw),
    )
    for number in range(1, 5):
        store.put(number, mail(f"[PATCH] {number}"))
    store.catalog().close()
    assert len(read) == 4
    store.put(5, mail("[PATCH] 5"))
    with store.catalog() as catalog:
        version = catalog.version
        assert catalog.is_complete
    assert len(read) == 5
    store.group("1 2")
    with store.catalog() as catalog:
        assert catalog.version != version
        version = catalog.version
    with store_lock(lock_of(store)):
        assert catch_up(store.config)
    with store.catalog() as catalog:
        assert catalog.version == version
    assert len(read) == 5


def lock_of(store: FakeStore) -> Path:
    """What is locked while a catalog is written."""
    path = catalog_path(store.config)
    return path.with_name(f"{path.name}.lock")


def test_what_was_stopped_goes_on(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done by then is there, and not done again."""
    monkeypatch.setattr(catalog_mails, "BATCH", 2)
    read = []
    monkeypatch.setattr(
        catalog_mails,
        "read_head",
        lambda raw, read_head=catalog_mails.read_head: read.append(raw) or read_head(raw),
    )
    for number in range(1, 8):
        store.put(number, mail(f"[PATCH {number}/7] it", answers=["cover"]))

    def stop(what: str, done: int, of: int) -> None:
        assert (what, of) == ("reading mails of sample", 7)
        if done >= 4:
            raise Stopped

    with pytest.raises(Stopped):
        catch_up(store.config, stop)
    with Catalog.open(store.config) as catalog:
        assert not catalog.is_complete
        assert len(catalog.page(1)) == len(read) == 4
    with store.catalog() as catalog:
        assert catalog.is_complete
        series = catalog.series(name("cover"))
        assert series is not None
        assert len(series.mails) == len(read) == 7


def test_one_at_a_time_writes(store: FakeStore) -> None:
    """Who does not want to wait has what is there."""
    store.put(1, mail())
    with store_lock(lock_of(store)):
        assert not catch_up(store.config, wait=0)
    assert catch_up(store.config, wait=0)


def test_who_may_only_read_reads_what_is_there(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves nothing behind."""
    store.put(1, mail())
    store.catalog().close()
    store.put(2, mail())
    for module in (catch_up_module, sqlite_file):
        monkeypatch.setattr(module, "may_write", lambda folder: False)
    before = sorted(catalog_path(store.config).parent.iterdir())
    assert not catch_up(store.config)
    with Catalog.open(store.config) as catalog:
        assert len(catalog.page(1)) == 1
    assert sorted(catalog_path(store.config).parent.iterdir()) == before


def test_a_store_without_projects_gets_no_catalog(store: FakeStore, tmp_path: Path) -> None:
    """Nothing is made where there is nothing to look at."""
    for project in (1, 2):
        store.paths(project).origin.unlink()
    assert catch_up(store.config)
    assert not catalog_path(store.config).exists()


def test_a_damaged_catalog_is_made_anew(store: FakeStore) -> None:
    """Whatever was in it comes from the store."""
    store.put(1, mail())
    store.catalog().close()
    catalog_path(store.config).write_bytes(b"no database" * 1000)
    store.put(2, mail())
    with store.catalog() as catalog:
        assert len(catalog.page(1)) == 2


def test_a_project_that_left_the_store_leaves_the_catalog(store: FakeStore) -> None:
    """A mail that another one has as well stays as that one's."""
    for project in (1, 2):
        store.put(1, mail("[PATCH] usb"), project=project)
    store.put(2, mail(), project=2)
    store.catalog().close()
    store.paths(2).origin.unlink()
    with store.catalog() as catalog:
        assert [project.name for project in catalog.projects()] == ["sample"]
        (found,) = catalog.mails([name(1), name(2)]).values()
        assert [patch.project_name for patch in found.patches] == ["sample"]
        assert catalog.page(2) == []
        assert catalog.page(1, search="usb") == [found]


def test_what_is_wrong_with_one_file_keeps_no_other_waiting(store: FakeStore) -> None:
    """It is said, once all else is up to date."""
    store.put(1, mail())
    store.put(2, mail(), project=2)
    store.catalog().close()
    store.put(3, mail(), project=2)
    with store.paths(1).index.open("ab") as index:
        index.write(b"no line\n")
    store.group("2 3", "2 3")
    with pytest.raises(StoreDamaged, match="line 2"):
        catch_up(store.config)
    with Catalog.open(store.config) as catalog:
        assert len(catalog.page(2)) == 2
    store.take_out(3, project=2)
    store.paths(1).index.write_bytes(store.paths(1).index.read_bytes().replace(b"no line\n", b""))
    with pytest.raises(StoreDamaged, match="patch-groups"):
        catch_up(store.config)
    store.group("1 2")
    with store.catalog() as catalog:
        assert catalog.group_of(name(2)).message_ids == (name(1), name(2))


def test_groups_that_are_being_written_wait(store: FakeStore) -> None:
    """Those of before stay; where the file is gone, there are none."""
    for number in (1, 2, 3):
        store.put(number, mail())
    store.group("1 2")
    store.catalog().close()
    store.config.patch_groups.write_text(f"{name(1)} {name(3)}\n{name(2)}")
    with store.catalog() as catalog:
        assert catalog.group_of(name(1)).message_ids == (name(1), name(2))
    store.group("1 3", "2")
    with store.catalog() as catalog:
        assert catalog.group_of(name(1)).message_ids == (name(1), name(3))
    store.config.patch_groups.unlink()
    with store.catalog() as catalog:
        assert catalog.group_of(name(1)).message_ids == (name(1),)


def test_a_mail_that_cannot_be_read_has_a_row(store: FakeStore) -> None:
    """By its message-id, on its day."""
    store.put(1, mail())
    entry = parse_line(store.paths().index.read_bytes().splitlines()[0])
    store.paths().mail(entry.date, entry.md5).unlink()
    store.put(2, b"\xff\x00" * 1000)
    with store.catalog() as catalog:
        told = catalog.mails([name(1), name(2)])
        assert [each.subject for each in told.values()] == ["", ""]
        assert {each.date for each in told.values()} == {BEGAN - BEGAN % 86400}
        assert len(catalog.page(1)) == 2
        assert catalog.raws(name(1)) == []
        assert catalog.raws(name(2)) == [b"\xff\x00" * 1000]


def test_real_series_are_those_of_patchwork(store: FakeStore) -> None:
    """Of jailhouse-dev, but for three: a version 2 of one part of a version 1 is a series of its
    own, and two parts of one version are one series, whenever each was sent.
    """
    for each in real_mails():
        store.put(each.patch_id, each.content, each.message_id)
    with gzip.open(PATCHES_JSON) as file:
        shown = json.load(file)
    theirs, ours = defaultdict(set), defaultdict(set)
    with store.catalog() as catalog:
        told = catalog.mails(each["msgid"] for each in shown)
        for each in shown:
            theirs[each["series"][0]["id"]].add(each["id"])
            ours[told[each["msgid"]].series_key].add(each["id"])
            assert told[each["msgid"]].author_address == each["submitter"]["email"].lower()
    expected = set(map(frozenset, theirs.values()))
    found = set(map(frozenset, ours.values()))
    assert len(expected) == 429
    assert found - expected == {frozenset({1087}), frozenset({1088}), frozenset({1440, 1486})}
    assert expected - found == {
        frozenset({1087, 1088}), frozenset({1440}), frozenset({1486}),
    }  # fmt: skip
