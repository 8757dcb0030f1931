"""The whole circle by processes: a patch arrives, is stored, grouped, and its relation shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from standin.process import TOKEN, StandinProcess
from tests.support.grouping import analysed, groups, probe, revise, together
from tests.support.installation import wait_until
from tests.support.pushing import SINKS, Pushing, placed_store


def test_what_comes_in_is_grouped_and_pushed(
    synced: Path, tmp_path: Path, shared_standin: StandinProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a message for each step, and no beat, which would ask for what a message was to."""
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    installation = placed_store(synced, tmp_path, shared_standin, SINKS)
    with Supervisor(installation.config) as fleet:
        fleet.ensure_redis()
        analysed(installation)
        pushing = Pushing(installation=installation)
        pushing.push()
        fleet.ensure((*SYNC_QUEUES, "analyse", "push"))
        first = min(installation.ids("sample"))
        new = revise(installation.patchwork, first)
        probe(installation)
        wait_until(lambda: together(installation, first, new), "they are a group")
        wait_until(
            lambda: any({first, new} <= relation for relation in pushing.relations()), "it shows"
        )
        fleet.kill()
    assert pushing.relations() == {each for each in groups(installation) if len(each) > 1}
    assert "Traceback" not in installation.logs()
