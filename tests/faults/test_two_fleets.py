"""Two fleets that know nothing of each other, each with a Redis of its own, on one store."""

from __future__ import annotations

from pathlib import Path

from standin.process import StandinProcess
from tests.faults.conftest import HASTY, await_step, fleet_at_work, pages_in_flight
from tests.support.contents import Contents, assert_same_store
from tests.support.installation import configured, wait_until


def test_two_fleets_on_one_store(
    tmp_path: Path, patchwork: StandinProcess, quiet: Contents
) -> None:
    """Both sync the same projects at the same time: one store, each patch once, both in step."""
    fleets = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        extra = f'[store]\nmbox = "{tmp_path / "mbox"}"\n{HASTY}'
        fleets.append(configured(tmp_path / name, patchwork, extra, name=name))
    first, second = fleets
    patchwork.control.latency(0.15)
    with fleet_at_work(first), fleet_at_work(second):
        wait_until(
            lambda: pages_in_flight(first) and pages_in_flight(second), "both have pages in flight"
        )
        await_step(first)
        assert_same_store(first, quiet)
        for installation in fleets:
            assert "in step" in installation.sync()
        assert_same_store(second, quiet)
