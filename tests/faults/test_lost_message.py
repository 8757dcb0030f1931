"""No message has to arrive: what is lost is found again from the store and Patchwork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from patchsync.fleet.services import SYNC_QUEUES
from tests.faults.conftest import await_step, key_of, pages_in_flight, redis_of
from tests.support.contents import Contents, assert_same_store
from tests.support.installation import (
    Installation,
    main_process,
    running_fleet,
    stop_group,
    wait_until,
)

# Publishes, each time it is asked to, what a fleet at the beginning of a sync would.
PUBLISHER = """
import sys
from dataclasses import replace
from patchsync.patchwork.paging import Page
from patchsync.sync.fetch import fetch_page, lease_of
from patchsync.patchwork.download import Limits
from patchsync.sync.compare import PageToFetch
from workers import context, enqueue
from workers.celery import app

page = Page("-id", 4, 1)
limits = Limits(max_mail_bytes=2**20, max_series_bytes=2**20, threads=1, batch_bytes=2**20)
results = fetch_page(context.client(), "sample", page, (), limits)
result = replace(next(results), lease=lease_of(page))
assert len(result.mails) == 4

def probe():
    enqueue.probe("sample")

def fetch():
    context.leases("sample").keep(lease_of(page))
    enqueue.fetch_page("sample", "sample", PageToFetch(page, ()))

def index():
    context.leases("sample").keep(lease_of(page))
    enqueue.index_mails("sample", result)

app.pool.acquire(block=True).connect()
print("ready", flush=True)
for queue in sys.stdin:
    globals()[queue.strip()]()
    print("sent", flush=True)
"""


class Publisher:
    """A process of the fleet's Celery app that publishes a message when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        assert self._output.readline() == "ready\n"

    def publish(self, queue: str) -> None:
        """Publish a message to a queue."""
        self._input.write(f"{queue}\n")
        self._input.flush()
        assert self._output.readline() == "sent\n"


@contextmanager
def publisher_of(installation: Installation) -> Iterator[Publisher]:
    """A publisher, ready."""
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER],
        env=os.environ | {"PATCHSYNC_CONFIG": str(installation.file)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Publisher(process)


def lose_a_message(installation: Installation, queue: str) -> None:
    """Publish while the queue's worker is stopped in BRPOP: Redis hands it over, it is killed."""
    client = redis_of(installation)
    victim = main_process(installation, queue)
    with publisher_of(installation) as publisher:
        deadline = time.monotonic() + 60
        while True:
            stop_group(victim, signal.SIGSTOP)
            publisher.publish(queue)
            if client.llen(key_of(installation, queue)) == 0:
                break
            # It was between two BRPOPs: take the message back, and stop it at another moment.
            client.delete(key_of(installation, queue))
            stop_group(victim, signal.SIGCONT)
            assert time.monotonic() < deadline, "the worker was never stopped in BRPOP"
            time.sleep(0.1)
    stop_group(victim, signal.SIGKILL)
    assert client.hlen(key_of(installation, "unacked")) == 0, "it is nowhere in Redis"


@pytest.mark.parametrize("queue", SYNC_QUEUES)
def test_a_message_that_is_gone_for_ever(
    installation: Installation, quiet: Contents, queue: str
) -> None:
    """A worker is stopped in BRPOP, gets a message and is killed: its work is done all the same."""
    with running_fleet(installation) as fleet:
        lose_a_message(installation, queue)
        if queue != "probe":
            assert pages_in_flight(installation) == 1, "it still counts as in flight"
        wait_until(lambda: fleet.ensure([queue]), "its end is noticed")
        fleet.ensure(["beat"])
        await_step(installation)
        assert_same_store(installation, quiet)
