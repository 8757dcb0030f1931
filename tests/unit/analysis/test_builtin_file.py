"""patch-groups is ours, or somebody else's; and the cache may be lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from analysis_fakes import Store, mail, name, version

from patchsync.analysis.builtin.cache import PatchCache
from patchsync.analysis.builtin.cache_tables import SCHEMA
from patchsync.analysis.explain import explain
from patchsync.analysis.group_file import Edit, Looks, write_content
from patchsync.analysis.groups import read_content
from patchsync.errors import GiveUp, LockHeld, StoreUnavailable, TryAgainLater
from patchsync.store.lock import store_lock

FOREIGN = "<1@example.org> <9@example.org>\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With three mails, of which two are a group."""
    store = Store(tmp_path / "store")
    store.put(version(1), version(2), mail(3))
    store.update()
    return store


def assert_up_to_date(store: Store) -> None:
    """The groups are those from scratch, and nothing is left to be written."""
    assert store.text == store.from_scratch()
    assert store.update().groups == 0


def test_somebody_elses_is_left_alone(store: Store) -> None:
    """The update fails and says how to go on; with `overwrite` theirs is kept beside ours."""
    groups = store.config.patch_groups
    groups.write_text(FOREIGN)
    store.put(version(4))
    for _ in range(2):
        with pytest.raises(GiveUp, match=r"written by somebody else.*--overwrite"):
            store.update()
        assert store.text == FOREIGN
    assert store.update(overwrite=True).groups == 2
    assert store.text == store.from_scratch()
    assert groups.with_name("patch-groups.before").read_text() == FOREIGN
    store.put(version(5))
    store.update()
    assert_up_to_date(store)


def test_somebody_elses_before_the_first_update(tmp_path: Path) -> None:
    """Of PaStA's for example: it is not trampled on either."""
    store = Store(tmp_path / "other")
    store.put(version(1))
    store.config.patch_groups.write_text(FOREIGN)
    with pytest.raises(GiveUp):
        store.update()
    assert store.text == FOREIGN


def test_an_equal_one_is_taken_over(tmp_path: Path) -> None:
    """Whoever wrote it, it says what we say; from then on it is ours."""
    store = Store(tmp_path / "other")
    store.put(version(1), version(2))
    store.config.patch_groups.write_text(store.from_scratch())
    before = store.config.patch_groups.stat()
    assert store.update().groups == 0
    after = store.config.patch_groups.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    store.put(version(3))
    store.update()
    assert store.groups == ["1 2 3"]


def test_it_is_deleted(store: Store) -> None:
    """It is written anew, with nothing new in the store, too."""
    before = store.text
    store.config.patch_groups.unlink()
    assert store.update().groups == 2
    assert store.text == before
    assert_up_to_date(store)


def test_it_is_in_parts(store: Store) -> None:
    """As PaStA leaves it where it is large: that is the same."""
    groups = store.config.patch_groups
    content = read_content(groups)
    assert content
    write_content(groups, content, limit=len(content) - 1)
    assert not groups.exists()
    assert store.update().groups == 0
    store.put(version(4))
    store.update()
    assert store.text == store.from_scratch()


@pytest.mark.parametrize("how", ["cache", "rebuild", "version", "all of ours"])
def test_the_cache_is_lost(store: Store, how: str) -> None:
    """The groups come out the same, and mails that went meanwhile leave no line."""
    store.put(mail(4), version(5, topic=1), version(6, topic=1))
    store.update()
    store.take_out(name(4), name(5))
    if how == "cache":
        store.cache.unlink()
    elif how == "version":
        with sqlite3.connect(store.cache) as sql:
            sql.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
            sql.execute("DROP TABLE link")
        sql.close()
    elif how == "all of ours":
        for file in store.cache.parent.iterdir():
            if file.is_file() and file.name != "groups.json":
                file.unlink()
    store.update(rebuild=how == "rebuild")
    assert store.groups == ["1 2", "3", "6"]
    assert_up_to_date(store)


