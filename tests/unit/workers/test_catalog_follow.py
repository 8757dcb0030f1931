"""The catalog follows the analysis, or the index where there is none, and is in nobody's way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from worker_fakes import deliver

from patchsync.analysis.engine import OnProgress, Updated
from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.revisions import catch_up as catch_up_module
from patchsync.revisions.catalog import Catalog
from tests.support.inprocess import Workers
from tests.support.installation import Installation
from workers import analyse, catalog

NO_ENGINE = '[analysis]\nengine = "none"\n'
SAME = Updated(groups=0, mails=3, commits=0, summary="nothing changed")


@pytest.fixture
def updated(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates of the groups that end well."""
    monkeypatch.setattr(analyse, "update_groups", lambda config, on_progress: SAME)


def catching_up(monkeypatch: pytest.MonkeyPatch, work: Callable[[OnProgress], bool]) -> list[float]:
    """Has the catalog be brought up to date so; returns how long each waits for others."""
    waits = []

    def fake(config: Config, on_progress: OnProgress, *, wait: float) -> bool:
        waits.append(wait)
        return work(on_progress)

    monkeypatch.setattr(catch_up_module, "catch_up", fake)
    return waits


def bring_mails(workers: Workers) -> None:
    """A round that fetches and stores what there is."""
    deliver("fetch.probe", "sample")
    (page,) = workers.of("fetch.fetch_page")
    deliver("fetch.fetch_page", *page.args)
    for part in workers.of("index.index_mails"):
        deliver("index.index_mails", *part.args)


def patches_of(config: Config) -> set[int]:
    """The patches that the catalog has."""
    with Catalog.open(config) as opened:
        mails = [mail for each in opened.projects() for mail in opened.page(each.project_id)]
    return {patch.patch_id for mail in mails for patch in mail.patches}


def test_an_analysis_brings_it_up_to_date(
    installation: Installation, workers: Workers, updated: None
) -> None:
    """With what was stored; the index alone leaves that to it."""
    bring_mails(workers)
    assert patches_of(installation.config) == set()
    deliver("analyse.update", "sample")
    assert patches_of(installation.config) == installation.ids("sample") != set()


@pytest.mark.parametrize("installation", [NO_ENGINE], indirect=True)
def test_without_an_engine_the_index_does(installation: Installation, workers: Workers) -> None:
    """Since nothing follows it."""
    bring_mails(workers)
    assert patches_of(installation.config) == installation.ids("sample") != set()


def test_what_takes_long_goes_on_in_another_task(
    workers: Workers, updated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped when its time is over, and waits for nobody."""

    def endless(on_progress: OnProgress) -> bool:
        while True:
            on_progress("reading mails", 1, 2)

    waits = catching_up(monkeypatch, endless)
    monkeypatch.setattr(analyse, "CATALOG_SECONDS", 0)
    deliver("analyse.update", "sample")
    (again,) = workers.sent
    assert (again.task, again.args, waits) == ("analyse.update", ["sample"], [0])


def test_what_the_limit_of_a_task_ends_goes_on_too(
    workers: Workers, updated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a first reading of many groups may be."""

    def too_long(on_progress: OnProgress) -> bool:
        raise SoftTimeLimitExceeded

    catching_up(monkeypatch, too_long)
    deliver("analyse.update", "sample")
    assert [again.task for again in workers.sent] == ["analyse.update"]


def test_its_troubles_are_not_the_tasks(
    workers: Workers, updated: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are logged; the analysis went well."""

    def fails(on_progress: OnProgress) -> bool:
        raise GiveUp("patch-groups is damaged")

    catching_up(monkeypatch, fails)
    deliver("analyse.update", "sample")
    assert "catalog: patch-groups is damaged" in workers.log.getvalue()
    assert workers.sent == []
    assert catalog.follow(1)
