"""A plan beside others: nobody waits while groups are read, and it is taken over whole or not."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from push_fakes import IDENTITY, FakeProject, name_of

from patchsync.config import Config, load
from patchsync.errors import LockHeld, StoreUnavailable, TryAgainLater
from patchsync.push import ledger as ledger_module
from patchsync.push.annotations import ProjectFacts
from patchsync.push.drafting import Drafting
from patchsync.push.entries import CheckValue, Claimed, Sink, encode
from patchsync.push.identity import Identity
from patchsync.push.ledger import Ledger
from patchsync.push.plan import RULES, Planned, plan
from patchsync.store import sqlite_file

CHECKS = """
[push.check]
description = "{% if later %}it has later revisions{% else %}it is the newest{% endif %}"
"""
GROUPS = [[1, 3], [4, 5, 6], [7]]
PATCHES = 9
ANSWER = 60.0


class Planner:
    """Plans with groups of the first patches; each at work has a ledger of its own."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        file = folder / "patchsync.toml"
        file.write_text(
            '[mbox.patchwork]\nurl = "https://patchwork.example.org"\n'
            f'projects = [{{ id = "linux" }}]\n[push]\nsinks = ["check", "relation"]\n'
            f'groups = "groups"\n{extra}'
        )
        self.config: Config = load(file)
        self.path = folder / "ledger.sqlite"
        self.project = FakeProject(folder / "index", range(1, PATCHES + 1))
        facts = ProjectFacts(list_archive_url_format="https://lists.example.org/{}")
        ours = {1: replace(IDENTITY.projects[1], facts=facts)}
        self.identity = Identity(user=IDENTITY.user, projects=ours)

    def write(self, groups: list[list[int]]) -> None:
        lines = (" ".join(map(name_of, group)) for group in groups)
        self.config.patch_groups.write_text("".join(f"{line}\n" for line in lines))

    def plan(self, ledger: Ledger) -> Planned:
        return plan(self.config, ledger, cast("Any", [self.project]), self.identity)

    def contents(self) -> list[list[tuple[Any, ...]]]:
        """All that a plan writes."""
        tables = ("entry", "named", "planned", "note WHERE name != 'groups'")
        with closing(sqlite3.connect(self.path)) as sql:
            return [sorted(sql.execute(f"SELECT * FROM {table}"), key=repr) for table in tables]


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    planner = Planner(tmp_path, CHECKS)
    planner.write(GROUPS)
    return planner


@pytest.fixture
def ledger(planner: Planner) -> Iterator[Ledger]:
    with Ledger(planner.path) as ledger:
        ledger.set_complete()
        yield ledger


def in_child(work: Callable[[], object]) -> int:
    """A process that does the work, and ends with 0 if that was done; with no ledger open."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have something happen once the first plan has looked at its groups."""
    look_at, acts = Drafting.look_at, [act]

    def looked_at(drafting: Drafting, *groups: Any) -> None:
        look_at(drafting, *groups)
        if acts:
            acts.pop()()

    monkeypatch.setattr(Drafting, "look_at", looked_at)


