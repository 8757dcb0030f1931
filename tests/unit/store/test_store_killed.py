"""Killed, paused and raced: the store stays readable, loses nothing and doubles nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
import redis
from store_fakes import batch_of, strict_read

from patchsync.errors import StoreDamaged
from patchsync.store.container import MboxPatchwork
from patchsync.store.layout import ContainerPaths
from patchsync.store.redis_lock import redis_lock
from patchsync.store.writer import StoreWriter

WORKERS = Path(__file__).with_name("store_workers.py")


@contextmanager
def start(what: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process of store_workers.py, which can import what this one can; killed at the end."""
    with subprocess.Popen(
        [sys.executable, str(WORKERS), what, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def hear(process: subprocess.Popen[str]) -> str:
    """The next word of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], word: object) -> None:
    """A line for a process."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def what_writers_leave(paths: ContainerPaths) -> dict[Path, bytes | None]:
    """The index and the notes, but not the mails, which another writer may leave there unnamed."""
    files = (paths.index, paths.gone, paths.quarantine, paths.fence)
    return {file: file.read_bytes() if file.exists() else None for file in files}


@dataclass
class Reader:
    """The lengths of the store that it met, and what was wrong."""

    lengths: list[int] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def read(self, paths: ContainerPaths, stop: threading.Event) -> None:
        """Read the store strictly, over and over."""
        seen: list[int] = []
        while not stop.is_set() and not self.faults:
            try:
                ids = strict_read(paths)
                assert ids[: len(seen)] == seen, "a line was lost"
                seen = ids
                self.lengths.append(len(ids))
            except BaseException as fault:
                self.faults.append(fault)

    def wait_for_more_than(self, length: int) -> None:
        """Until it has met a longer store."""
        while max(self.lengths, default=0) <= length:
            assert not self.faults
            time.sleep(0.001)


@contextmanager
def read_all_the_time(paths: ContainerPaths) -> Iterator[Reader]:
    """A reader in a thread, which must not meet a fault."""
    stop = threading.Event()
    reader = Reader()
    thread = threading.Thread(target=reader.read, args=(paths, stop))
    thread.start()
    try:
        yield reader
    finally:
        stop.set()
        thread.join()
        assert not reader.faults, reader.faults


def test_a_writer_may_be_killed_at_any_moment(paths: ContainerPaths, random: Random) -> None:
    """A strict reader never meets a torn mail, a lost or a doubled line; the next one goes on."""
    with read_all_the_time(paths) as reader, start("write", paths.d_mbox) as process:
        for number in range(16):
            before = strict_read(paths)
            tell(process, max(before, default=0) + 1)
            if number % 2:  # Else it may be killed before its first batch, or in it.
                reader.wait_for_more_than(len(before))
            time.sleep(random.uniform(0, 0.02))
            tell(process, "enough")
            assert hear(process) == "killed"
            assert len(strict_read(paths)) >= len(before)
    assert len(set(reader.lengths)) > 8
    ids = strict_read(paths)
    with StoreWriter(paths) as writer:
        known = writer.apply(batch_of(*range(1, max(ids) + 1)))
    assert known.stored + known.known == max(ids)
    assert sorted(strict_read(paths)) == list(range(1, max(ids) + 1))
    assert paths.index.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("offset", [0, 1])
def test_a_writer_may_be_killed_between_any_two_calls(paths: ContainerPaths, offset: int) -> None:
    """Every few calls into the system or into SQLite, in order; then all is stored once."""
    with start("die", paths.d_mbox, 2, offset) as process:
        died = int(hear(process))
    assert died > 80
    everything = range(7, 3 * died + 7)
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(*everything))
    ids = strict_read(paths)
    assert set(everything) <= set(ids)
    with MboxPatchwork(paths.listaddr, paths.d_mbox, paths.project_id) as mbox:
        assert mbox.count == len(ids)
        assert list(mbox.ids()) == sorted(ids)
        assert mbox.gone() <= set(ids)
        assert mbox.quarantined().keys().isdisjoint(ids)
    leftovers = {path.name for path in paths.own.iterdir()} - {
        *("fence", "fence.new", "gone", "gone.new", "quarantine", "quarantine.new", "lock"),
        *("side-index.sqlite", "side-index.sqlite-wal", "side-index.sqlite-shm"),
    }
    assert not leftovers


@pytest.mark.parametrize("point", ["before", "after the mails"])
def test_a_paused_writer_writes_nothing_once_another_one_came(
    paths: ContainerPaths, redis_socket: Path, redis_client: redis.Redis, point: str
) -> None:
    """Stopped for longer than its Redis lock lasts, then woken: the fencing token decides."""
    with start("pause", paths.d_mbox, redis_socket, point) as process:
        assert hear(process) == "paused"
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        with redis_lock(redis_client, "store", ttl=30, wait=10), StoreWriter(paths) as writer:
            writer.apply(batch_of(7, 8))
            written = what_writers_leave(paths)
            os.kill(process.pid, signal.SIGCONT)
            tell(process, "go on")
            assert hear(process) == "StaleWriter"
    assert strict_read(paths) == [7, 8]
    assert what_writers_leave(paths) == written


@pytest.mark.parametrize("long", [1 << 20, 0], ids=["in place", "beside"])
def test_two_writers_at_once_store_each_patch_once(paths: ContainerPaths, long: int) -> None:
    """They overtake each other all the time, and both end.

    Also where each makes the side index anew, beside what the other one writes to, whenever there
    is a line that it has not read.
    """
    with (
        read_all_the_time(paths),
        start("race", paths.d_mbox, "a", long) as one,
        start("race", paths.d_mbox, "other", long) as other,
    ):
        for process in (one, other):
            assert hear(process) == "done"
    assert sorted(strict_read(paths)) == list(range(1, 61))
    with MboxPatchwork(paths.listaddr, paths.d_mbox, paths.project_id) as mbox:
        assert list(mbox.ids()) == list(range(1, 61))
        assert [mbox.get_patchwork_ids(f"<{i}.git@example.org>") for i in mbox.ids()] == [
            {i} for i in mbox.ids()
        ]


def test_who_makes_the_side_index_may_be_killed_between_any_two_calls(
    paths: ContainerPaths,
) -> None:
    """The next one makes it, and nothing is left behind."""
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(*range(1, 400)))
    with start("die building", paths.d_mbox, 5) as process:
        assert int(hear(process)) > 20
    assert {path.name for path in paths.own.iterdir()} - {"fence", "lock"} <= {
        *("side-index.sqlite", "side-index.sqlite-wal", "side-index.sqlite-shm"),
        "side-index.sqlite.lock",
    }


