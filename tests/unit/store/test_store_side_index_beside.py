"""A long index is read without the store's lock, beside the cache that is there."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from store_fakes import apply, batch_of, write_index

from patchsync.errors import LockHeld, StoreDamaged, StoreNotWritable
from patchsync.store import side_index as module
from patchsync.store.container import MboxPatchwork
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import is_locked, store_lock
from patchsync.store.mails import append_lines
from patchsync.store.side_index import SideIndex
from patchsync.store.sqlite_file import Schema, SqliteFile
from patchsync.store.writer import StoreWriter

MD5 = "0b8e57d30f1bb12f5bfc0920a9a4af72"
SCHEMA = Schema(version=1, tables="CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY);")
read_lines = module.read_lines


@pytest.fixture(autouse=True)
def all_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each index counts as a long one, and so does what is new in it."""
    monkeypatch.setattr(module, "_LONG", 1)
    monkeypatch.setattr(module, "_SHARE", 1 << 40)


@contextmanager
def opened(paths: ContainerPaths) -> Iterator[MboxPatchwork]:
    """The container of a store."""
    with MboxPatchwork(paths.listaddr, paths.d_mbox, paths.project_id) as container:
        yield container


def when_read(
    monkeypatch: pytest.MonkeyPatch, then: Callable[[], object], *, once: bool = True
) -> list[int]:
    """Have something happen after the index was read, and before that counts.

    Returns how many lines were read each time.
    """
    read: list[int] = []

    def and_then(*args: Any, **options: Any) -> int:
        lines = read_lines(*args, **options)
        read.append(lines)
        if len(read) == 1 or not once:
            then()
        return lines

    monkeypatch.setattr(module, "read_lines", and_then)
    return read


def leftovers(paths: ContainerPaths) -> set[str]:
    """The files of the side index, without those that it has while it is open."""
    names = {path.name for path in paths.own.glob("side-index*")}
    return names - {"side-index.sqlite-wal", "side-index.sqlite-shm"}


def test_what_is_made_beside_says_what_is_read_line_by_line(tmp_path: Path, random: Random) -> None:
    """In any order, with ids and message-ids that are there twice, and lines that are not plain."""
    lines = []
    for number in range(1, 6001):
        patch_id = number if number % 50 else number // 50
        message_id = f"<{random.choice('abä')}{number % 1000}@x>"
        day = f"{2008 + number % 12}/{number % 12 + 1:02}/{number % 28 + 1:02}"
        lines.append(f"{day} {message_id} {random.randbytes(16).hex()} {patch_id}\n")
    random.shuffle(lines)
    index, grown = tmp_path / "whole", tmp_path / "grown"
    index.write_text("".join(lines))
    with SideIndex(index, tmp_path / "a") as beside, SideIndex(grown, tmp_path / "b") as slow:
        beside.prepare()
        assert beside.is_current()
        for start in range(0, 5900, 100):
            with grown.open("a") as file:
                file.writelines(lines[start : start + 100])
            slow.catch_up()
        for line in lines[5900:]:
            with grown.open("a") as file:
                file.write(line)
            assert slow.catch_up() == 1
        assert beside.count == slow.count == len({line.split()[-1] for line in lines})
        assert beside.ids() == slow.ids()
        assert (beside.highest, beside.position[0]) == (slow.highest, slow.position[0])
        entries = list(beside.entries_after(0))
        assert entries == list(slow.entries_after(0))
        assert len(entries) == beside.count
        for entry in entries[::50]:
            assert beside.entry(entry.patch_id) == slow.entry(entry.patch_id) == entry
            assert beside.entries_of(entry.message_id) == slow.entries_of(entry.message_id)


