"""The groups follow the store: by `patchsync analyse`, and by the service `analyse`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from patchsync.analysis.groups import read_groups
from patchsync.backlog import queue_keys
from patchsync.errors import TryAgainLater
from patchsync.fleet import Fleet
from patchsync.services import SYNC_QUEUES
from patchsync.standin.process import TOKEN, StandinProcess, running_standin
from tests.faults.conftest import redis_of
from tests.integration.conftest import Installation, wait_until
from tests.integration.pushing import (
    PROJECTS,
    SINKS,
    STANDIN,
    Pushing,
    placed_store,
    synced_store,
)

NOTHING = '[analysis]\nengine = "none"\n'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synced_store(tmp_path_factory.mktemp("synced"))


@pytest.fixture
def installation(
    store: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """In step with its Patchwork, without groups yet; the parameter stands in its configuration."""
    with running_standin(*STANDIN) as standin:
        yield placed_store(store, tmp_path, standin, getattr(request, "param", SINKS))


@contextmanager
def fleet(installation: Installation, *services: str) -> Iterator[Fleet]:
    """Redis and some services; no beat, which would ask for what a message was to ask for."""
    with Fleet(installation.config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(services)
        yield fleet
        fleet.kill()


def message_ids(installation: Installation) -> dict[int, str]:
    """Of all patches in the store."""
    lines = [line.split(" ") for project in PROJECTS for line in installation.lines(project)]
    return {int(number): name for _, name, _, number in lines}


def groups(installation: Installation) -> set[frozenset[int]]:
    """The patch ids of each group; none while there is no file."""
    ids: dict[str, set[int]] = {}
    for number, name in message_ids(installation).items():
        ids.setdefault(name, set()).add(number)
    try:
        found = [each.message_ids for each in read_groups(installation.config.patch_groups)]
    except TryAgainLater:
        return set()
    return {frozenset().union(*(ids[name] for name in names)) for names in found}


def together(installation: Installation, *patches: int) -> bool:
    """Whether patches are in one group."""
    return any(set(patches) <= group for group in groups(installation))


def revise(standin: StandinProcess, patch_id: int) -> int:
    """A new patch of `sample` that says and does the same; its id."""
    (new,) = standin.control.add("sample")
    mail = requests.get(f"{standin.url}/patch/{patch_id}/mbox/", timeout=10).text
    standin.control.rewrite(new, mail.partition("\n\n")[2])
    return new


def probe(installation: Installation) -> None:
    """Have the fleet look for new patches."""
    done = installation.patchsync("enqueue", "fetch.probe", "sample")
    assert done.returncode == 0, done.stderr


def analysed(installation: Installation, *arguments: str) -> str:
    """`patchsync analyse`, which must succeed; returns what it said."""
    done = installation.patchsync("analyse", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


@pytest.mark.parametrize("installation", [NOTHING], indirect=True)
def test_nobody_analyses(installation: Installation) -> None:
    """Neither the command nor the fleet does, where the configuration says so."""
    done = installation.patchsync("analyse")
    assert done.returncode == 1
    assert "[analysis] engine" in done.stderr
    assert "analysis" not in installation.patchsync("status").stdout
    new = set(installation.patchwork.control.add("sample", 2))
    with fleet(installation, *SYNC_QUEUES):
        probe(installation)
        wait_until(lambda: new <= installation.ids("sample"), "they are stored", 60)
        wait_until(lambda: not in_flight(installation), "the round is over")
        assert waiting(installation) == 0
    assert not installation.config.patch_groups.exists()


def in_flight(installation: Installation) -> int:
    """Pages of `sample` that somebody works on."""
    found = installation.status("sample")["in_flight"]
    assert isinstance(found, int)
    return found


def waiting(installation: Installation) -> int:
    """Messages that wait for the service `analyse`."""
    client = redis_of(installation)
    keys = queue_keys(installation.config.namespace, "analyse")
    return sum(int(client.llen(key)) for key in keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("installation", ["[fleet]\nbatch_bytes = 65536\n"], indirect=True)
def test_many_batches_ask_for_one_update(installation: Installation) -> None:
    """However many come in while nobody analyses: one message; and its update sees all of them."""
    new = set(installation.patchwork.control.add("sample", 100))
    with fleet(installation, *SYNC_QUEUES) as ours:
        probe(installation)
        wait_until(lambda: new <= installation.ids("sample"), "they are stored", 60)
        wait_until(lambda: not in_flight(installation), "the round is over")
        assert installation.logs().count(" stored") > 3, "too few batches for this test"
        assert waiting(installation) == 1
        ours.ensure(["analyse"])
        wait_until(lambda: groups(installation), "there are groups", 60)
        grouped = {each for group in groups(installation) for each in group}
        assert grouped == set(message_ids(installation))


def test_what_comes_in_is_grouped(installation: Installation) -> None:
    """Patches that are revisions of one another arrive: seconds later they are one group."""
    first = min(installation.ids("sample"))
    with fleet(installation, *SYNC_QUEUES, "analyse"):
        for _ in range(2):
            new = revise(installation.patchwork, first)
            probe(installation)
            wait_until(lambda: new in installation.ids("sample"), "it is stored", 60)  # noqa: B023
            wait_until(lambda: together(installation, first, new), "they are a group", 60)  # noqa: B023
    assert "Traceback" not in installation.logs()


def test_what_is_grouped_is_pushed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relation shows in Patchwork by itself; a message for each step, and no beat."""
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    analysed(installation)
    pushing = Pushing(installation=installation)
    pushing.push()
    first = min(installation.ids("sample"))
    with fleet(installation, *SYNC_QUEUES, "analyse", "push"):
        new = revise(installation.patchwork, first)
        probe(installation)
        wait_until(
            lambda: any({first, new} <= relation for relation in pushing.relations()),
            "it shows",
            60,
        )
    assert pushing.relations() == {each for each in groups(installation) if len(each) > 1}
