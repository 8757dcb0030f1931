"""No message has to arrive: what is lost is found again from the store and Patchwork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from patchsync.standin.process import StandinProcess
from tests.integration.conftest import (
    Installation,
    configured,
    processes_of,
    running_fleet,
    stop_group,
)


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """Leases run out soon, so that a lost page is not waited for."""
    return configured(tmp_path, patchwork, "[fleet]\nlease_seconds = 3\n")


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Poll for something that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(0.05)


def main_process(installation: Installation, queue: str) -> int:
    """The main process of the worker of a queue, which leads its group."""
    pids = [pid for pid, line in processes_of(installation).items() if f"worker -Q {queue}" in line]
    return min(pids)


PUBLISHER = """
from patchsync.known import Page
from patchsync.pages import lease_of
from patchsync.sync import Want
from workers import context, messages
from workers.celery import app

app.pool.acquire(block=True).connect()
want = Want(Page("-id", 4, 1), ())
print("ready", flush=True)
while input():
    context.board("sample").take(lease_of(want.page))
    messages.fetch_page("sample", "sample", want)
    print("sent", flush=True)
"""


def lose_a_page(installation: Installation, client: redis.Redis) -> None:
    """Publish a page while the fetch worker is stopped in BRPOP, which Redis then hands to it."""
    queue = f"patchsync:{installation.config.namespace}:fetch"
    victim = main_process(installation, "fetch")
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER],
        env=os.environ | {"PATCHSYNC_CONFIG": str(installation.file)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as publisher:
        assert publisher.stdin is not None
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "ready\n"
        for _ in range(10):
            stop_group(victim, signal.SIGSTOP)
            publisher.stdin.write("publish\n")
            publisher.stdin.flush()
            assert publisher.stdout.readline() == "sent\n"
            if client.llen(queue) == 0:
                break
            # It was between two BRPOPs: take the page back and stop it at another moment.
            client.delete(queue)
            stop_group(victim, signal.SIGCONT)
            time.sleep(0.3)
        else:
            pytest.fail("the worker was never stopped in BRPOP")
        publisher.stdin.close()
    stop_group(victim, signal.SIGKILL)


def test_a_message_that_is_gone_for_ever(installation: Installation) -> None:
    """A worker is stopped in BRPOP, gets a page and is killed: the page is fetched all the same."""
    client = redis.Redis.from_url(installation.config.redis_url)
    prefix = f"patchsync:{installation.config.namespace}:"
    with running_fleet(installation) as fleet:
        installation.sync()
        new = set(installation.patchwork.control.add("sample", 3))
        lose_a_page(installation, client)
        assert client.hlen(f"{prefix}unacked") == 0, "it is nowhere in Redis"
        assert client.zcard(f"{prefix}sample:leases") == 1, "but it counts as in flight"

        fleet.ensure_workers(["fetch"])
        installation.sync()
    assert new <= installation.ids("sample")
    installation.assert_mirrors("sample")


def test_redis_is_emptied_in_mid_round(installation: Installation) -> None:
    """FLUSHALL while pages are in flight: the same store in the end."""
    client = redis.Redis.from_url(installation.config.redis_url)
    leases = f"patchsync:{installation.config.namespace}:sample:leases"
    installation.patchwork.control.latency(0.05)
    with running_fleet(installation):
        assert installation.patchsync("enqueue", "fetch.probe", "sample").returncode == 0
        wait_until(lambda: client.zcard(leases), "pages are in flight")
        client.flushall()
        installation.patchwork.control.latency(0)
        installation.sync()
    installation.assert_mirrors("sample")
    installation.assert_mirrors("neighbour")


def test_faults_of_the_server(installation: Installation) -> None:
    """Errors, refusals, cut and foreign answers: nothing wrong is stored, nothing is lost."""
    control = installation.patchwork.control
    for fault in (
        {"kind": "status", "status": 503, "times": 3},
        {"kind": "status", "status": 429, "times": 2, "retry_after": "1"},
        {"kind": "cut", "times": 2, "match": "series-mbox"},
        {"kind": "wrong-mbox", "times": 1, "match": "series-mbox"},
        {"kind": "foreign-project", "times": 1, "match": "patches"},
    ):
        kind = str(fault.pop("kind"))
        control.fault(kind, **fault)
    first = installation.patchsync("sync")
    control.clear_faults()
    assert first.returncode in (0, 1)
    installation.sync()
    installation.assert_mirrors("sample")
    installation.assert_mirrors("neighbour")