def test_the_stores_lock_is_free_while_a_long_index_is_read(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who opens the store, by a writer that begins, and by one that finds it replaced."""
    write_index(paths, 100)
    held: list[bool] = []
    read = when_read(monkeypatch, lambda: held.append(is_locked(paths.lock)), once=False)
    with opened(paths) as container:
        assert container.count == 100
    assert (read, held) == ([100], [False])
    paths.side_index.unlink()
    with StoreWriter(paths) as writer:
        assert (read, held) == ([100, 100], [False, False])
        shutil.copy(paths.index, paths.index.with_name("copy")).replace(paths.index)
        writer.apply(batch_of(200))
    # The last one is the line that the writer itself appended.
    assert (read, held) == ([100, 100, 100, 1], [False, False, False, True])


def test_lines_that_come_meanwhile_are_read_under_the_lock(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only these."""
    write_index(paths, 50)

    def append() -> None:
        with store_lock(paths.lock):
            append_lines(paths.index, f"2020/01/01 <m@x> {MD5} 900\n".encode() * 2)

    read = when_read(monkeypatch, append)
    with opened(paths) as container:
        assert list(container.ids()) == [*range(1, 51), 900]
        assert container.get_patchwork_ids("<m@x>") == {900}
    assert read == [50, 2]


def test_a_small_part_is_read_in_place(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all would be read anew for what an import left unread when it was killed."""
    monkeypatch.setattr(module, "_SHARE", 4)
    write_index(paths, 100)
    read = when_read(monkeypatch, lambda: None)
    with opened(paths) as container:
        for first, count in ((200, 20), (300, 80)):
            with paths.index.open("a") as file:
                file.writelines(
                    f"2020/01/01 <{patch_id}.long.enough@example.org> {MD5} {patch_id}\n"
                    for patch_id in range(first, first + count)
                )
            container.load_index()
        assert container.count == 200
    assert read == [100, 20, 200]


def replace(index: Path) -> None:
    other = index.with_name("other")
    other.write_text(index.read_text().replace("2019/04/30", "2018/04/30"))
    other.replace(index)


def edit(index: Path) -> None:
    text = index.read_text().replace("2019/04/30", "2018/04/30")
    stat = index.stat()
    index.write_text(text)
    os.utime(index, ns=(stat.st_mtime_ns + 1, stat.st_mtime_ns + 1))


def cut(index: Path) -> None:
    os.truncate(index, index.read_bytes().index(b"\n") + 1)


def write_reversed(index: Path) -> None:
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join([*lines[::-1], f"2020/01/01 <m@x> {MD5} 900\n"]))


@pytest.mark.parametrize("change", [replace, edit, cut, write_reversed])
def test_an_index_that_changes_while_it_is_read_is_read_anew(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """As by PaStA's former backend, by an editor, or by a writer that takes back what it wrote."""
    write_index(paths, 100)
    when_read(monkeypatch, lambda: change(paths.index))
    with opened(paths) as container:
        now = paths.index.read_text().splitlines()
        assert [
            f"{e.date} {e.message_id} {e.md5} {e.patch_id}" for e in container.news(None).entries
        ] == now
        assert container.count == len(now)


def test_a_killed_maker_leaves_nothing_that_stays(paths: ContainerPaths) -> None:
    """Half a file of one, with its journal, is no obstacle."""
    write_index(paths, 100)
    paths.own.mkdir(parents=True)
    for suffix in (".new", ".new-journal", ".new-wal"):
        paths.own.joinpath(f"side-index.sqlite{suffix}").write_bytes(b"half" * 5000)
    with opened(paths) as container:
        assert container.count == 100
    assert leftovers(paths) == {"side-index.sqlite", "side-index.sqlite.lock"}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (OSError(errno.ENOSPC, "full"), StoreNotWritable),
        (StoreDamaged("line 7"), StoreDamaged),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_who_cannot_make_it_leaves_what_is_there(
    paths: ContainerPaths,
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
    error: type[BaseException],
) -> None:
    """A full disk, a foreign line, Ctrl-C: nothing half made lies about."""
    apply(paths, batch_of(1, 2, 3))
    before = paths.side_index.read_bytes()
    with paths.index.open("a") as file:
        file.write(f"2020/01/01 <m@x> {MD5} 9\n")

    def refuse(*_: object, **__: object) -> int:
        raise fault

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(module, "read_lines", refuse)
        with opened(paths):
            pass
    assert paths.side_index.read_bytes() == before
    assert leftovers(paths) <= {"side-index.sqlite", "side-index.sqlite.lock"}
    with opened(paths) as container:
        assert list(container.ids()) == [1, 2, 3, 9]


def test_a_file_of_the_day_before_is_made_anew(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had other columns; not under the lock either."""
    write_index(paths, 100)
    paths.own.mkdir(parents=True)
    with sqlite3.connect(paths.side_index) as sql:
        sql.execute("PRAGMA journal_mode = WAL")
        sql.executescript(
            """
            CREATE TABLE patch (id INTEGER PRIMARY KEY, date, message_id, md5, line);
            CREATE TABLE state (inode, offset, mtime_ns, tail, lines, patches, built);
            INSERT INTO patch VALUES (1, '2019/04/30', '<m@x>', 'md5', 1);
            PRAGMA user_version = 2;
            """
        )
    sql.close()
    held: list[bool] = []
    when_read(monkeypatch, lambda: held.append(is_locked(paths.lock)), once=False)
    with opened(paths) as container:
        assert (container.count, container.highest) == (100, 100)
    assert held == [False]


def test_of_those_who_start_at_once_one_reads(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait for it."""
    write_index(paths, 2000)
    read = when_read(monkeypatch, lambda: None)
    barrier = threading.Barrier(4)

    def count(_: int) -> int:
        barrier.wait()
        with opened(paths) as container:
            return container.count

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(count, range(4))) == [2000] * 4
    assert read == [2000]


def test_who_waits_too_long_for_another_one_comes_again(paths: ContainerPaths) -> None:
    """As for the store's own lock."""
    write_index(paths, 100)
    with (
        store_lock(paths.own / "side-index.sqlite.lock"),
        pytest.raises(LockHeld),
    ):
        StoreWriter(paths, lock_wait=0.0).__enter__()


def test_a_file_is_not_replaced_while_somebody_opens_or_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opened the former file would take the log of the new one for its own."""
    path, fresh = tmp_path / "file", tmp_path / "fresh"
    for name, target in (("former", path), ("new", fresh)):
        with SqliteFile(target, SCHEMA) as file, file.transaction() as sql:
            sql.execute("INSERT INTO thing VALUES (?)", (name,))
    replaced = threading.Event()

    def replace_it() -> None:
        SqliteFile(path, SCHEMA).replace_by(fresh)
        replaced.set()

    replacing = threading.Thread(target=replace_it)
    connect = sqlite3.connect

    def connect_slowly(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        replacing.start()
        assert not replaced.wait(0.05)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_slowly)
    with SqliteFile(path, SCHEMA) as former:
        monkeypatch.undo()
        replacing.join()
        assert former.rows("SELECT name FROM thing") == [("former",)]
        assert not former.is_open
        with SqliteFile(path, SCHEMA) as new:
            with new.transaction() as sql:
                sql.execute("INSERT INTO thing VALUES ('newer')")
            assert former.rows("SELECT name FROM thing") == [("former",)]
            former.close()  # leaves the log of the new one alone
            with SqliteFile(path, SCHEMA) as other:
                assert other.rows("SELECT name FROM thing ORDER BY name") == [("new",), ("newer",)]
