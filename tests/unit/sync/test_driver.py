"""What `patchsync sync` waits for."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from patchsync.config import Config, load
from patchsync.errors import GiveUp
from patchsync.fleet import trouble
from patchsync.store.json_file import write_record
from patchsync.sync.driver import Driver
from patchsync.sync.projects import Project, place_project, settle
from patchsync.sync.records import AuditRecord, RoundRecord

ROUND = RoundRecord(at=0, highest=1, count=0, known=0, in_sync=True, pages=0, requests=1)
AUDIT = AuditRecord(
    began=0, at=0, pages=1, all_pages=1, ended=True, agreed=True, last_agreed=0, state={}
)


@pytest.fixture
def config(tmp_path: Path, redis_socket: Path) -> Config:
    """A configuration with one project."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "http://127.0.0.1:1"\nproject_ids = ["sample"]\n'
        f'[redis]\nurl = "unix://{redis_socket}"\n'
    )
    return load(file)


@pytest.fixture
def project(config: Config) -> Project:
    """Its place in the store."""
    project = place_project(config, config.projects[0], 1, "sample", "list@example.org")
    settle(config, project)
    return project


def keep_round(project: Project, at: float) -> None:
    write_record(project.paths, project.paths.round, asdict(replace(ROUND, at=at)))


def keep_audit(project: Project, began: float, listed_since: float | None = None) -> None:
    record = replace(AUDIT, began=began, listed_since=listed_since)
    write_record(project.paths, project.paths.audit, asdict(record))


@pytest.mark.parametrize("ahead", [86400, 365 * 86400])
def test_records_of_a_clock_that_was_set_back(
    config: Config,
    project: Project,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    ahead: float,
) -> None:
    """What was in step then, or in trouble, says nothing of now."""
    then = time.time() + ahead
    keep_round(project, then)
    keep_audit(project, then)
    monkeypatch.setattr(trouble.time, "time", lambda: then)  # type: ignore[attr-defined]
    trouble.note_trouble(redis_client, config.namespace, "sample", "probe", GiveUp("mended since"))
    monkeypatch.undo()
    sent: list[tuple[Any, ...]] = []
    driver = Driver(config, "sample", lambda *task: sent.append(task))
    driver.step()
    assert (driver.outcome, sent) == (None, [("fetch.probe", "sample")])
    keep_round(project, time.time())
    driver.step()
    driver.step()
    assert driver.outcome is None
    task, _, since, _ = sent[-1]
    assert task == "fetch.audit"
    keep_audit(project, since)
    driver.step()
    assert driver.agreed


def test_the_audit_of_another_sync_that_began_before(
    config: Config, project: Project, redis_client: redis.Redis
) -> None:
    """It goes by what was listed before this one began, which proves nothing here."""
    sent: list[tuple[Any, ...]] = []
    driver = Driver(config, "sample", lambda *task: sent.append(task))
    keep_round(project, time.time())
    driver.step()
    _, _, since, listed_since = sent[-1]
    keep_audit(project, since, listed_since=listed_since - 1)
    driver.step()
    assert not driver.agreed
    keep_audit(project, since, listed_since=listed_since)
    driver.step()
    assert driver.agreed
