"""A SQLite file of ours: made where it is not, refused or made anew where it cannot be used."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from patchsync.errors import GiveUp, StoreDamaged, StoreUnavailable
from patchsync.store import sqlite_file
from patchsync.store.sqlite_file import CacheRemoved, Schema, SqliteFile

CACHE = Schema(version=2, tables="CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY);")
RECORD = replace(CACHE, remedy="delete it")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be, in a folder that is not there yet."""
    return tmp_path / "folder" / "file.sqlite"


def insert(file: SqliteFile, name: str) -> None:
    """Write one row."""
    with file.transaction() as sql:
        sql.execute("INSERT INTO thing VALUES (?)", (name,))


def names(file: SqliteFile) -> list[str]:
    """All that was written."""
    return [name for (name,) in file.rows("SELECT name FROM thing ORDER BY name")]


def damage(path: Path) -> bytes:
    """Overwrite the file; returns what it holds then."""
    path.write_bytes(b"no database" * 1000)
    return path.read_bytes()


def set_version(path: Path, version: int) -> None:
    """Have it written by another version of ours."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_what_is_written_is_there_later(path: Path) -> None:
    """The file is made at first, with rights as the umask has them, and opened later."""
    before = os.umask(0o002)
    try:
        with SqliteFile(path, CACHE) as file:
            insert(file, "a")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o664
    with SqliteFile(path, CACHE) as file:
        assert names(file) == ["a"]
        assert file.value("SELECT count(*) FROM thing") == 1
        assert file.value("SELECT name FROM thing WHERE name = ?", "b") is None
    with pytest.raises(StoreUnavailable, match="is not open"):
        names(file)


def test_a_transaction_is_kept_whole_or_not_at_all(path: Path) -> None:
    """Also what was done in transactions within it."""
    with SqliteFile(path, CACHE) as file:
        with pytest.raises(KeyboardInterrupt), file.transaction():
            insert(file, "a")
            raise KeyboardInterrupt
        assert names(file) == []
        with file.transaction():
            insert(file, "a")
            insert(file, "b")
        assert names(file) == ["a", "b"]


def test_a_fault_of_the_caller_is_no_damage(path: Path) -> None:
    """It is raised as it is, and nothing is removed."""
    with SqliteFile(path, CACHE) as file:
        insert(file, "a")
        with pytest.raises(sqlite3.IntegrityError):
            insert(file, "a")
        assert names(file) == ["a"]


def test_what_passes_is_told_apart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that writes, and a folder that cannot be made; nothing is removed."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.0)
    with SqliteFile(path, CACHE) as file, SqliteFile(path, CACHE) as other:
        insert(file, "a")
        with file.transaction(), pytest.raises(StoreUnavailable, match="locked") as error:
            insert(other, "b")
        assert not isinstance(error.value, CacheRemoved)
        assert names(other) == ["a"]
    with pytest.raises(StoreUnavailable):
        SqliteFile(path / "below" / "it", CACHE).open()


@pytest.mark.parametrize("version", [1, 3])
def test_another_version(path: Path, version: int) -> None:
    """A cache is made anew; another file is left to its owner, who is told what to do."""
    with SqliteFile(path, CACHE) as file:
        insert(file, "a")
    set_version(path, version)
    record = SqliteFile(path, RECORD)
    with pytest.raises(GiveUp, match=f"of version {version}, not 2; delete it"):
        record.open()
    assert not record.is_open
    with SqliteFile(path, CACHE) as file:
        assert names(file) == []


def test_a_damaged_cache_is_removed(path: Path) -> None:
    """Opened again, it is empty; also where it is found within a transaction."""
    with SqliteFile(path, CACHE) as file:
        insert(file, "a")
        with (
            pytest.raises(CacheRemoved, match="makes it anew"),
            file.transaction(),
            file.reporting(),
        ):
            raise sqlite3.DatabaseError("a text that cannot be read")
        assert not path.exists()
    damage(path)
    cache = SqliteFile(path, CACHE)
    with pytest.raises(CacheRemoved):
        cache.open()
    with cache:
        assert names(cache) == []


def test_what_has_taken_a_damaged_caches_place_stays(path: Path) -> None:
    """Who still reads the former file does not remove the new one."""
    fresh = path.with_name("fresh")
    with SqliteFile(fresh, CACHE) as file:
        insert(file, "new")
    with SqliteFile(path, CACHE) as former:
        SqliteFile(path, CACHE).replace_by(fresh)
        with pytest.raises(CacheRemoved), former.reporting():
            raise sqlite3.DatabaseError("a text that cannot be read")
    with SqliteFile(path, CACHE) as file:
        assert names(file) == ["new"]
    assert not fresh.exists()


def test_another_damaged_file_is_left_alone(path: Path) -> None:
    """Its owner is told what to do."""
    with SqliteFile(path, RECORD) as file:
        insert(file, "a")
    before = damage(path)
    with pytest.raises(StoreDamaged, match="delete it"):
        SqliteFile(path, RECORD).open()
    assert path.read_bytes() == before


def test_who_only_looks_leaves_all_as_it_is(path: Path) -> None:
    """Nothing is made, and nothing removed."""
    file = SqliteFile(path, CACHE)
    assert not file.open_to_read()
    assert not path.parent.exists()
    with SqliteFile(path, CACHE) as writer:
        insert(writer, "a")
    assert file.open_to_read()
    with file:
        assert names(file) == ["a"]
    set_version(path, 1)
    assert not file.open_to_read()
    before = damage(path)
    with pytest.raises(StoreUnavailable, match="damaged"):
        file.open_to_read()
    assert path.read_bytes() == before


def test_a_deleted_file_is_no_longer_open(path: Path) -> None:
    """Whoever has it open sees that, and goes over to the new one."""
    with SqliteFile(path, CACHE) as file:
        assert file.is_open
        path.unlink()
        assert not file.is_open
        file.open()
        assert names(file) == []
        path.rename(path.with_name("other"))
        path.write_bytes(b"")
        assert not file.is_open


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files here")
def test_what_sqlite_spills_lies_beside_the_file(path: Path) -> None:
    """And not in /tmp, which may be small and in memory; a name with a quote is no obstacle."""
    path = path.parent / "mbox's own" / path.name
    many = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 40000)"
    with SqliteFile(path, CACHE) as file, file.transaction() as sql:
        sql.execute(f"CREATE TEMP TABLE much AS {many} SELECT randomblob(100) FROM n")
        descriptors = list(Path("/proc/self/fd").iterdir())
        opened = [link.readlink() for link in descriptors if link.is_symlink()]
        assert [name for name in opened if name.match(f"{path.parent}/etilqs_*")]


def test_a_full_disk_is_named_with_its_file(path: Path) -> None:
    """What is wrong passes by itself, once somebody frees some space there."""
    with SqliteFile(path, CACHE) as file:
        file.sql.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StoreUnavailable, match=f"^{path}: the disk is full; free some space$"):
            insert(file, "a" * 10_000)


@pytest.mark.parametrize(
    ("free", "told"), [(0, "the disk is full; free some space"), (1 << 30, "disk I/O error")]
)
def test_no_room_for_a_log_is_a_full_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch, free: int, told: str
) -> None:
    """SQLite calls it a disk I/O error, and so somebody would look for a broken disk."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    with (
        SqliteFile(path, CACHE) as file,
        pytest.raises(StoreUnavailable, match=f"^{path}: {told}$"),
        file.reporting(),
    ):
        raise error


def test_in_memory(path: Path) -> None:
    """It leaves nothing behind."""
    file = SqliteFile(path, CACHE)
    file.open_in_memory()
    with file:
        assert file.is_open
        assert file.in_memory
        insert(file, "a")
        assert names(file) == ["a"]
    assert not path.parent.exists()
