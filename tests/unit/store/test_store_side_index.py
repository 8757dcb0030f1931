"""The cache of the index: it follows, it notices, and it may be deleted."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_fakes import write_index

from patchsync.errors import StoreDamaged, StoreUnavailable
from patchsync.store.layout import ContainerPaths
from patchsync.store.side_index import SideIndex

MD5 = "0b8e57d30f1bb12f5bfc0920a9a4af72"


def line(patch_id: int, message_id: str = "<m@x>", date: str = "2019/04/30") -> str:
    return f"{date} {message_id} {MD5} {patch_id}\n"


def append(paths: ContainerPaths, text: str) -> None:
    with paths.index.open("a") as file:
        file.write(text)


@pytest.fixture
def side_index(paths: ContainerPaths) -> Iterator[SideIndex]:
    write_index(paths, 10)
    with SideIndex(paths.index, paths.side_index) as side_index:
        side_index.catch_up()
        yield side_index


def test_it_answers_what_the_index_says(side_index: SideIndex, paths: ContainerPaths) -> None:
    """Count, highest, ids in order, entries by id and by message-id."""
    append(paths, line(20, "<a@x>") + line(15, "<a@x>", "2018/01/01"))
    side_index.catch_up()
    assert (side_index.count, side_index.highest) == (12, 20)
    assert list(side_index.ids()) == [*range(1, 11), 15, 20]
    assert side_index.ids().typecode == "q"
    assert side_index.entry(15) == (15, "2018/01/01", "<a@x>", MD5)
    assert side_index.entry(16) is None
    assert [entry.patch_id for entry in side_index.entries_of("<a@x>")] == [20, 15]
    assert side_index.entries_of("<b@x>") == side_index.entries_of("\ud800") == []
    both = [
        "<a@x>",
        "<b@x>",
        *(f"<none{n}@x>" for n in range(1000)),
        side_index.message_ids([3])[3],
    ]
    assert sorted(side_index.entries_of_all(both)) == [
        side_index.entry(3),
        side_index.entry(15),
        side_index.entry(20),
    ]
    assert [each.patch_id for each in side_index.entries_of_all(["<a@x>"])] == [20, 15]
    assert side_index.message_ids([15, 16, 20]) == {15: "<a@x>", 20: "<a@x>"}
    assert len(side_index.message_ids(range(5000))) == 12


def test_an_empty_index_is_no_special_case(paths: ContainerPaths) -> None:
    """Nothing is known, nothing is wrong."""
    write_index(paths, 0)
    with SideIndex(paths.index, paths.side_index) as side_index:
        assert side_index.catch_up() == 0
        assert (side_index.count, side_index.highest, list(side_index.ids())) == (0, None, [])


def test_to_look_at_a_store_that_is_not_there_leaves_nothing_behind(paths: ContainerPaths) -> None:
    """And once there is an index it is seen."""
    with SideIndex(paths.index, paths.side_index) as side_index:
        side_index.catch_up()
        assert (side_index.count, side_index.is_current()) == (0, True)
        assert not paths.d_mbox.exists()
        write_index(paths, 3)
        assert not side_index.is_current()
        side_index.catch_up()
        assert side_index.count == 3
        assert paths.side_index.exists()


def test_only_what_was_appended_is_read(side_index: SideIndex, paths: ContainerPaths) -> None:
    """And nothing at all when nothing changed."""
    assert side_index.is_current()
    assert side_index.catch_up() == 0
    append(paths, line(11) + line(12))
    assert not side_index.is_current()
    assert side_index.catch_up() == 2


def test_what_one_process_read_another_need_not(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """The cache is shared: how far it got stands in it."""
    with SideIndex(paths.index, paths.side_index) as other:
        append(paths, line(11))
        assert other.catch_up() == 1
        assert side_index.is_current()
        assert side_index.catch_up() == 0
        assert side_index.count == 11


def test_a_torn_last_line_waits_for_its_newline(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """Half a line is none; the same line whole is one."""
    whole = line(11)
    append(paths, whole[:30])
    assert side_index.catch_up() == 0
    append(paths, whole[30:])
    assert side_index.catch_up() == 1
    assert side_index.count == 11


@pytest.mark.parametrize("line_length", [100, 3 << 20])
def test_lines_are_read_whole_across_the_pieces_of_a_long_index(
    paths: ContainerPaths, line_length: int
) -> None:
    """A line on the border of two reads is one line; a foreign one may be longer than a read."""
    write_index(paths, 30_000)
    append(paths, "x" * line_length)
    with SideIndex(paths.index, paths.side_index) as side_index:
        assert side_index.catch_up() == side_index.count == 30_000
        append(paths, "\n")
        with pytest.raises(StoreDamaged, match="line 30001"):
            side_index.catch_up()


def test_a_truncated_index_is_read_anew(side_index: SideIndex, paths: ContainerPaths) -> None:
    """What was cut off is not known any more."""
    content = paths.index.read_bytes().splitlines(keepends=True)
    paths.index.write_bytes(b"".join(content[:4]))
    assert side_index.catch_up() == 4
    assert list(side_index.ids()) == [1, 2, 3, 4]


def test_an_index_that_was_cut_and_grew_again_is_read_anew(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """Its length alone would not tell."""
    paths.index.write_text("".join(line(patch_id) for patch_id in range(100, 140)))
    assert side_index.catch_up() == 40
    assert side_index.highest == 139


def test_a_replaced_index_is_read_anew(side_index: SideIndex, paths: ContainerPaths) -> None:
    """As after a restored backup: same size, even the same time."""
    stat = paths.index.stat()
    copy = paths.index.with_name("copy")
    copy.write_text(paths.index.read_text().replace("2019/04/30", "2018/04/30"))
    os.utime(copy, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    copy.replace(paths.index)
    assert side_index.catch_up() == 10
    entry = side_index.entry(1)
    assert entry is not None
    assert entry.date == "2018/04/30"


def test_an_edit_that_keeps_the_length_is_noticed(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """By the file's time of change."""
    stat = paths.index.stat()
    text = paths.index.read_text().replace("2019/04/30", "2018/04/30", 1)
    with paths.index.open("r+") as file:
        file.write(text)
    os.utime(paths.index, ns=(stat.st_mtime_ns + 1, stat.st_mtime_ns + 1))
    assert side_index.catch_up() == 10
    entry = side_index.entry(1)
    assert entry is not None
    assert entry.date == "2018/04/30"


