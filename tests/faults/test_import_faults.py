"""An import is disturbed in each way there is: it ends in the store of a quiet sync."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from patchsync.fleet import Fleet
from patchsync.imports.part import NEWEST
from patchsync.roster import Roster
from patchsync.services import SYNC_QUEUES
from patchsync.standin.process import StandinProcess, running_standin
from tests.dumparchive import dump
from tests.faults.conftest import HASTY, PATCHES, PROJECTS, await_step, redis_of
from tests.faults.contents import Contents, assert_same_store, contents_of
from tests.faults.test_kills import victims
from tests.integration.conftest import (
    Installation,
    configured,
    main_process,
    processes_of,
    stop_group,
    wait_until,
)

# Some mails are long, so that there are many pieces.
LONG_MAILS, LONG_BYTES = 24, 2_000_000
SMALL_PIECES = f"{HASTY}\n[import]\nspool_bytes = {16 * 2**20}\n"


@dataclass(frozen=True)
class Long:
    """A stand-in with long mails, its dumparchive, and what a sync makes of it."""

    patchwork: StandinProcess
    archive: Path
    synced: Contents


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Long]:
    """For all tests that do not change it."""
    folder = tmp_path_factory.mktemp("long")
    with running_standin(*PATCHES) as standin:
        for number in standin.control.ids("sample")[:LONG_MAILS]:
            standin.control.rewrite(number, f"{number}\n" * (LONG_BYTES // len(f"{number}\n")))
        archive = dump(folder / "dump.tar.gz", standin, *PROJECTS)
        quiet = configured(folder, standin)
        quiet.sync()
        yield Long(standin, archive, contents_of(quiet))


@pytest.fixture
def installation(tmp_path: Path, long: Long) -> Installation:
    """An empty store, and pieces as small as can be set."""
    return configured(tmp_path, long.patchwork, SMALL_PIECES)


@contextmanager
def importing(installation: Installation, archive: Path) -> Iterator[subprocess.Popen[str]]:
    """A `patchsync import` that runs."""
    with subprocess.Popen(
        installation.command("import", str(archive)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
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
    roster = Roster(redis_of(installation), installation.config.namespace)
    return any(member.service == service for member in roster.present())


def ends_well(process: subprocess.Popen[str]) -> None:
    """It says that all is in."""
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said


def killed_in_mid_import(installation: Installation, archive: Path, seconds: float) -> bool:
    """Kill an import so long after its first piece was written; False if it had ended."""
    waiting = pieces_wait(installation)
    with importing(installation, archive) as process:
        wait_until(lambda: process.poll() is not None or waiting(), "pieces wait", 60)
        time.sleep(seconds)
        alive = process.poll() is None
        process.kill()
    return alive


def test_kill_9_of_the_command(installation: Installation, long: Long) -> None:
    """Again and again, at random: started again it goes on, and leaves nothing behind."""
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    random = Random(seed)
    killed = stored = 0
    for _ in range(4):
        killed += killed_in_mid_import(installation, long.archive, random.uniform(0, 0.3))
        wait_until(lambda: not processes_of(installation), "what it started ends with it")
        index = installation.config.d_mbox / "index"
        lines = sum(file.read_bytes().count(b"\n") for file in index.glob("*"))
        assert lines >= stored, "what is stored stays"
        stored = lines
    assert killed, "the import was too fast for this test"
    with importing(installation, long.archive) as process:
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


def flush_redis(installation: Installation) -> None:
    """The messages, but for those that a worker has."""
    redis_of(installation).flushall()


@pytest.mark.parametrize("harm", [kill_index_main, kill_index_child, kill_redis, flush_redis])
def test_what_it_needs_is_lost(
    installation: Installation, long: Long, harm: Callable[[Installation], None]
) -> None:
    """While pieces wait, at random: the import goes on by itself, and ends well."""
    waiting = pieces_wait(installation)
    with importing(installation, long.archive) as process:
        wait_until(waiting, "pieces wait", 60)
        time.sleep(Random().uniform(0, 0.2))
        harm(installation)
        ends_well(process)
    assert_same_store(installation, long.synced)
    wait_until(lambda: not processes_of(installation), "all that it started has ended")


def test_two_at_once(installation: Installation, long: Long) -> None:
    """The second is refused and does no harm; the first ends well."""
    with Fleet(installation.config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(["index"])
        wait_until(lambda: signed_in(installation, "index"), "the index worker is there")
        stop_group(main_process(installation, "index"), signal.SIGSTOP)
        waiting = pieces_wait(installation)
        with importing(installation, long.archive) as process:
            wait_until(waiting, "pieces wait", 60)
            second = installation.patchsync("import", str(long.archive))
            assert second.returncode == 1
            assert "another import of" in second.stderr
            assert "is under way" in second.stderr
            assert waiting(), "the pieces of the first are still there"
            stop_group(main_process(installation, "index"), signal.SIGCONT)
            ends_well(process)
        assert_same_store(installation, long.synced)
        fleet.kill()


def test_a_fleet_at_work_beside_it(tmp_path: Path) -> None:
    """New patches come in meanwhile; what the archive brings is not fetched as well."""
    with (
        running_standin(*PATCHES) as patchwork,
        Fleet((installation := configured(tmp_path, patchwork, SMALL_PIECES)).config) as fleet,
    ):
        control = patchwork.control
        archive = dump(tmp_path / "dump", patchwork, *PROJECTS)
        fleet.ensure_redis()
        fleet.ensure(SYNC_QUEUES)
        wait_until(lambda: signed_in(installation, "index"), "the index worker is there")
        stop_group(main_process(installation, "index"), signal.SIGSTOP)
        waiting = pieces_wait(installation)
        control.reset_stats()
        with importing(installation, archive) as process:
            wait_until(waiting, "pieces wait", 60)
            new = control.add("sample", 3) + control.add("neighbour", 2)
            fleet.ensure([*SYNC_QUEUES, "beat"])
            records = installation.config.d_mbox
            wait_until(lambda: len([*records.glob("patchsync/*/round.json")]) == 2, "rounds", 60)
            wait_until(lambda: mboxes(control.stats()) >= 2, "what is new is fetched")
            stop_group(main_process(installation, "index"), signal.SIGCONT)
            ends_well(process)
        await_step(installation)
        # Index stood still for longer than a lease, so some pages were asked for twice; and the
        # newest of the archive come from Patchwork.
        fetched = sum(map(int, re.findall(r"(\d+) mails, \d+ set aside", installation.logs())))
        assert len(new) <= fetched <= 3 * len(new) + len(PROJECTS) * (2 * NEWEST + 1)
        for project in PROJECTS:
            installation.assert_mirrors(project)
        (tmp_path / "quiet").mkdir()
        quiet = configured(tmp_path / "quiet", patchwork)
        quiet.sync()
        assert_same_store(installation, contents_of(quiet))
        fleet.kill()


def mboxes(stats: dict[str, dict[str, int]]) -> int:
    """How many mboxes the server was asked for."""
    return sum(count for kind, count in stats["kinds"].items() if "mbox" in kind)
