"""The groups follow the store: by `patchsync analyse`, and by the task `workers.analyse.update`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from patchsync.analysis.quarantine import AnalysisQuarantine
from patchsync.fleet.services import SYNC_QUEUES
from standin.process import TOKEN, StandinProcess
from tests.support.grouping import analysed, groups, message_ids, probe, revise, together
from tests.support.inprocess import Workers
from tests.support.installation import Installation, configured
from tests.support.pushing import SINKS, Pushing, placed_store

NOTHING = '[analysis]\nengine = "none"\n'


@pytest.fixture
def installation(
    synced: Path,
    tmp_path: Path,
    shared_standin: StandinProcess,
    workers: Workers,
    request: pytest.FixtureRequest,
) -> Installation:
    """In step with its Patchwork, without groups yet; the parameter stands in its configuration."""
    extra = getattr(request, "param", SINKS)
    return placed_store(synced, tmp_path, shared_standin, extra, workers)


def test_by_hand(installation: Installation) -> None:
    """All mails are in a group, once; a revision joins its patch; nothing new changes nothing."""
    analysed(installation)
    before = groups(installation)
    assert {each for group in before for each in group} == set(message_ids(installation))
    first = installation.ids("sample").pop()
    new = revise(installation.patchwork, first)
    installation.sync()
    analysed(installation)
    assert together(installation, first, new)
    text = installation.config.patch_groups.read_bytes()
    analysed(installation)
    assert installation.config.patch_groups.read_bytes() == text
    analysed(installation, "--rebuild")
    assert installation.config.patch_groups.read_bytes() == text


def test_status_tells_how_it_went(installation: Installation) -> None:
    """Never yet; then when, and what it did; what failed stands there until one goes through."""
    assert "analysis (builtin): never went through yet" in installation.patchsync("status").stdout
    story = analysed(installation).partition(": ")[2].strip()
    told = installation.patchsync("status").stdout
    assert f"analysis (builtin): {story}" in told
    assert "FAILED" not in told
    groups_file = installation.config.patch_groups
    groups_file.write_text("somebody@example.org\n")
    failed = installation.patchsync("analyse")
    assert failed.returncode == 1
    assert str(groups_file) in failed.stderr
    assert groups_file.read_text() == "somebody@example.org\n"
    assert "FAILED" in installation.patchsync("status").stdout
    found = json.loads(installation.patchsync("status", "--json").stdout)["analysis"]
    assert str(groups_file) in found["trouble"]
    analysed(installation, "--overwrite")
    assert "FAILED" not in installation.patchsync("status").stdout


def test_status_tells_what_is_quarantined(installation: Installation) -> None:
    """Which mail, since when and why; not what failed once and is tried again."""
    quarantine = AnalysisQuarantine(installation.config)
    for name in ("<bomb@example.org>", "<bomb@example.org>", "<other@example.org>"):
        quarantine.note(name, "it took more than 30 s of CPU time")
    told = installation.patchsync("status").stdout
    assert re.search(r"quarantined <bomb@example.org> since .*, tried 2 times: it took more", told)
    assert "<other@example.org>" not in told
    (found,) = json.loads(installation.patchsync("status", "--json").stdout)["analysis"][
        "quarantined"
    ]
    assert (found["name"], found["tries"]) == ("<bomb@example.org>", 2)
    analysed(installation, "--rebuild")
    assert "quarantined <" not in installation.patchsync("status").stdout


def test_before_any_sync(tmp_path: Path, shared_standin: StandinProcess, workers: Workers) -> None:
    """There is nothing to analyse, which is no success."""
    fresh = configured(tmp_path, shared_standin, workers=workers)
    done = fresh.patchsync("analyse")
    assert done.returncode == 1
    assert "has no mails yet; run `patchsync sync` first" in done.stderr
    assert not fresh.config.patch_groups.exists()


@pytest.mark.parametrize("installation", [NOTHING], indirect=True)
def test_nobody_analyses(installation: Installation, workers: Workers) -> None:
    """Neither the command nor the fleet does, where the configuration says so."""
    done = installation.patchsync("analyse")
    assert done.returncode == 1
    assert "[analysis] engine" in done.stderr
    assert "analysis" not in installation.patchsync("status").stdout
    new = set(installation.patchwork.control.add("sample", 2))
    with workers.running(*SYNC_QUEUES, "analyse"):
        probe(installation)
    assert new <= installation.ids("sample")
    assert workers.of("analyse.update") == []
    assert not installation.config.patch_groups.exists()


@pytest.mark.parametrize("installation", ["[fleet]\nbatch_bytes = 65536\n"], indirect=True)
def test_many_batches_ask_for_one_update(installation: Installation, workers: Workers) -> None:
    """However many come in while nobody analyses: one message; and its update sees all of them."""
    new = set(installation.patchwork.control.add("sample", 100))
    with workers.running(*SYNC_QUEUES):
        probe(installation)
    assert new <= installation.ids("sample")
    assert installation.logs().count(" stored") > 3, "too few batches for this test"
    assert len(workers.of("analyse.update")) == 1
    with workers.running("analyse"):
        probe(installation)  # Anything that is sent has the worker begin.
    grouped = {each for group in groups(installation) for each in group}
    assert grouped == set(message_ids(installation))


def test_what_comes_in_is_grouped_and_pushed(
    installation: Installation, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revision joins its group, and the relation shows, by a message for each step."""
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    analysed(installation)
    pushing = Pushing(installation=installation)
    pushing.push()
    first = min(installation.ids("sample"))
    for _ in range(2):
        new = revise(installation.patchwork, first)
        with workers.running(*SYNC_QUEUES, "analyse", "push"):
            probe(installation)
        assert together(installation, first, new)
        assert any({first, new} <= relation for relation in pushing.relations())
    assert pushing.relations() == {each for each in groups(installation) if len(each) > 1}