def test_a_line_put_in_between_is_noticed(side_index: SideIndex, paths: ContainerPaths) -> None:
    """As when PaStA's former backend wrote the index sorted."""
    lines = paths.index.read_text().splitlines(keepends=True)
    with paths.index.open("w") as file:
        file.writelines([*lines[:5], line(77), *lines[5:]])
    assert side_index.catch_up() == 11
    assert side_index.count == 11


def test_the_cache_may_be_deleted_while_it_is_in_use(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """The next catch-up makes a new one."""
    shutil.rmtree(paths.own)
    assert side_index.count == 10
    assert not side_index.is_current()
    assert side_index.catch_up() == 10
    assert paths.side_index.exists()


def test_who_has_a_deleted_cache_open_goes_over_to_the_new_one(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """What it reads from then on is for all again."""
    shutil.rmtree(paths.own)
    with SideIndex(paths.index, paths.side_index) as other:
        other.catch_up()
        append(paths, line(11))
        assert side_index.catch_up() == 1
        assert other.is_current()


@pytest.mark.parametrize("garbage", [b"not a database at all" * 1000, b"SQLite format 3\0" * 600])
def test_a_damaged_cache_is_built_anew(paths: ContainerPaths, garbage: bytes) -> None:
    """Whatever the file holds."""
    write_index(paths, 10)
    paths.own.mkdir(parents=True)
    paths.side_index.write_bytes(garbage)
    with SideIndex(paths.index, paths.side_index) as side_index:
        assert side_index.catch_up() == 10
        assert list(side_index.ids()) == list(range(1, 11))


def test_a_cache_that_breaks_while_it_is_read_is_removed_and_built_anew(
    paths: ContainerPaths,
) -> None:
    """Its reader is told to come again, and never gets a wrong answer."""
    write_index(paths, 5000)
    with SideIndex(paths.index, paths.side_index) as side_index:
        side_index.catch_up()
    with paths.side_index.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(9 * 4096)  # behind the pages that catch_up itself needs
        file.write(b"\xff" * (size - 9 * 4096))
    with SideIndex(paths.index, paths.side_index) as side_index:
        side_index.catch_up()
        with pytest.raises(StoreUnavailable, match="makes it anew"):
            side_index.ids()
        with pytest.raises(StoreUnavailable):
            side_index.ids()
        assert side_index.catch_up() == 5000
        assert len(side_index.ids()) == 5000


def test_a_cache_of_another_version_is_built_anew(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """So its tables may change."""
    side_index.close()
    connection = sqlite3.connect(paths.side_index)
    connection.execute("PRAGMA user_version = 99")
    connection.execute("DROP TABLE patch")
    connection.close()
    assert side_index.catch_up() == 10


def test_a_busy_cache_is_no_damaged_one(
    side_index: SideIndex, paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left alone; whoever wanted it comes again."""
    monkeypatch.setattr("patchsync.store.sqlite_file.BUSY_SECONDS", 0.01)
    holder = sqlite3.connect(paths.side_index, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    append(paths, line(11))
    side_index.close()
    with pytest.raises(StoreUnavailable, match="locked"):
        side_index.catch_up()
    holder.execute("ROLLBACK")
    holder.close()
    assert side_index.catch_up() == 1


def test_a_foreign_line_is_named_and_nothing_is_taken_over(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """File and line; also on the next try, until somebody corrects it."""
    append(paths, line(11) + "2019/04/30 <a b@x> md5 12\n")
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=rf"{paths.index.name}, line 12: "):
            side_index.catch_up()
        assert side_index.count == 10


def test_of_two_lines_with_one_id_the_first_counts(
    side_index: SideIndex, paths: ContainerPaths
) -> None:
    """Said once or said otherwise."""
    append(paths, line(11, "<first@x>") + line(11, "<first@x>") + line(11, "<second@x>"))
    assert side_index.catch_up() == 3
    assert side_index.count == 11
    assert len(side_index.entries_of("<first@x>")) == 1
    assert side_index.entries_of("<second@x>") == []


def test_the_cache_knows_no_line_that_is_not_durable(
    side_index: SideIndex, paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is synced before the cache says that it has a line; else it says nothing."""

    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    append(paths, line(11))
    monkeypatch.setattr("patchsync.store.side_index.os.fsync", refuse)
    with pytest.raises(StoreUnavailable):
        side_index.catch_up()
    assert side_index.count == 10
    assert side_index.catch_up(synced=True) == 1


def test_the_index_of_real_mails_is_cached_whole(real_index: Path, tmp_path: Path) -> None:
    """1,535 patches, the highest id and a message-id as in the file."""
    with SideIndex(real_index, tmp_path / "cache") as side_index:
        assert side_index.catch_up() == 1535
        last = max(int(text.split()[-1]) for text in real_index.read_text().splitlines())
        assert (side_index.count, side_index.highest) == (1535, last)