def test_an_old_copy_of_the_cache(store: Store) -> None:
    """It knows less than patch-groups says; in the end both say what the store says."""
    with PatchCache(store.cache) as cache:
        cache.sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    old = store.cache.read_bytes()
    store.put(version(4), mail(5))
    store.update()
    store.take_out(name(5))
    store.cache.write_bytes(old)
    for suffix in ("-wal", "-shm"):
        store.cache.with_name(store.cache.name + suffix).unlink(missing_ok=True)
    store.update()
    assert store.groups == ["1 2 4", "3"]
    assert_up_to_date(store)


@pytest.mark.parametrize("damage", ["no database", "empty", "torn", "header", "pages"])
def test_the_cache_is_damaged(store: Store, damage: str) -> None:
    """The first update that meets it removes it; the one after that makes it anew."""
    with PatchCache(store.cache) as cache:
        cache.sql.execute("PRAGMA journal_mode = DELETE")
    content = bytearray(store.cache.read_bytes())
    if damage == "no database":
        content = bytearray(b"hello" * 1000)
    elif damage == "empty":
        content.clear()
    elif damage == "torn":
        del content[len(content) // 2 :]
    elif damage == "header":
        content[:100] = bytes(100)
    else:
        content[4096:] = Random(1).randbytes(len(content) - 4096)
    store.cache.write_bytes(content)
    store.put(version(4))
    try:
        store.update()
    except StoreUnavailable as error:
        assert "the next update makes it anew" in str(error)
        store.update()
    assert store.groups == ["1 2 4", "3"]
    assert_up_to_date(store)


def test_a_text_in_the_cache_is_damaged(store: Store) -> None:
    """SQLite does not see that; it is found when the text is needed."""
    with PatchCache(store.cache) as cache:
        cache.sql.execute("UPDATE shape SET files = x'00010203'")
    store.put(version(4))
    with pytest.raises(StoreUnavailable, match="the next update makes it anew"):
        store.update()
    store.update()
    assert store.groups == ["1 2 4", "3"]


def test_one_update_at_a_time(store: Store) -> None:
    """The second does not wait."""
    lock = store.cache.with_name("analysis.lock")
    with store_lock(lock), pytest.raises(LockHeld):
        store.update()


def test_stopped_after_it_was_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before that is noted: it is ours all the same, and is not somebody else's later."""
    store.put(version(4))
    write = Edit.write

    def stop(edit: Edit) -> Looks | None:
        write(edit)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Edit, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            store.update()
    assert store.groups == ["1 2 4", "3"]
    store.put(version(5))
    store.update()
    assert store.groups == ["1 2 4 5", "3"]
    assert_up_to_date(store)


def test_stopped_before_it_was_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one is ours, too."""
    store.put(version(4))
    with monkeypatch.context() as patch:
        patch.setattr(Edit, "write", _stop)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                store.update()
    assert store.groups == ["1 2", "3"]
    store.update()
    assert_up_to_date(store)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_somebody_writes_it_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written after it was read stays, and the next update finds it foreign."""
    pieces = Edit._pieces

    def while_it_is_made(edit: Edit, part: int) -> Iterator[bytes]:
        yield b""
        store.config.patch_groups.write_text(FOREIGN)
        yield from pieces(edit, part)

    store.put(version(4))
    with monkeypatch.context() as patch:
        patch.setattr(Edit, "_pieces", while_it_is_made)
        with pytest.raises(TryAgainLater, match="at this moment"):
            store.update()
    assert store.text == FOREIGN
    with pytest.raises(GiveUp, match="written by somebody else"):
        store.update()


def test_who_only_looks_removes_nothing(store: Store) -> None:
    """What another version keeps, or what is damaged, is there for the update to come."""
    with sqlite3.connect(store.cache) as sql:
        sql.execute("PRAGMA user_version = 99")
    sql.close()
    before = store.cache.read_bytes()
    assert explain(store.config, name(1), name(2)).together is None
    assert store.cache.read_bytes() == before
    for file in store.cache.parent.glob(f"{store.cache.name}*"):
        file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable, match="damaged"):
        explain(store.config, name(1), name(2))
    assert store.cache.exists()
