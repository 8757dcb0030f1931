"""A backlog fills Redis to a bound and no further, and lets a small project go first."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
import redis

from patchsync.fleet.backpressure import LATER_SHARE, IndexQueue
from standin.process import StandinProcess
from tests.support.installation import (
    Installation,
    configured,
    main_process,
    running_fleet,
    stop_group,
    wait_until,
)

# The smallest that can be set, each; mails are compressed, so a message is smaller than a batch.
QUEUE_BYTES, BATCH_BYTES = 2**20, 2**16
FETCH_PROCESSES = 2
PATCHES, FEWER = 3000, 1000


@pytest.fixture
def patchwork(shared_standin: StandinProcess) -> StandinProcess:
    """Large enough that its mails do not fit the bound."""
    shared_standin.control.reset(patches=0)
    for _ in range(PATCHES // 1000):
        shared_standin.control.add("sample", 1000)
    shared_standin.control.add("neighbour", 20)
    return shared_standin


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """Tight bounds; leases last longer than the index worker stands still."""
    return configured(
        tmp_path,
        patchwork,
        f"[fleet]\nqueue_bytes = {QUEUE_BYTES}\nbatch_bytes = {BATCH_BYTES}\n"
        f"fetch_processes = {FETCH_PROCESSES}\n",
    )


class Highest(threading.Thread):
    """The most bytes that were seen to wait."""

    def __init__(self, backlog: IndexQueue) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.ended = threading.Event()
        self._backlog = backlog

    def run(self) -> None:
        while not self.ended.wait(0.01):
            self.bytes = max(self.bytes, self._backlog.bytes())


def requests(installation: Installation) -> int:
    """What the server was asked so far."""
    return int(installation.patchwork.control.stats()["requests"])


def test_fetch_holds_back_while_the_index_worker_stands_still(installation: Installation) -> None:
    """What waits in Redis stays below its bound and a batch for each process; then all arrives."""
    config = installation.config
    backlog = IndexQueue(redis.Redis.from_url(config.redis_url), config.namespace)
    highest = Highest(backlog)
    with running_fleet(installation):
        highest.start()
        index = main_process(installation, "index")
        stop_group(index, signal.SIGSTOP)
        assert installation.patchsync("enqueue", "fetch.probe", "sample").returncode == 0
        full = QUEUE_BYTES * LATER_SHARE
        wait_until(lambda: backlog.bytes() > full, "the queue is full")
        asked = -1
        while asked != requests(installation):
            asked = requests(installation)
            time.sleep(3)
        messages = backlog.messages()
        time.sleep(2)
        assert (requests(installation), backlog.messages()) == (asked, messages)

        # A small project's few patches find their room all the same.
        assert installation.patchsync("enqueue", "fetch.probe", "neighbour").returncode == 0
        stop_group(index, signal.SIGCONT)
        wait_until(lambda: len(stored(installation, "neighbour")) == 20, "the small one is in")
        assert len(stored(installation, "sample")) < PATCHES, "it waited for the large one"
        installation.sync()
        highest.ended.set()
        highest.join()
    # The batch more is what the small project brought.
    assert full < highest.bytes < full + (FETCH_PROCESSES + 1) * BATCH_BYTES
    assert installation.ids("sample") == set(installation.patchwork.control.ids("sample"))


def stored(installation: Installation, project: str) -> set[int]:
    """The ids in the index; none before the project has its place."""
    try:
        return installation.ids(project)
    except (AssertionError, FileNotFoundError):
        return set()


def test_a_slow_round_is_not_asked_for_twice(tmp_path: Path, patchwork: StandinProcess) -> None:
    """Pages that wait their turn for longer than a lease lasts are fetched once each."""
    installation = configured(
        tmp_path,
        patchwork,
        "[fleet]\nlease_seconds = 3\nfetch_processes = 1\n[schedule]\nprobe_seconds = 1\n",
    )
    patchwork.control.reset(patches=0)
    patchwork.control.add("sample", FEWER)
    patchwork.control.latency(0.1)
    with running_fleet(installation) as fleet:
        began = time.monotonic()
        fleet.ensure(["beat"])
        wait_until(lambda: len(stored(installation, "sample")) == FEWER, "all is in")
        assert time.monotonic() - began > 4, "the round took longer than a lease lasts"
    kinds = patchwork.control.stats()["kinds"]
    # Each page once, and what the comparisons cost; of each series its mbox once.
    assert kinds["patches"] < FEWER // 250 + 28
    assert kinds["series-mbox"] < 0.35 * FEWER
