"""Two beats at once: no patch twice, and no more work than two beats ask for."""

from __future__ import annotations

import time

from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.supervisor import Supervisor
from tests.faults.conftest import PROJECTS, await_step, fleet_at_work, key_of, redis_of
from tests.support.contents import Contents, assert_same_store
from tests.support.installation import Installation, wait_until


def test_two_beats(installation: Installation, quiet: Contents) -> None:
    """Each due probe costs one request, also when it was enqueued twice."""
    control = installation.patchwork.control
    with fleet_at_work(installation), Supervisor(installation.config) as other:
        other.ensure(["beat"])
        # Both have started, and what was due at their start is done.
        heartbeats = Heartbeats(redis_of(installation), installation.config.namespace)
        wait_until(
            lambda: [member.service for member in heartbeats.alive()].count("beat") == 2,
            "two beats",
        )
        await_step(installation)
        # What was enqueued before, and waits or is being done, comes on top.
        queue = key_of(installation, "probe")
        before = int(redis_of(installation).llen(queue)) + len(PROJECTS)  # type: ignore[arg-type]
        control.reset_stats()
        began = time.monotonic()
        wait_until(lambda: control.stats()["kinds"].get("patches", 0) >= 12, "rounds go on")
        seconds = time.monotonic() - began
        asked = control.stats()["kinds"]
        assert asked.keys() == {"patches"}, "nothing is downloaded again"
        due = (seconds / installation.config.schedule.probe_seconds + 1) * len(PROJECTS) * 2
        due += before
        assert asked["patches"] <= due
        assert_same_store(installation, quiet)
        other.kill()
