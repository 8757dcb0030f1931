"""kill -9 of whatever runs, again and again: the store ends as after a quiet run."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from patchsync.fleet.services import SYNC_QUEUES
from tests.faults.conftest import fleet_at_work, in_step
from tests.support.contents import Contents, assert_same_store
from tests.support.installation import Installation, processes_of, wait_until

SERVICES = (*SYNC_QUEUES, "beat")


def parent_of(pid: int) -> int | None:
    """The parent of a process, None if it is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def victims(installation: Installation, service: str) -> tuple[list[int], list[int]]:
    """The main processes of a service, and the children of their pools."""
    word = " beat " if service == "beat" else f" worker -Q {service} "
    pids = {pid for pid, line in processes_of(installation).items() if word in line}
    children = [pid for pid in pids if parent_of(pid) in pids]
    return sorted(pids - set(children)), sorted(children)


@pytest.mark.parametrize("rounds", [5, pytest.param(40, marks=pytest.mark.long)])
def test_kill_9_of_any_process_at_random(
    installation: Installation, quiet: Contents, random: Random, rounds: int
) -> None:
    """Main processes and children of pools die at random; `Supervisor` starts them again."""
    installation.patchwork.control.latency(0.25)
    killed = []
    every_kind = [(name, main) for name in SYNC_QUEUES for main in (True, False)]
    # Beat and the process that stores, and what chance chooses
    chosen = [("beat", True), ("index", False), *random.choices(every_kind, k=rounds - 2)]
    random.shuffle(chosen)
    with fleet_at_work(installation) as fleet:
        wait_until(lambda: all(victims(installation, name)[1] for name in SYNC_QUEUES), "all work")
        for service, main in chosen:
            time.sleep(random.uniform(0.1, 0.8))
            fleet.ensure(SERVICES)
            mains, children = victims(installation, service)
            for pid in random.sample(mains if main else children, 1 if mains and children else 0):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(f"{service} {'main' if main else 'child'}")
        print(", ".join(killed))
        done = in_step(installation)
        deadline = time.monotonic() + 120
        while not done():
            assert time.monotonic() < deadline, f"killed {killed}\n{installation.logs()}"
            fleet.ensure(SERVICES)
            time.sleep(0.1)
        assert_same_store(installation, quiet)
    wait_until(lambda: not processes_of(installation), "no child outlives its parent")
