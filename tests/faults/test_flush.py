"""Redis is emptied: what was in it is found again."""

from __future__ import annotations

import time
from random import Random

from tests.faults.conftest import (
    await_step,
    fleet_at_work,
    in_step,
    pages_in_flight,
    redis_of,
)
from tests.faults.contents import Contents, assert_same_store
from tests.integration.conftest import Installation, wait_until


def test_in_mid_round(installation: Installation, quiet: Contents) -> None:
    """FLUSHALL while pages are in flight: the fleet ends with the same store."""
    installation.patchwork.control.latency(0.05)
    with fleet_at_work(installation):
        wait_until(lambda: pages_in_flight(installation), "pages are in flight")
        redis_of(installation).flushall()
        await_step(installation)
        assert_same_store(installation, quiet)


def test_again_and_again(installation: Installation, quiet: Contents) -> None:
    """FLUSHALL about each half second, from the first page of a slow server to the last one."""
    # Not in time with beat, which would lose the same message again and again.
    random = Random(1)
    installation.patchwork.control.latency(0.2)
    flushes = 0
    with fleet_at_work(installation):
        wait_until(lambda: pages_in_flight(installation), "pages are in flight")
        done = in_step(installation)
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline, f"not in step after {flushes} flushes"
            redis_of(installation).flushall()
            flushes += 1
            time.sleep(random.uniform(0.2, 0.8))
        assert flushes > 3, "the server was too fast for this test"
        assert_same_store(installation, quiet)
