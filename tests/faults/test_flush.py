"""Redis is emptied: what was in it is found again."""

from __future__ import annotations

import time
from random import Random

from tests.faults.conftest import (
    fleet_at_work,
    in_step,
    pages_in_flight,
    redis_of,
)
from tests.support.contents import Contents, assert_same_store
from tests.support.installation import Installation, wait_until


def test_again_and_again(installation: Installation, quiet: Contents, random: Random) -> None:
    """FLUSHALL about each half second, from the first page of a slow server to the last one."""
    installation.patchwork.control.latency(0.2)
    flushes = 0
    with fleet_at_work(installation):
        wait_until(lambda: pages_in_flight(installation), "pages are in flight")
        done = in_step(installation)
        deadline = time.monotonic() + 120
        while not done():
            assert time.monotonic() < deadline, f"not in step after {flushes} flushes"
            redis_of(installation).flushall()
            flushes += 1
            # Not in time with beat, which would lose the same message again and again.
            time.sleep(random.uniform(0.2, 0.8))
        assert flushes > 3, "the server was too fast for this test"
        assert_same_store(installation, quiet)
