"""What a batch does to the disk: order, syncs, torn lines, a full disk, rights, and cost."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from store_fakes import apply, batch_of, paths_in, stored, strict_read, tree, write_index

from patchsync.errors import StoreDamaged, StoreUnavailable
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.background_sync import BackgroundSync
from patchsync.store.gone import read_gone
from patchsync.store.layout import ContainerPaths
from patchsync.store.mails import md5_of, write_mail
from patchsync.store.side_index import SideIndex
from patchsync.store.writer import StoreWriter


def fail_on_index(
    monkeypatch: pytest.MonkeyPatch, function: str, paths: ContainerPaths, fault: Callable[..., Any]
) -> None:
    """Have `os.<function>` do `fault(real, fd, ...)` on the index, and its own work elsewhere."""
    real = getattr(os, function)

    def maybe(fd: Any, *args: Any, **options: Any) -> Any:
        at_index = isinstance(fd, int) and Path(f"/proc/self/fd/{fd}").readlink() == paths.index
        return fault(real, fd, *args) if at_index else real(fd, *args, **options)

    monkeypatch.setattr(os, function, maybe)


def test_a_line_that_somebody_else_appended_meanwhile_is_not_doubled(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is new is decided again under the lock, from the index as it is then."""
    other = paths_in(paths.d_mbox, project_id=2)
    apply(other, batch_of(1))

    def append_by_hand(folder: Path) -> None:
        with paths.index.open("ab") as file:
            file.write(other.index.read_bytes())

    monkeypatch.setattr("patchsync.store.writer.sync_file_system", append_by_hand)
    assert apply(paths, batch_of(1, 2)) == stored(1, known=1)
    assert strict_read(paths) == [1, 2]


