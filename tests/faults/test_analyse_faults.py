"""kill -9, an emptied Redis, lost messages: the groups end as those of a run from scratch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from tests.faults.conftest import HASTY, key_of, redis_of
from tests.faults.test_kills import parent_of, victims
from tests.support.inprocess import Workers
from tests.support.installation import Installation, configured, processes_of, wait_until

SERVICES = (*SYNC_QUEUES, "analyse", "beat")
SECONDS = 120.0


@pytest.fixture
def installation(installation: Installation) -> Installation:
    """As for the other faults; the safety net is near."""
    return configured(
        installation.file.parent, installation.patchwork, f"{HASTY}analyse_seconds = 2\n"
    )


@contextmanager
def at_work(installation: Installation) -> Iterator[Supervisor]:
    """The whole fleet; there are groups already."""
    with Supervisor(installation.config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(SERVICES)
        wait_until(installation.config.patch_groups.exists, "there are groups", SECONDS)
        yield fleet
        fleet.kill()


def add(installation: Installation) -> None:
    """A few new patches, some of them revisions of others."""
    for project in ("sample", "neighbour"):
        installation.patchwork.control.add(project, 4)


def assert_as_from_scratch(installation: Installation, fleet: Supervisor, workers: Workers) -> None:
    """The fleet's groups become those that one update finds in a new store of the same patches."""
    folder = installation.file.parent / "scratch"
    folder.mkdir()
    fresh = configured(folder, installation.patchwork, workers=workers)
    fresh.sync()
    done = fresh.patchsync("analyse")
    assert done.returncode == 0, done.stderr
    wanted = fresh.config.patch_groups.read_bytes()
    assert any(b" " in line for line in wanted.splitlines()), "nothing to group in this test"
    deadline = time.monotonic() + SECONDS
    while installation.config.patch_groups.read_bytes() != wanted:
        assert time.monotonic() < deadline, installation.logs()
        fleet.ensure(SERVICES)
        time.sleep(0.1)
    assert "was written by somebody else" not in installation.logs()


def await_update(installation: Installation) -> None:
    """Return when an update is under way: its lock is held. It may be over in milliseconds."""
    lock = installation.config.d_mbox / "patchsync" / "analysis.lock"
    deadline = time.monotonic() + SECONDS
    while f":{lock.stat().st_ino} " not in Path("/proc/locks").read_text():
        assert time.monotonic() < deadline, installation.logs()
        time.sleep(0.0005)


def works(installation: Installation) -> bool:
    """Whether the worker and its child are there. Of one that was just killed, child and grandchild
    may be there for a moment, which look the same and take no message any more.
    """
    mains, children = victims(installation, "analyse")
    return bool(children) and [parent_of(pid) for pid in mains] == [os.getpid()]


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.long)])
def test_kill_9_in_the_middle(
    installation: Installation, workers: Workers, random: Random, kills: int
) -> None:
    """The worker or its child, at some moment of an update."""
    killed = 0
    with at_work(installation) as fleet:
        # Both are tried, whatever their number.
        for number in random.sample(range(kills), kills):
            wait_until(lambda: not fleet.ensure(SERVICES) and works(installation), "it works")
            add(installation)
            await_update(installation)
            mains, children = victims(installation, "analyse")
            time.sleep(random.uniform(0, 2))
            await_update(installation)
            time.sleep(random.uniform(0, 0.03))
            chosen = mains if number % 2 else children
            for pid in chosen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            wait_until(lambda: chosen[0] not in processes_of(installation), "it is dead")  # noqa: B023
        assert killed == kills
        assert_as_from_scratch(installation, fleet, workers)


def test_a_redis_that_forgets_and_lies(
    installation: Installation, workers: Workers, random: Random
) -> None:
    """Leases of an update are lost, with many messages at once, or all of Redis is; at last it
    says for ever that one is on its way which is not.
    """
    debounce = key_of(installation, "debounce:analysis")
    with at_work(installation) as fleet:
        client = redis_of(installation)
        for _ in range(3):
            add(installation)
            for _ in range(10):
                client.delete(debounce)
                time.sleep(0.05)
            time.sleep(random.uniform(0, 1))
            client.flushall()
        client.set(debounce, b"")
        add(installation)
        assert_as_from_scratch(installation, fleet, workers)
