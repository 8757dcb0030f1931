"""How the fleet behaves as a guest, seen from the server, also while Redis is emptied."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import pytest
import redis

from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.patchwork.rate_limit import DailyRequests, fleet_rate_limiter
from patchsync.sync.request_count import kept_requests
from standin.process import StandinProcess
from tests.support.installation import Installation, configured, wait_until

RATE, BURST = 20, 30
# A request that may be sent now reaches the server a little later, on a busy machine.
JITTER_SECONDS = 1.0


@pytest.fixture
def patchwork(shared_standin: StandinProcess) -> StandinProcess:
    """Enough for three pages at least."""
    shared_standin.control.reset(patches=1500)
    return shared_standin


@contextmanager
def fleet(installation: Installation, *services: str) -> Iterator[None]:
    """Redis and the services, as processes; all is killed when the test is through."""
    with Supervisor(installation.config) as supervisor:
        supervisor.ensure_redis()
        supervisor.ensure(services)
        yield
        supervisor.kill()


def test_a_flush_causes_no_burst(tmp_path: Path, patchwork: StandinProcess) -> None:
    """In any stretch of time the server sees no more than the rate and one burst allow."""
    installation = configured(
        tmp_path,
        patchwork,
        f"[patchwork]\nrequests_per_second = {RATE}\nburst = {BURST}\n"
        "requests_per_day = 1000000\n"
        "[fleet]\nfetch_processes = 3\n[schedule]\nprobe_seconds = 1\n",
    )
    client = redis.Redis.from_url(installation.config.redis_url)

    def requests() -> int:
        return int(patchwork.control.stats()["requests"])

    seen: list[tuple[float, int, float]] = []
    with fleet(installation, *SYNC_QUEUES, "beat"):
        wait_until(lambda: requests() > 2 * BURST, "pages are fetched")
        began = flushed = time.monotonic()
        while time.monotonic() < began + 5 or seen[-1][1] - seen[0][1] <= 2 * RATE:
            assert time.monotonic() < began + 60, "it does not go on"
            if time.monotonic() > flushed + 1.5:
                flushed = time.monotonic()
                client.flushall()
            before = time.monotonic()
            seen.append((before, requests(), time.monotonic()))
            time.sleep(0.05)
    for (start, sent_before, _), (_, sent, end) in combinations(seen, 2):
        assert sent - sent_before <= RATE * (end - start + JITTER_SECONDS) + BURST


def test_the_budget_of_the_day_outlives_redis(tmp_path: Path, patchwork: StandinProcess) -> None:
    """When it is spent no request is sent, also not after Redis lost all it knew."""
    budget = 60
    installation = configured(
        tmp_path,
        patchwork,
        f"[patchwork]\nrequests_per_day = {budget}\n[schedule]\nprobe_seconds = 1\n",
    )
    config = installation.config
    client = redis.Redis.from_url(config.redis_url)

    def spent() -> DailyRequests:
        return fleet_rate_limiter(config, client).requests_today()

    def kept() -> int:
        return sum(kept_requests(config, spent().day).values())

    with fleet(installation, *SYNC_QUEUES, "beat"):
        wait_until(lambda: kept() == budget, "all of the budget is spent, and kept")
        assert patchwork.control.stats()["requests"] == budget
        for _ in range(2):
            client.flushall()
            wait_until(lambda: spent().total == budget, "the count is back")
            told = installation.status("sample")["trouble"]
            if told:
                assert "requests_per_" in told["message"]
            time.sleep(1.2)
    assert patchwork.control.stats()["requests"] == budget