def test_the_name_of_a_new_index_is_durable_too(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is synced when the index is made, and not for each batch."""
    synced: list[Path] = []
    monkeypatch.setattr("patchsync.store.mails.sync_folder", synced.append)
    apply(paths, batch_of(1))
    apply(paths, batch_of(2))
    assert synced == [paths.index.parent]


def test_a_batch_is_synced_before_its_lines_are_appended(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sync for all mails, then the index."""
    seen: list[tuple[int, bool]] = []

    def look(folder: Path) -> None:
        seen.append((len(tree(folder)), paths.index.exists()))

    monkeypatch.setattr("patchsync.store.writer.sync_file_system", look)
    apply(paths, batch_of(*range(1, 51)))
    assert seen == [(50, False)]


def test_all_lines_of_a_batch_are_appended_by_one_write_and_synced(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that PaStA never meets a part of a line for longer than that write lasts."""
    calls: list[str] = []

    def note(name: str) -> Callable[..., Any]:
        def call(real: Callable[..., Any], *args: Any) -> Any:
            calls.append(name)
            return real(*args)

        return call

    for name in ("write", "fsync"):
        fail_on_index(monkeypatch, name, paths, note(name))
    apply(paths, batch_of(*range(1, 51)))
    assert calls == ["write", "fsync"]


def test_a_torn_last_line_is_cut_before_anything_is_appended(paths: ContainerPaths) -> None:
    """Its patch is simply stored again; the whole lines before it are not read again for that."""
    apply(paths, batch_of(1, 2))
    whole = paths.index.read_bytes()
    for torn in (b"2019/04", whole.splitlines()[0], b"\0" * 5000, b"x"):
        with paths.index.open("ab") as file:
            file.write(torn)
        with StoreWriter(paths):
            assert paths.index.read_bytes() == whole
        with SideIndex(paths.index, paths.side_index) as side_index:
            assert side_index.catch_up() == 0
            assert side_index.count == 2
    apply(paths, batch_of(3))
    assert strict_read(paths) == [1, 2, 3]


def test_an_index_that_is_one_torn_line_is_cut_to_nothing(paths: ContainerPaths) -> None:
    """As after a power loss during the very first batch."""
    paths.index.parent.mkdir(parents=True)
    paths.index.write_bytes(b"2019/04/30 <a@")
    apply(paths, batch_of(1))
    assert strict_read(paths) == [1]


def test_what_is_too_long_for_a_torn_line_is_left_alone(paths: ContainerPaths) -> None:
    """A foreign file in the place of the index is named, not emptied."""
    paths.index.parent.mkdir(parents=True)
    paths.index.write_bytes(b"x" * 200_000)
    with pytest.raises(StoreDamaged, match="last line"):
        apply(paths, batch_of(1))
    assert paths.index.stat().st_size == 200_000


def test_a_foreign_line_stops_the_writer_before_it_cuts_or_appends(paths: ContainerPaths) -> None:
    """File and line are named, the index stays as it is."""
    apply(paths, batch_of(1))
    with paths.index.open("a") as file:
        file.write("hello\nworld")
    before = paths.index.read_bytes()
    with pytest.raises(StoreDamaged, match=rf"{paths.index.name}, line 2: "):
        apply(paths, batch_of(2))
    assert paths.index.read_bytes() == before


def test_a_lost_side_index_costs_nothing_but_time(paths: ContainerPaths) -> None:
    """Also when it is lost while a writer is at work."""
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(1, 2))
        for path in paths.own.glob("side-index*"):
            path.unlink()
        assert writer.apply(batch_of(2, 3)) == stored(1, known=1)
    assert strict_read(paths) == [1, 2, 3]


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("write", lambda real, fd, data: real(fd, data[: len(data) // 2])),
        ("write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))),
        ("write", lambda *_: (_ for _ in ()).throw(OSError(errno.EDQUOT, "quota"))),
        ("fsync", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "error"))),
    ],
    ids=["short write", "disk full", "quota", "sync fails"],
)
def test_a_failed_append_is_taken_back(
    paths: ContainerPaths,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    fault: Callable[..., Any],
) -> None:
    """The index is as before, is not read anew for that, and the next try succeeds."""
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(1))
        before = paths.index.read_bytes()
        with monkeypatch.context() as patch:
            fail_on_index(patch, function, paths, fault)
            with pytest.raises(StoreUnavailable, match=paths.index.name):
                writer.apply(batch_of(*range(2, 40)))
        assert paths.index.read_bytes() == before
        with SideIndex(paths.index, paths.side_index) as side_index:
            assert side_index.catch_up() == 0
        assert writer.apply(batch_of(2)) == stored(1)
    assert strict_read(paths) == [1, 2]


def test_what_could_not_be_taken_back_is_cut_by_the_next_try(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may refuse that too."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "error")

    with StoreWriter(paths) as writer:
        writer.apply(batch_of(1))
        with monkeypatch.context() as patch:
            fail_on_index(patch, "write", paths, lambda real, fd, data: real(fd, data[:100]))
            patch.setattr(os, "ftruncate", refuse)
            with pytest.raises(StoreUnavailable):
                writer.apply(batch_of(2, 3))
        assert not paths.index.read_bytes().endswith(b"\n")
        writer.apply(batch_of(3))
    ids = strict_read(paths)
    assert sorted(ids) in ([1, 3], [1, 2, 3])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_passes_by_itself(small_disk: Path) -> None:
    """Whatever write meets it: PaStA can read the store, nothing piles up, and it goes on."""
    paths = paths_in(small_disk)
    apply(paths, batch_of(1))
    ballast = small_disk / "ballast"
    full = 0
    for free in range(0, 120_000, 4096):
        ballast.write_bytes(b"")
        space = os.statvfs(small_disk).f_bavail * 4096
        ballast.write_bytes(bytes(max(space - free, 0)))
        try:
            apply(paths, batch_of(*range(1, 12)))
        except StoreUnavailable as error:
            assert "disk" in str(error) or "full" in str(error)
            full += 1
            assert 1 in strict_read(paths)
            unfinished = [*paths.own.glob("*.new"), *paths.mails.rglob("*.*")]
            assert unfinished == []
    ballast.unlink()
    assert full > 3
    apply(paths, batch_of(*range(1, 12)))
    assert sorted(strict_read(paths)) == list(range(1, 12))


def test_a_mail_that_cannot_be_finished_leaves_no_second_file(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try has a name of its own, so that on a full disk they would pile up."""
    (mail,) = batch_of(1).mails
    path = paths.mail(mail.date, md5_of(mail.content))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StoreUnavailable):
        write_mail(path, mail.content, token=1)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "let the user that runs patchsync"),
        (errno.EROFS, "mount it writable"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_told_with_path_and_remedy(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    """For the one who reads it, and as something that passes."""
    apply(paths, batch_of(1))

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(paths.fence))

    monkeypatch.setattr("patchsync.store.files.os.fsync", refuse)
    with pytest.raises(StoreUnavailable, match=f"{paths.fence}: .*{remedy}"):
        apply(paths, batch_of(2))


@pytest.mark.parametrize(("mask", "file_mode"), [(0o027, 0o640), (0o002, 0o664)])
def test_all_files_have_the_rights_that_the_umask_leaves(
    paths: ContainerPaths, mask: int, file_mode: int
) -> None:
    """PaStA may run as another user of the same group."""
    before = os.umask(mask)
    try:
        with StoreWriter(paths) as writer:
            writer.apply(batch_of(1, 2, quarantined=((3, "x"),)))
            writer.apply(FetchResult(gone=frozenset({1})))
            found = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in paths.d_mbox.rglob("*")
                if path.is_file()
            }
    finally:
        os.umask(before)
    assert set(found.values()) == {file_mode}, found
    folders = {stat.S_IMODE(p.stat().st_mode) for p in paths.d_mbox.rglob("*") if p.is_dir()}
    assert folders == {0o777 & ~mask}