def test_a_send_beside_a_plan_is_not_held_up(
    planner: Planner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process looks at groups we claim, send and note, and none of it waits."""
    planner.plan(ledger)
    planner.write([[1, 2, 3], [4, 5, 6], [7, 8]])
    reading, told = os.pipe()
    waiting, go_on = os.pipe()

    def stand_still() -> None:
        os.write(told, b"x")
        os.read(waiting, 1)

    def plan_beside() -> None:
        meanwhile(monkeypatch, stand_still)
        with Ledger(planner.path) as other:
            planner.plan(other)

    ledger.close()
    child = in_child(plan_beside)
    os.read(reading, 1)
    # Whoever finds the file locked is refused at once.
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.0)
    entry = ledger.entries(Sink.CHECK, [5])[5]
    claim = ledger.claim(entry, 1000.0, ANSWER)
    assert isinstance(claim, Claimed)
    assert ledger.arrived(entry, claim.claim, entry.desired, 1001.0)
    ledger.write_notes({"beside": "it"})
    os.write(go_on, b"x")
    assert os.waitpid(child, 0)[1] == 0
    assert ledger.entries(Sink.CHECK, [5])[5].observed == entry.desired
    assert ledger.note("beside") == "it"
    for group in ({1, 2, 3}, {4, 5, 6}, {7, 8}):
        entries = ledger.entries(Sink.RELATION, group)
        assert {each: entry.desired for each, entry in entries.items()} == dict.fromkeys(
            group, frozenset(group)
        )


@pytest.mark.parametrize("sent", [True, False])
def test_what_is_sent_while_groups_are_read_is_not_worded_anew(
    planner: Planner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    """As if it had been sent before: it links to a later revision, and stays. Else it is reworded.

    A plan that only knew what was shown when it began would have another check posted.
    """
    planner.plan(ledger)
    planner.write([[1, 2, 3], *GROUPS[1:]])
    entry = ledger.entries(Sink.CHECK, [1])[1]
    to_third, to_second = (f"https://lists.example.org/{name_of(n).strip('<>')}" for n in (3, 2))
    assert entry.desired.target_url == to_third

    def send() -> None:
        with Ledger(planner.path) as sender:
            claim = sender.claim(entry, 1000.0, ANSWER)
            assert isinstance(claim, Claimed)
            assert sender.arrived(entry, claim.claim, entry.desired, 1001.0)

    if sent:
        meanwhile(monkeypatch, send)
    planner.plan(ledger)
    now = ledger.entries(Sink.CHECK, [1])[1]
    assert now.observed == (entry.desired if sent else None)
    assert now.desired.target_url == (to_third if sent else to_second)


@pytest.mark.parametrize("first", [True, False])
def test_killed_at_any_statement_the_next_plan_ends_in_the_same_state(
    planner: Planner, ledger: Ledger, first: bool
) -> None:
    """The first plan; or one of groups that came, changed and went."""
    if not first:
        planner.plan(ledger)
        planner.write([[1, 2, 3], [4, 5], [7, 8]])
    ledger.close()
    before = planner.path.read_bytes()
    planner.plan(ledger)
    ledger.close()
    undisturbed = planner.contents()
    statement, killed = 1, True
    while killed:
        planner.path.write_bytes(before)
        child = in_child(partial(plan_until, planner, statement))
        killed = os.waitpid(child, 0)[1] != 0
        planner.plan(ledger)
        ledger.close()
        assert planner.contents() == undisturbed
        statement += 1
    assert statement > 20


def plan_until(planner: Planner, statement: int) -> None:
    """Plan, and end as by kill -9 before so many statements were executed."""
    left = statement

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            os._exit(9)

    with Ledger(planner.path) as ledger:
        assert ledger.lines is not None  # It is open.
        ledger._file.sql.set_trace_callback(count)
        planner.plan(ledger)


@pytest.mark.parametrize("what", ["undo", "retry"])
def test_what_somebody_withdraws_meanwhile_is_not_wanted_again(
    planner: Planner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Nor is it forgotten that all groups were to be looked at: the next plan does so."""
    planner.plan(ledger)
    planner.write([[1, 2, 3], *GROUPS[1:]])

    def act() -> None:
        with Ledger(planner.path) as other:
            other.undo(5.0) if what == "undo" else other.write_notes({RULES: None})

    meanwhile(monkeypatch, act)
    with pytest.raises(TryAgainLater, match="--undo or --retry"):
        planner.plan(ledger)
    desired = ledger.entries(Sink.CHECK, [1])[1].desired
    assert (desired is None) == (what == "undo")
    assert planner.plan(ledger).groups == len(GROUPS)


def test_one_process_plans_at_a_time(
    planner: Planner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one waits, and then says so; the first one goes on."""
    monkeypatch.setattr(ledger_module, "PLAN_WAIT", 0.0)

    def plan_too() -> None:
        with Ledger(planner.path) as other, pytest.raises(LockHeld):
            planner.plan(other)

    meanwhile(monkeypatch, plan_too)
    assert planner.plan(ledger).groups == len(GROUPS)


def test_a_ledger_that_is_deleted_meanwhile_gets_no_half_of_a_plan(
    planner: Planner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and is no damage."""
    meanwhile(monkeypatch, planner.path.unlink)
    with pytest.raises(StoreUnavailable, match="deleted while it was planned"):
        planner.plan(ledger)
    assert ledger.entries(Sink.CHECK, range(PATCHES)) == {}
    assert planner.plan(ledger).groups == len(GROUPS)


def test_an_error_on_the_way_leaves_the_ledger_as_it_was(
    planner: Planner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same ledger plans again."""
    before = planner.contents()

    def fail() -> None:
        raise TryAgainLater("it was written meanwhile")

    meanwhile(monkeypatch, fail)
    with pytest.raises(TryAgainLater):
        planner.plan(ledger)
    assert planner.contents() == before
    assert planner.plan(ledger).changed


def test_groups_that_nobody_wrote_since_are_not_read(
    planner: Planner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only once they were written some time before they were read: see `Changes`."""
    file = planner.config.patch_groups
    # A line as long as the one that it replaces, at the same time
    same_size = [[1, 8], *GROUPS[1:]]
    assert planner.plan(ledger).groups == len(GROUPS)
    at = file.stat().st_mtime_ns
    planner.write(same_size)
    os.utime(file, ns=(at, at))
    assert planner.plan(ledger).groups == 1
    os.utime(file, ns=(at - 10**10, at - 10**10))
    assert planner.plan(ledger).groups == 0
    with monkeypatch.context() as patched:
        patched.setattr("patchsync.analysis.groups.blake2b", None)
        assert planner.plan(ledger).groups == 0
    planner.project.gone_ids.add(8)
    assert planner.plan(ledger).groups == 1
    planner.write([[1, 9], *GROUPS[1:]])  # by a copy that keeps the time
    os.utime(file, ns=(at - 10**10, at - 10**10))
    assert planner.plan(ledger).groups == 1
    ledger.write_notes({RULES: None})
    assert planner.plan(ledger).groups == len(GROUPS)
    planner.write(GROUPS)
    os.utime(file, ns=(at, at))
    assert planner.plan(ledger).groups == 1


@given(st.builds(CheckValue, state=st.text(), description=st.text(), target_url=st.text()))
def test_a_check_is_spelt_as_the_others_are(value: CheckValue) -> None:
    """By what SQL compares: a ledger of before has it so."""
    assert encode(value) == json.dumps(vars(value), sort_keys=True)
    assert encode(frozenset({10, 9})) == json.dumps([9, 10])
