"""`patchsync sync` with a real Redis and real HTTP, its tasks in this process."""

from __future__ import annotations

import json
import re
import shutil
import time
from types import SimpleNamespace

import pytest

from patchsync.patchwork.client import Client
from patchsync.sync.projects import synced_project
from tests.support.inprocess import Workers
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


def test_once_it_is_known_to_be_small(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project is asked for its numbers as a small one, by rounds and by audits."""
    asked: list[bool] = []
    newest = Client.newest

    def listening(client: Client, key: str, *, few: bool = False) -> tuple[int | None, int]:
        asked.append(few)
        return newest(client, key, few=few)

    monkeypatch.setattr(Client, "newest", listening)
    installation.sync()
    assert not asked[0]
    asked.clear()
    installation.sync()
    assert asked == [True] * 4, "a round and an audit for each of both projects"


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


def test_the_reason_at_once(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where waiting is no help it ends with the reason, the setting and exit status 1."""
    url = str(installation.config.url)
    away = installation.changed(url, "http://127.0.0.1:1/api/").patchsync("sync")
    assert away.returncode == 1
    for project in ("sample", "neighbour"):
        assert (
            f"{project}: not in step: probe: http://127.0.0.1:1/api/1.4/: nothing listens there: "
            "connection refused; see [mbox.patchwork] url\n"
        ) in away.stdout
    wrong = installation.changed("127.0.0.1:1/api/", url[7:].replace("/api/", "/no/api/"))
    done = wrong.patchsync("sync")
    assert done.returncode == 1
    assert "sample: not in step: probe: " in done.stdout
    installation = installation.changed("/no/api/", "/api/")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
        done = installation.patchsync("sync")
    assert done.returncode == 1
    assert "sample: not in step: probe: " in done.stdout
    assert "5 bytes are free, less than" in done.stdout
    assert "nothing new" not in done.stdout + away.stdout
    installation.sync()


def test_what_is_waited_for_is_said(installation: Installation) -> None:
    """A server that asks for time gets it: until when, and why, is said before patience ends."""
    installation.patchwork.control.fault("status", times=-1, status=503, retry_after="77")
    done = installation.patchsync("sync", "--patience", "30")
    assert done.returncode == 1
    first, *_ = done.stdout.splitlines()
    assert re.match(r"sample: Patchwork is not asked until \d\d:\d\d:\d\d UTC: ", first), (
        done.stdout
    )
    assert "Retry-After: 77 s" in first
    assert "not in step: nothing new for 30 s: Patchwork is not asked until" in done.stdout


def test_a_project_has_one_name(installation: Installation, workers: Workers) -> None:
    """Configured by its number it is called by its link name, once that is known, wherever."""
    installation = installation.changed('"sample"', "1")
    done = installation.patchsync("sync")
    assert done.stdout.startswith("sample: in step: ")
    logs = installation.logs()
    assert "sample: " in logs
    assert not re.search(r"( of| INFO   ) 1: ", logs), logs
    shown = [str(sent.options.get("argsrepr", "")) for sent in workers.sent]
    assert {text.strip("()").partition(":")[0] for text in shown if text} == {"sample", "neighbour"}
    installation.patchwork.control.fault("status", times=-1, status=403)
    failed = installation.patchsync("sync")
    assert failed.stdout.startswith("sample: not in step: probe: ")
    assert "probe of sample: " in installation.logs()
