"""A fleet with more projects than its pace has time for."""

from __future__ import annotations

from pathlib import Path

from patchsync.fleet.supervisor import Supervisor
from standin.process import StandinProcess
from tests.support.installation import configured, wait_until

PROJECTS = [f"project-{number}" for number in range(12)]


def test_no_project_is_left_out(tmp_path: Path, patchwork: StandinProcess) -> None:
    """Though most probes of an interval expire. The server knows none of them: one request each."""
    extra = "[patchwork]\nrequests_per_second = 4\nburst = 1\n[schedule]\nprobe_seconds = 1\n"
    listed = ", ".join(f'{{ id = "{project}" }}' for project in PROJECTS)
    installation = configured(tmp_path, patchwork, extra)
    installation = installation.changed('{ id = "sample" }, { id = "neighbour" }', listed)
    patchwork.control.reset_stats()
    with Supervisor(installation.config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(["probe", "beat"])
        wait_until(
            lambda: all(f"probe of {each}: " in installation.logs() for each in PROJECTS),
            "each project was asked for",
        )
        # The first of each interval again and again would be some 200.
        assert patchwork.control.stats()["requests"] <= 3 * len(PROJECTS)
        fleet.kill()
