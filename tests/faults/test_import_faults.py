"""An import is disturbed in each way there is: it ends in the store of a quiet sync."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import redis

from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.imports.judge import NEWEST
from patchsync.store.lock import is_locked, store_lock
from patchsync.sync.projects import find_project
from standin.process import StandinProcess
from tests.faults.conftest import HASTY, PATCHES, PROJECTS, SEED, await_step, key_of, redis_of
from tests.support.contents import Contents, assert_same_store, contents_of
from tests.support.dumparchive import dump
from tests.support.inprocess import Workers
from tests.support.installation import (
    Installation,
    configured,
    processes_of,
    wait_until,
)

# Some mails are long, so that there are four pieces.
LONG_MAILS, LONG_BYTES = 12, 2_000_000
# A lock that a killed writer leaves runs out soon.
SMALL_PIECES = HASTY.replace("[fleet]", "[fleet]\nlock_seconds = 1")
SMALL_PIECES += f"[import]\nspool_bytes = {16 * 2**20}\n"


@dataclass(frozen=True)
class Long:
    """The dumparchive of a Patchwork with long mails, and what a sync makes of it."""

    archive: Path
    synced: Contents


@pytest.fixture(scope="module")
def long(
    tmp_path_factory: pytest.TempPathFactory,
    shared_standin: StandinProcess,
    session_workers: Workers,
) -> Long:
    """For all tests of this file."""
    folder = tmp_path_factory.mktemp("long")
    lengthen(shared_standin)
    quiet = configured(folder, shared_standin, name="long", workers=session_workers)
    quiet.sync()
    archive = dump(folder / "dump.tar.gz", shared_standin, *PROJECTS)
    return Long(archive, contents_of(quiet))


@pytest.fixture
def installation(tmp_path: Path, long: Long, shared_standin: StandinProcess) -> Installation:
    """An empty store, and pieces as small as can be set."""
    lengthen(shared_standin)
    return configured(tmp_path, shared_standin, SMALL_PIECES)


def lengthen(patchwork: StandinProcess) -> None:
    """Have it be as new, but with long mails."""
    patchwork.control.reset(patches=PATCHES, seed=SEED)
    for number in patchwork.control.ids("sample")[:LONG_MAILS]:
        patchwork.control.rewrite(number, f"{number}\n" * (LONG_BYTES // len(f"{number}\n")))


@contextmanager
def importing(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A `patchsync import` that runs."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ends_well(process: subprocess.Popen[str]) -> None:
    """It says that all is in."""
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "Traceback" not in said


def stored_in(installation: Installation) -> int:
    """How many lines the indexes have."""
    index = installation.config.d_mbox / "index"
    return sum(file.read_bytes().count(b"\n") for file in index.glob("*"))


def more_is_stored(installation: Installation) -> Callable[[], bool]:
    """A condition: mails were stored after this call."""
    before = stored_in(installation)
    return lambda: stored_in(installation) > before


def more_is_written(installation: Installation) -> Callable[[], bool]:
    """A condition: files of mails were written after this call, be they in the index or not."""

    def written() -> int:
        return sum(1 for _ in installation.config.d_mbox.glob("raw/*/*/*/*"))

    before = written()
    return lambda: written() > before


def killed_in_mid_import(
    installation: Installation, archive: Path, moment: Callable[[], bool], seconds: float
) -> bool:
    """Kill an import so long after a moment; False if it had ended."""
    with importing(installation.command("import", str(archive))) as process:
        wait_until(lambda: process.poll() is not None or moment(), "it is under way")
        time.sleep(seconds)
        alive = process.poll() is None
        process.kill()
    return alive


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.long)])
def test_kill_9_of_the_command(
    installation: Installation, long: Long, random: Random, kills: int
) -> None:
    """Again and again, at random: started again it goes on, and leaves nothing behind."""
    killed = stored = 0
    for number in range(kills):
        # Before a piece is in the index, and after it.
        moment = (more_is_stored if number % 2 else more_is_written)(installation)
        seconds = random.uniform(0, 0.1)
        killed += killed_in_mid_import(installation, long.archive, moment, seconds)
        wait_until(lambda: not processes_of(installation), "what it started ends with it")
        assert stored_in(installation) >= stored, "what is stored stays"
        stored = stored_in(installation)
    assert killed, "the import was too fast for this test"
    with importing(installation.command("import", str(long.archive))) as process:
        ends_well(process)
    assert_same_store(installation, long.synced)


def kill_redis(installation: Installation) -> None:
    """The server, with the lock."""
    (pid,) = (pid for pid, line in processes_of(installation).items() if "redis-server" in line)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.long)])
def test_redis_is_lost(installation: Installation, long: Long, kills: int) -> None:
    """While a piece is being stored, again and again: it starts another, and ends well."""
    lock, killed = key_of(installation, "sample:lock"), set[object]()

    def is_held_anew() -> bool:
        with suppress(redis.RedisError), redis_of(installation) as client:
            return client.get(lock) not in {None, *killed}
        return False

    with importing(installation.command("import", str(long.archive))) as process:
        wait_until(lambda: find_project(installation.config, "sample"), "it has its place")
        project = find_project(installation.config, "sample")
        assert project is not None
        # So that it stays at its piece until Redis has been lost.
        with store_lock(project.paths.lock):
            for _ in range(kills):
                wait_until(is_held_anew, "it is at a piece")
                with redis_of(installation) as client:
                    killed.add(client.get(lock))
                kill_redis(installation)
        ends_well(process)
    assert_same_store(installation, long.synced)
    wait_until(lambda: not processes_of(installation), "what it started has ended")


def stop_between_writes(installation: Installation, process: subprocess.Popen[str]) -> None:
    """Stop it, though not with the store's own lock: nobody can take it from who stands still."""
    while True:
        process.send_signal(signal.SIGSTOP)
        locks = installation.config.d_mbox.glob("patchsync/*/lock")
        if not any(is_locked(lock) for lock in locks):
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.005)


