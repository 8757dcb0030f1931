"""`patchsync status` says what push stands at: from the ledger, asking nobody, making nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from patchsync import status as module
from patchsync.cli import main
from patchsync.config import Config, load
from patchsync.fleet.heartbeat import Member
from patchsync.patchwork.schemas import User
from patchsync.push.annotations import ProjectFacts
from patchsync.push.entries import CheckValue, Desired, Entry, Sink, StateValue, TroubleKind
from patchsync.push.identity import Identity, MaintainedProject, note_identity
from patchsync.push.ledger import Ledger
from patchsync.push.ledger_file import ledger_path
from patchsync.push.service import PushService
from patchsync.push.status import LATEST_TROUBLES, LONGEST_TEXT, PushStatus, push_status
from patchsync.status import FleetStatus
from patchsync.sync.projects import Project, find_project, locate_project_offline, settle
from patchsync.sync.records import RoundRecord

VALUE = CheckValue(state="success", description="", target_url="")
TABLES = """
[mbox.patchwork]
url = "https://patchwork.example.org"
projects = [{ id = 1, list_email = "one@example.org" }, { id = 2, list_email = "two@example.org" }]
[push]
sinks = ["relation", "check"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two projects that have their place in the store; two sinks are on."""
    (tmp_path / "patchsync.toml").write_text(TABLES)
    config = load(tmp_path / "patchsync.toml")
    for key, name in (("1", "one"), ("2", "two")):
        settle(config, locate_project_offline(config, key, name))
    return config


@pytest.fixture
def ledger(config: Config) -> Iterator[Ledger]:
    """A ledger that is complete, with projects that we maintain and somebody agreed to."""
    maintained = {
        number: MaintainedProject(key=str(number), link_name=name, facts=ProjectFacts())
        for number, name in ((1, "one"), (2, "two"))
    }
    with Ledger(ledger_path(config)) as ledger:
        ledger.set_complete()
        note_identity(ledger, Identity(user=User(id=1, username="pasta"), projects=maintained))
        ledger.set_agreed({1, 2})
        yield ledger


def project(config: Config) -> Project:
    """The first project's place."""
    found = find_project(config, "1")
    assert found
    return found


def want(ledger: Ledger, *patch_ids: int, project_id: int = 1) -> None:
    """Have checks desired."""
    ledger.set_desired(Desired(number, project_id, Sink.CHECK, VALUE) for number in patch_ids)


def check(patch_id: int) -> Entry[CheckValue]:
    """The entry that `want` makes."""
    return Entry(Sink.CHECK, patch_id, 1, VALUE, None, False)


def told(config: Config, *arguments: str) -> Result:
    """What `patchsync status` says."""
    return CliRunner().invoke(main, ["-c", str(config.source), "status", *arguments])


def push_lines(config: Config, project: str = "1") -> list[str]:
    """What it says of push with a project."""
    words = ("push ", "NOT PUSHING", "patch ", "            ")
    said = told(config, "--project", project).stdout.partition("\n\n")[2]
    return [line[2:] for line in said.splitlines() if line[2:].startswith(words)]


def test_of_each_project_and_sink_its_own_numbers(config: Config, ledger: Ledger) -> None:
    """Wanted, shown, pending and in trouble, of the sinks that are on."""
    want(ledger, 1, 2, 3, 4)
    want(ledger, 5, project_id=2)
    ledger.observe(Sink.CHECK, 1, VALUE, 5.0)
    ledger.set_trouble(check(2), TroubleKind.NO_RIGHT, "no", 6.0)
    ledger.set_desired([Desired(1, 1, Sink.STATE, StateValue(state="new", commit_ref=None))])
    assert push_lines(config)[:2] == [
        "push        relation: 0 wanted, 0 shown, 0 pending, 0 in trouble",
        "push        check: 4 wanted, 1 shown, 2 pending, 1 in trouble",
    ]
    assert push_lines(config, "2")[1:] == [
        "push        check: 1 wanted, 0 shown, 1 pending, 0 in trouble"
    ]


def test_what_people_decided_otherwise_is_no_trouble(config: Config, ledger: Ledger) -> None:
    """It is counted apart and told as that, and there is no remedy to be taken."""
    want(ledger, 1, 2)
    ledger.set_trouble(check(2), TroubleKind.REPORT, "somebody chose otherwise", 6.0)
    numbers, told_of = push_lines(config)[1:]
    assert numbers.endswith("1 pending, 0 in trouble; 1 as people have them")
    assert told_of.startswith("patch 2") and "no trouble" in told_of
    assert told_of.endswith("somebody chose otherwise")


def test_the_latest_troubles_with_their_kind_and_text(config: Config, ledger: Ledger) -> None:
    """Of this project alone, a few, each in one line of bounded length; and how to go on."""
    want(ledger, *range(1, 11))
    want(ledger, 20, project_id=2)
    ledger.set_trouble(check(20), TroubleKind.MISTAKE, "of another", 99.0)
    for number in range(1, 11):
        text = "403:\n  no " + "right " * 200
        ledger.set_trouble(check(number), TroubleKind.NO_RIGHT, text, float(number))
    lines = push_lines(config)[2:]
    assert len(lines) == LATEST_TROUBLES + 1
    assert lines[0].startswith(
        "patch 10    check, no right, 1970-01-01 00:00:10 UTC: 403: no right"
    )
    assert all(len(line) < LONGEST_TEXT + 60 for line in lines)
    assert lines[-1].endswith("`patchsync push --retry`")


def test_checks_that_wait_for_the_next_day(
    config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told with the reason and its end, of each project its own, as no trouble."""
    monkeypatch.setattr("patchsync.push.status.time", SimpleNamespace(time=lambda: 5.0))
    want(ledger, 1, 2, 3)
    want(ledger, 4, project_id=2)
    with ledger.draft() as draft:
        draft.add((), [(1, 7), (2, 7), (3, 7), (4, 7), (5, 8), (6, 8)])
        draft.take_over()
    for patch_id in (3, 3, 5):
        assert ledger.daily_checks.take(patch_id, 5.0, 2)
    assert not any("waits" in line for line in push_lines(config))
    config.source.write_text(f"{TABLES}[push.check]\nper_group_and_day = 2\n")
    assert push_lines(config)[1:] == [
        "push        check: 3 wanted, 0 shown, 3 pending, 0 in trouble",
        "push waits  3 checks until 00:00 UTC: the revisions of one patch get 2 checks a day,"
        " which is [push.check] per_group_and_day",
    ]
    assert push_lines(config, "2")[-1].startswith("push waits  1 checks until")


def test_what_passes_by_itself_wants_no_remedy(config: Config, ledger: Ledger) -> None:
    """After a 409 the next round tries again."""
    want(ledger, 1)
    ledger.set_trouble(check(1), TroubleKind.CHANGED, "409", 5.0)
    assert not [line for line in push_lines(config) if "--retry" in line]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda ledger: None, None),
        (lambda ledger: ledger.set_agreed({2}), "nobody agreed to it yet"),
        (lambda ledger: ledger.undo(5.0), "was withdrawn"),
        (  # It is configured since: nobody asked who maintains it.
            lambda ledger: note_identity(
                ledger, Identity(user=User(id=1, username="pasta"), projects={})
            ),
            None,
        ),
        (
            lambda ledger: note_identity(
                ledger,
                Identity(user=User(id=1, username="pasta"), projects={}, others=("one",)),
            ),
            "does not maintain this project; an admin of the Patchwork can make it a maintainer",
        ),
    ],
)
def test_why_nothing_is_pushed(
    config: Config, ledger: Ledger, change: Callable[[Ledger], None], expected: str | None
) -> None:
    """Whoever has to do something is told what; and nothing is said where all is well."""
    change(ledger)
    why = [line for line in push_lines(config) if line.startswith("NOT PUSHING")]
    assert [expected is not None and expected in line for line in why] == [True] * len(why)
    assert bool(why) is (expected is not None)


@pytest.mark.parametrize(
    ("change", "may"),
    [
        (lambda ledger: None, True),
        (lambda ledger: ledger.undo(5.0), False),
        (lambda ledger: ledger.set_agreed({2}), False),
        (lambda ledger: ledger.set_agreed(()), False),
    ],
)
def test_a_fleet_pushes_where_nothing_is_said_against_it(
    config: Config, ledger: Ledger, change: Callable[[Ledger], None], may: bool
) -> None:
    """The service goes by the same as the status, and asks nobody for that."""
    change(ledger)
    with PushService(config, cast("Any", None)) as service:
        assert service.may_push(1) is may
        assert (service.status(1).obstacle("1") is None) is may
        assert (service.obstacle(project(config)) is None) is may


def test_a_ledger_that_is_not_rebuilt_yet(config: Config) -> None:
    """It is said, and what goes on with it; a fleet does not begin."""
    with Ledger(ledger_path(config)) as ledger:
        ledger.set_agreed({1})
    (line,) = [line for line in push_lines(config) if line.startswith("NOT")]
    assert "does not know yet" in line
    assert "`patchsync push --project 1`" in line
    with PushService(config, cast("Any", None)) as service:
        assert not service.may_push(1)


def test_no_ledger_is_made(config: Config) -> None:
    """Where nothing was pushed yet all is zero, and the folder stays as it was."""
    path = ledger_path(config)
    before = sorted(path.parent.iterdir())
    assert not push_status(config, project(config)).begun
    assert "nobody agreed" in push_lines(config)[-1]
    assert sorted(path.parent.iterdir()) == before


def test_a_damaged_ledger_is_told_and_the_rest_too(config: Config) -> None:
    """It names the file; the command still shows all else."""
    path = ledger_path(config)
    path.write_bytes(b"no database" * 500)
    (line,) = [line for line in push_lines(config) if line.startswith("NOT")]
    assert str(path) in line and "delete it" in line


def test_as_json(config: Config, ledger: Ledger) -> None:
    """The same for machines, by name."""
    want(ledger, 1, 2)
    ledger.set_trouble(check(2), TroubleKind.GONE, "404", 6.0)
    found: dict[str, Any] = json.loads(told(config, "--json").stdout)["projects"][0]["push"]
    assert found["sinks"]["check"] == {"wanted": 2, "shown": 0, "pending": 1, "trouble": 1} | {
        "respected": 0
    }
    assert found["troubles"] == [
        {"patch_id": 2, "sink": "check", "kind": "gone", "text": "404", "at": 6.0}
    ]
    assert (found["confirmed"], found["undone"], found["complete"]) == (True, False, True)


def test_nothing_of_it_where_nothing_is_pushed(config: Config, ledger: Ledger) -> None:
    """Without a sink neither the numbers nor the service are told of."""
    config.source.write_text(TABLES.partition("[push]")[0])
    off = load(config.source)
    assert push_lines(off) == []
    assert json.loads(told(off, "--json").stdout)["projects"][0]["push"] is None


@pytest.mark.parametrize("wanted", [True, False])
def test_the_service_is_missed_only_where_it_is_wanted(
    config: Config, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    """`none` stands there for each service that this configuration needs."""
    if not wanted:
        config.source.write_text(TABLES.partition("[push]")[0])
    fleet = FleetStatus(members=(Member(service="index", host="here", pid=7),))
    monkeypatch.setattr("patchsync.cli.status.fleet_status", lambda config, client: fleet)
    said = told(config).stdout
    assert "index       process 7 on here" in said
    assert ("push        none: nothing is annotated" in said) is wanted


@pytest.mark.parametrize(
    ("total", "of_push", "waits"),
    [(8, 3, []), (9, 4, ["push"]), (7, 2, []), (9, 0, ["sync"]), (10, 4, ["push", "sync"])],
)
def test_whose_share_of_the_day_is_spent(
    config: Config, monkeypatch: pytest.MonkeyPatch, total: int, of_push: int, waits: list[str]
) -> None:
    """Who waits is told, with the reason and until when; the other goes on."""
    config.source.write_text(f"{TABLES}requests_share = 0.4\n[patchwork]\nrequests_per_day = 10\n")
    fleet = FleetStatus(
        requests_today=total, daily_budget=10, push_requests_today=of_push, push_budget=4
    )
    monkeypatch.setattr("patchsync.cli.status.fleet_status", lambda config, client: fleet)
    lines = [line.strip() for line in told(config).stdout.splitlines()]
    assert f"requests    {total} of 10 today (UTC), {of_push} of 4 for push" in lines
    said = [line.partition(" ")[0] for line in lines if "until 00:00 UTC: its share" in line]
    assert said == waits


def test_what_is_pending_does_not_change_the_exit_status(
    config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project in step is in step, whatever is still to be pushed."""
    want(ledger, 1)
    done = RoundRecord(at=1.0, highest=None, count=0, known=0, in_sync=True, pages=0, requests=1)
    monkeypatch.setattr(module, "last_round", lambda project: done)
    assert push_status(config, project(config)) != PushStatus()
    assert told(config).exit_code == 0