def test_readers_and_a_writer_at_once_agree(paths: ContainerPaths) -> None:
    """Containers in other threads follow the writer, and never see less than before."""
    stop = threading.Event()
    faults: list[BaseException] = []

    def follow() -> None:
        try:
            with MboxPatchwork(paths.listaddr, paths.d_mbox, paths.project_id) as mbox:
                seen = 0
                while not stop.is_set():
                    mbox.update()
                    count = mbox.count
                    assert seen <= count <= len(mbox.ids())
                    seen = count
                mbox.update()
                assert mbox.count == 120
        except BaseException as fault:
            faults.append(fault)

    readers = [threading.Thread(target=follow) for _ in range(2)]
    for reader in readers:
        reader.start()
    with StoreWriter(paths) as writer:
        for first in range(1, 121, 4):
            writer.apply(batch_of(*range(first, first + 4)))
    stop.set()
    for reader in readers:
        reader.join()
    assert not faults, faults


def test_the_reader_of_these_tests_is_strict(paths: ContainerPaths) -> None:
    """It would meet a torn mail, a doubled line and a foreign one."""
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(1))
    index = paths.index.read_text()
    for broken in (index * 2, index + "hello\n"):
        paths.index.write_text(broken)
        with pytest.raises((AssertionError, ValueError)):
            strict_read(paths)
    with pytest.raises(StoreDamaged), StoreWriter(paths):
        pytest.fail("a foreign line was accepted")
    paths.index.write_text(index)
    next(path for path in paths.mails.rglob("*") if path.is_file()).write_bytes(b"torn")
    with pytest.raises(AssertionError):
        strict_read(paths)
