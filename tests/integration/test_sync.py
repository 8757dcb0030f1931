"""`patchsync sync` with a real Redis and real HTTP, its tasks in this process."""

from __future__ import annotations

import json
import time

import pytest

from patchsync.sync.projects import synced_project
from tests.support.installation import Installation


def test_from_nothing(installation: Installation) -> None:
    """An empty store ends with each patch once, byte for byte as served, and few requests."""
    installation.sync()
    for project in ("sample", "neighbour"):
        installation.assert_mirrors(project)
        status = installation.status(project)
        assert status["in_sync"]
        assert status["difference"] == 0
        assert status["ours"]["stored"] == status["server_count"]
        assert status["ours"]["highest"] == status["server_highest"]
        assert status["last_audit"] is not None


def test_what_changes_between_two_syncs(installation: Installation) -> None:
    """New, late, back-dated, gone and moved patches: each is noticed."""
    control = installation.patchwork.control
    installation.sync()
    assert "in step" in installation.sync()

    new = control.add("sample", 3)
    installation.sync()
    assert set(new) <= installation.ids("sample")

    late = control.add("sample", 2, visible=False)
    control.add("sample", 1)
    installation.sync()
    assert not set(late) & installation.ids("sample")
    control.commit(late)
    installation.sync()
    assert set(late) <= installation.ids("sample")

    (old,) = control.add("sample", 1, days_back=5000)
    control.reset_stats()
    installation.sync()
    assert old in installation.ids("sample")
    assert control.stats()["kinds"]["mbox"] == 1

    deleted = control.ids("sample")[10]
    control.delete([deleted])
    installation.sync()
    assert installation.status("sample")["ours"]["gone"] == 1
    assert deleted in installation.ids("sample"), "the mail of a gone patch stays"

    moved = control.ids("sample")[20]
    control.move([moved], "neighbour")
    installation.sync()
    assert moved in installation.ids("neighbour")
    assert installation.status("sample")["ours"]["gone"] == 2
    control.move([moved], "sample")
    installation.sync()
    assert installation.status("sample")["ours"]["gone"] == 1
    assert installation.status("neighbour")["ours"]["gone"] == 1

    for project in ("sample", "neighbour"):
        installation.assert_mirrors(project)


@pytest.mark.parametrize("ahead", [86400, 365 * 86400])
def test_after_a_clock_was_set_back(installation: Installation, ahead: float) -> None:
    """The records of before lie ahead: another round and audit are made, and are believed."""
    installation.sync()
    paths = synced_project(installation.config, "sample").paths
    for file, names in ((paths.round, ["at"]), (paths.audit, ["began", "at", "last_agreed"])):
        record = json.loads(file.read_bytes())
        file.write_text(json.dumps(record | {name: record[name] + ahead for name in names}))
    (new,) = installation.patchwork.control.add("sample", 1)
    assert "sample: in step" in installation.sync()
    assert new in installation.ids("sample")
    audit = json.loads(paths.audit.read_bytes())
    assert audit["agreed"]
    assert audit["began"] <= time.time()
