"""A writer is stopped for longer than its lock lasts, at a place where it can do most harm.

The place is made sure of by a FIFO in place of a file that the writer reads just there: it waits in
that read until the test lets go. Meanwhile its process group is stopped and the name is free again,
so that others find nothing unusual.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchsync.fleet.parent_death import die_with_parent
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import Fence
from patchsync.sync.projects import find_project
from standin.process import StandinProcess
from tests.faults.conftest import HASTY, await_step, key_of, pages_in_flight, redis_of
from tests.support.contents import Contents, assert_same_store
from tests.support.installation import (
    Installation,
    configured,
    processes_of,
    running_fleet,
    stop_group,
    wait_until,
)

SAMPLE_INDEX = "raw.sample@lists.example.org.patchwork.1"


def readers(installation: Installation, path: Path) -> set[int]:
    """Those of our processes that have `path` open."""
    found = set()
    for pid in processes_of(installation):
        try:
            links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        found |= {pid} if str(path) in links else set()
    return found


def writers(installation: Installation, path: Path) -> set[int]:
    """The index workers, by their main process, that have `path` open."""
    commands = processes_of(installation)
    groups = {os.getpgid(pid) for pid in readers(installation, path)}
    return {group for group in groups if "worker -Q index" in commands.get(group, "")}


@contextmanager
def stopped_in(installation: Installation, path: Path) -> Iterator[None]:
    """An index worker, stopped while it reads `path`; it goes on at the end, and reads nothing."""
    # For reading too, or to open it would wait for the reader.
    fifo = os.open(path, os.O_RDWR)
    try:
        # An audit may read it too.
        wait_until(lambda: writers(installation, path), f"the writer reads {path.name}")
        (victim,) = writers(installation, path)
        stop_group(victim, signal.SIGSTOP)
        path.unlink()
        try:
            yield
        finally:
            stop_group(victim, signal.SIGCONT)
    finally:
        os.close(fifo)


@contextmanager
def another_writer(installation: Installation) -> Iterator[None]:
    """A second index worker."""
    log = installation.config.run_dir / "second-index.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            die_with_parent(installation.command("run", "index")),
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_until(lambda: "ready" in log.read_text(), "a second writer is ready")
            yield
        finally:
            # Its children are in its group: nothing of it goes on.
            stop_group(process.pid, signal.SIGKILL)


def paths_of(installation: Installation) -> ContainerPaths:
    """The files of the project `sample`, which has its place by now."""
    wait_until(lambda: find_project(installation.config, "sample"), "the first probe")
    site = find_project(installation.config, "sample")
    assert site is not None
    return site.paths


def is_locked(path: Path) -> bool:
    """Whether somebody holds the store's own lock."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """As the usual one, and a lock in Redis that lasts a second."""
    return configured(tmp_path, patchwork, HASTY.replace("[fleet]", "[fleet]\nlock_seconds = 1"))


def test_it_writes_no_second_line(installation: Installation, quiet: Contents) -> None:
    """Stopped while it writes its mails, and overtaken: it notices, and begins anew."""
    date, _, md5, _ = quiet.lines[SAMPLE_INDEX][-1].split(" ")
    mail = installation.config.d_mbox / "raw" / date / md5
    mail.parent.mkdir(parents=True)
    os.mkfifo(mail)
    with running_fleet(installation) as fleet:
        fleet.ensure(["beat"])
        with stopped_in(installation, mail):
            assert not is_locked(paths_of(installation).lock), "it prepares its mails"
            client, lock = redis_of(installation), key_of(installation, "sample:lock")
            wait_until(lambda: not client.exists(lock), "its lock in Redis has run out")
            with another_writer(installation):
                await_step(installation)
                assert_same_store(installation, quiet)
            fence = Fence(paths_of(installation).fence)
            last = fence.highest
        # Had it gone on, there would be nothing to take another token for.
        wait_until(lambda: fence.highest > last, "the stopped one begins anew")
        await_step(installation)
        assert_same_store(installation, quiet)
        fleet.kill()


def test_others_wait_for_the_stores_own_lock(installation: Installation, quiet: Contents) -> None:
    """Stopped in the middle of its last write: nobody writes, and all goes on when it does."""
    installation.patchwork.control.latency(0.2)
    with running_fleet(installation) as fleet, another_writer(installation):
        fleet.ensure(["beat"])
        # From now on no probe reads what the writer is to stumble over.
        wait_until(lambda: pages_in_flight(installation), "pages are in flight")
        paths = paths_of(installation)
        os.mkfifo(paths.quarantine)
        with stopped_in(installation, paths.quarantine):
            assert is_locked(paths.lock)
            stopped = writers(installation, paths.lock)
            before = paths.index.read_bytes()
            assert before.endswith(b"\n")
            wait_until(lambda: writers(installation, paths.lock) > stopped, "others wait")
            assert paths.index.read_bytes() == before
        await_step(installation)
        assert_same_store(installation, quiet)
        fleet.kill()