def test_the_files_beside_the_index_are_replaced_whole(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash before the new one is complete leaves the old one."""
    apply(paths, batch_of(1, 2))
    apply(paths, FetchResult(gone=frozenset({1})))

    def crash(fd: int) -> None:
        raise KeyboardInterrupt

    with StoreWriter(paths) as writer:
        monkeypatch.setattr("patchsync.store.files.os.fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            writer.apply(FetchResult(gone=frozenset({2})))
    assert read_gone(paths.gone) == {1}
    monkeypatch.undo()
    assert apply(paths, FetchResult(gone=frozenset({2}))) == stored(gone=1)


def test_a_batch_costs_the_same_in_a_large_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes read and steps of SQLite, with 1,000 lines and with 50,000 (6 MB)."""
    steps = [0]

    def count_step() -> int:
        steps[0] += 1
        return 0

    class Counting(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.set_progress_handler(count_step, 10)

    connect = sqlite3.connect

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    costs = []
    for count in (1_000, 50_000):
        paths = paths_in(tmp_path / str(count))
        write_index(paths, count)
        with SideIndex(paths.index, paths.side_index) as side_index:
            side_index.catch_up()
        monkeypatch.setattr(
            sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Counting)
        )
        steps[0], before = 0, bytes_read()
        batch = batch_of(*range(count + 1, count + 101), gone=frozenset({5, 7}))
        assert apply(paths, batch) == stored(100, gone=2)
        costs.append((bytes_read() - before, steps[0]))
        monkeypatch.undo()
    (small_bytes, small_steps), (large_bytes, large_steps) = costs
    assert small_steps > 0
    assert large_steps <= small_steps * 1.1
    assert large_bytes <= small_bytes + 100 * 3 * 4096  # an index' leaf and branches for each mail


@pytest.mark.parametrize("ends_by", ["start", "finish"])
def test_what_a_sync_in_the_background_met_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_by: str
) -> None:
    """Once, by the next call: the system does not tell it again."""

    def refuse(_: Path) -> None:
        raise OSError(errno.EIO, "lost")

    with BackgroundSync(tmp_path) as sync:
        sync.finish()
        sync.start()
        sync.finish()
        monkeypatch.setattr("patchsync.store.background_sync.sync_file_system", refuse)
        sync.start()
        while not sync.idle:
            pass
        monkeypatch.undo()
        with pytest.raises(StoreUnavailable, match="lost"):
            getattr(sync, ends_by)()
        sync.start()
        sync.finish()