def test_a_fleet_at_work_beside_it(
    installation: Installation, long: Long, workers: Workers, tmp_path: Path
) -> None:
    """It takes the lock from an import that stands still; what the archive brings it leaves."""
    patchwork = installation.patchwork
    with Supervisor(installation.config) as fleet:
        fleet.ensure_redis()
        stored = more_is_stored(installation)
        with importing(installation.command("import", str(long.archive))) as process:
            wait_until(stored, "a piece is stored")
            stop_between_writes(installation, process)
            archived = sum(map(len, long.synced.lines.values()))
            assert stored_in(installation) < archived, "the import was too fast for this test"
            new = patchwork.control.add("sample", 3) + patchwork.control.add("neighbour", 2)
            fleet.ensure([*SYNC_QUEUES, "beat"])
            wait_until(lambda: all_in(installation, new), "new ones are stored")
            process.send_signal(signal.SIGCONT)
            ends_well(process)
        await_step(installation)
        # Some pages may have been asked for twice; and the newest of the archive are in doubt.
        most = 3 * len(new) + len(PROJECTS) * (2 * NEWEST + 1)
        assert len(new) <= fetched(installation).total() <= most
        for project in PROJECTS:
            installation.assert_mirrors(project)
        (tmp_path / "quiet").mkdir()
        quiet = configured(tmp_path / "quiet", patchwork, workers=workers)
        quiet.sync()
        assert_same_store(installation, contents_of(quiet))
        fleet.kill()


def all_in(installation: Installation, patch_ids: list[int]) -> bool:
    """Whether the store has these."""
    with suppress(FileNotFoundError):  # the index, before the first of a project
        stored = installation.ids("sample") | installation.ids("neighbour")
        return stored >= set(patch_ids)
    return False


def fetched(installation: Installation) -> Counter[str]:
    """How many mails of each project came from Patchwork, as the fetch worker says."""
    found = Counter[str]()
    for project, mails in re.findall(
        r"(\w+): .*?(\d+) mails, \d+ quarantined", installation.logs()
    ):
        found[project] += int(mails)
    return found
