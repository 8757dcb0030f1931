"""An import is disturbed in each way there is: it ends in the store of a quiet sync."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import redis

from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.imports.project_mbox import NEWEST
from patchsync.store.lock import store_lock
from patchsync.sync.projects import find_project
from standin.process import StandinProcess
from tests.faults.conftest import HASTY, PATCHES, PROJECTS, SEED, await_step, key_of, redis_of
from tests.faults.test_kills import victims
from tests.support.contents import Contents, assert_same_store, contents_of
from tests.support.dumparchive import dump
from tests.support.inprocess import Workers
from tests.support.installation import (
    Installation,
    configured,
    main_process,
    processes_of,
    stop_group,
    wait_until,
)

# Some mails are long, so that there are six pieces.
LONG_MAILS, LONG_BYTES = 12, 2_000_000
# A lock that a killed writer leaves runs out soon.
SMALL_PIECES = HASTY.replace("[fleet]", "[fleet]\nlock_seconds = 1")
SMALL_PIECES += f"[import]\nspool_bytes = {16 * 2**20}\n"
# An import that does not wait as long as else before it asks for a lost piece again.
IMPATIENT = """
from patchsync.imports import feed
feed.ASK_AGAIN_SECONDS = 0.5
from patchsync.cli import main
main()
"""


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


def pieces_wait(installation: Installation) -> Callable[[], bool]:
    """A condition: a piece that was written after this call waits for the index worker."""
    since = time.time()

    def condition() -> bool:
        pieces = installation.config.d_mbox.glob("patchsync/*/import/*.spool/*")
        with suppress(FileNotFoundError):  # It is stored meanwhile.
            return any(piece.stat().st_mtime > since for piece in pieces)
        return False

    return condition


def signed_in(installation: Installation, service: str) -> bool:
    """Whether an import would find such a worker, and start none of its own."""
    roster = Heartbeats(redis_of(installation), installation.config.namespace)
    return any(member.service == service for member in roster.present())


def ends_well(process: subprocess.Popen[str]) -> None:
    """It says that all is in."""
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said


def stored_in(installation: Installation) -> int:
    """How many lines the indexes have."""
    index = installation.config.d_mbox / "index"
    return sum(file.read_bytes().count(b"\n") for file in index.glob("*"))


def more_is_stored(installation: Installation) -> Callable[[], bool]:
    """A condition: mails were stored after this call."""
    before = stored_in(installation)
    return lambda: stored_in(installation) > before


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
        # While the index worker starts, and while it stores.
        moment = (more_is_stored if number % 2 else pieces_wait)(installation)
        seconds = random.uniform(0, 0.1)
        killed += killed_in_mid_import(installation, long.archive, moment, seconds)
        wait_until(lambda: not processes_of(installation), "what it started ends with it")
        assert stored_in(installation) >= stored, "what is stored stays"
        stored = stored_in(installation)
    assert killed, "the import was too fast for this test"
    with importing(installation.command("import", str(long.archive))) as process:
        ends_well(process)
    assert_same_store(installation, long.synced)


def kill_index(installation: Installation, *, main: bool) -> None:
    mains, children = victims(installation, "index")
    for pid in mains if main else children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_index_main(installation: Installation) -> None:
    """The worker's main process, and with it its child."""
    kill_index(installation, main=True)


def kill_index_child(installation: Installation) -> None:
    """The process that stores."""
    kill_index(installation, main=False)


def kill_redis(installation: Installation) -> None:
    """The server, with all messages."""
    (pid,) = (pid for pid, line in processes_of(installation).items() if "redis-server" in line)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "harms",
    [
        [kill_index_child, kill_index_main, kill_redis],
        pytest.param([kill_index_main, kill_redis, kill_index_child] * 3, marks=pytest.mark.long),
    ],
    ids=["short", "long"],
)
def test_what_it_needs_is_lost(
    installation: Installation,
    long: Long,
    harms: list[Callable[[Installation], None]],
) -> None:
    """While a piece is being stored, one after the other: it goes on by itself, and ends well."""
    waiting = pieces_wait(installation)
    lock = key_of(installation, "sample:lock")
    held = set[object]()

    def is_held_anew() -> bool:
        """The worker is at a task that it was not at before."""
        with suppress(redis.RedisError), redis_of(installation) as client:
            holder = client.get(lock)
            new = holder is not None and holder not in held
            held.add(holder)
            return new
        return False

    arguments = installation.command("import", str(long.archive))[1:]
    with importing([sys.executable, "-c", IMPATIENT, *arguments]) as process:
        wait_until(waiting, "pieces wait")
        site = find_project(installation.config, "sample")
        assert site is not None
        # So that it stays at its task, and no piece is stored before all has been lost.
        with store_lock(site.paths.lock):
            for harm in harms:
                wait_until(is_held_anew, f"the worker is at a task, before {harm.__name__}")
                harm(installation)
        ends_well(process)
    assert_same_store(installation, long.synced)
    wait_until(lambda: not processes_of(installation), "all that it started has ended")


def test_a_fleet_at_work_beside_it(
    tmp_path: Path, patchwork: StandinProcess, workers: Workers
) -> None:
    """New patches come in meanwhile; what the archive brings is not fetched as well."""
    archive = dump(tmp_path / "dump", patchwork, *PROJECTS)
    installation = configured(tmp_path, patchwork, SMALL_PIECES)
    with Supervisor(installation.config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(SYNC_QUEUES)
        wait_until(lambda: signed_in(installation, "index"), "the index worker is there")
        stop_group(main_process(installation, "index"), signal.SIGSTOP)
        waiting = pieces_wait(installation)
        with importing(installation.command("import", str(archive))) as process:
            wait_until(waiting, "pieces wait")
            new = patchwork.control.add("sample", 3) + patchwork.control.add("neighbour", 2)
            fleet.ensure([*SYNC_QUEUES, "beat"])
            wait_until(lambda: fetched(installation).keys() == {*PROJECTS}, "new ones are fetched")
            stop_group(main_process(installation, "index"), signal.SIGCONT)
            ends_well(process)
        await_step(installation)
        # Index may have stood still for longer than a lease, so that some pages were asked for
        # twice; and the newest of the archive come from Patchwork.
        most = 3 * len(new) + len(PROJECTS) * (2 * NEWEST + 1)
        assert len(new) <= fetched(installation).total() <= most
        for project in PROJECTS:
            installation.assert_mirrors(project)
        (tmp_path / "quiet").mkdir()
        quiet = configured(tmp_path / "quiet", patchwork, workers=workers)
        quiet.sync()
        assert_same_store(installation, contents_of(quiet))
        fleet.kill()


def fetched(installation: Installation) -> Counter[str]:
    """How many mails of each project came from Patchwork, as the fetch worker says."""
    found = Counter[str]()
    for project, mails in re.findall(
        r"(\w+): .*?(\d+) mails, \d+ quarantined", installation.logs()
    ):
        found[project] += int(mails)
    return found
