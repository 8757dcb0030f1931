"""No message has to arrive: what is lost is found again from the store and Patchwork."""

from __future__ import annotations

import signal
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


def test_a_message_that_is_gone_for_ever(installation: Installation) -> None:
    """A worker is stopped in BRPOP, gets a page and is killed: the page is fetched all the same."""
    client = redis.Redis.from_url(installation.config.redis_url)
    prefix = f"patchsync:{installation.config.namespace}:"
    leases = f"{prefix}sample:leases"
    with running_fleet(installation) as fleet:
        wait_until(lambda: client.exists(f"{prefix}_kombu.binding.fetch"), "the worker listens")
        wait_until(
            lambda: any(c["cmd"] == "brpop" for c in client.client_list()), "workers wait in BRPOP"
        )
        victim = main_process(installation, "fetch")
        stop_group(victim, signal.SIGSTOP)
        assert installation.patchsync("enqueue", "fetch.probe", "sample").returncode == 0
        wait_until(lambda: client.zcard(leases), "the probe hands out a page")
        wait_until(lambda: client.llen(f"{prefix}fetch") == 0, "the stopped worker was given it")
        stop_group(victim, signal.SIGKILL)
        assert client.hlen(f"{prefix}unacked") == 0, "it is nowhere in Redis"

        fleet.ensure_workers(["fetch"])
        installation.sync()
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
