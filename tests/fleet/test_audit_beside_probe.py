"""An audit that a slow server holds up keeps no probe waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.fleet.supervisor import Supervisor
from patchsync.sync.projects import Project, find_project
from patchsync.sync.records import last_audit, last_round
from standin.process import StandinProcess
from tests.support.installation import Installation, configured, wait_until


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """A server that does not answer is waited for, for longer than this test waits."""
    # In step from the beginning: else an audit lets the round go first.
    patchwork.control.reset(patches=0)
    return configured(tmp_path, patchwork, "[patchwork]\nread_timeout = 600\n")


def test_a_probe_does_not_wait_for_an_audit(installation: Installation) -> None:
    """Nor for two: the second one waits for its turn, and not in a process of the worker."""
    control, config = installation.patchwork.control, installation.config

    def place(project: str) -> Project:
        place = find_project(config, project)
        assert place is not None
        return place

    def enqueue(task: str, project: str) -> None:
        done = installation.patchsync("enqueue", task, project)
        assert done.returncode == 0, done.stderr

    def had_round(project: str) -> bool:
        place = find_project(config, project)
        return place is not None and last_round(place) is not None

    with Supervisor(config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(["probe"])
        enqueue("fetch.probe", "sample")
        wait_until(lambda: had_round("sample"), "a round")
        control.fault("hang", match="patches")
        enqueue("fetch.audit", "sample")
        wait_until(lambda: not control.faults()["pending"], "the audit waits for its answer")
        enqueue("fetch.audit", "neighbour")
        enqueue("fetch.probe", "neighbour")
        wait_until(lambda: had_round("neighbour"), "a round of another project")
        assert last_audit(place("sample")) is None, "it waits still"
        assert last_audit(place("neighbour")) is None, "it has no turn yet"
        fleet.kill()
