"""A plan: what it costs follows what changed, and nobody is forgotten who was in a group."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from push_fakes import IDENTITY, FakeProject, name_of

from patchsync.config import Config, load
from patchsync.push.entries import Entry, Sink, Value
from patchsync.push.jobs import cut
from patchsync.push.ledger import Ledger
from patchsync.push.plan import Planned, plan

GROUPS = 10_000


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "https://patchwork.example.org"\nprojects = [{ id = "linux" }]\n'
        '[push]\nsinks = ["check", "relation"]\ngroups = "groups"\n'
    )
    return load(file)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_complete()
        yield ledger


class Planner:
    """Plans of one configuration."""

    def __init__(self, config: Config, ledger: Ledger, patches: int) -> None:
        self.config, self.ledger = config, ledger
        self.project = FakeProject(config.source.with_name("index"), range(1, patches + 1))

    def plan(self, groups: Iterable[Iterable[int]]) -> Planned:
        lines = (" ".join(map(name_of, group)) for group in groups)
        self.config.patch_groups.write_text("".join(f"{line}\n" for line in lines))
        return plan(self.config, self.ledger, cast("Any", [self.project]), IDENTITY)

    def pending(self) -> list[Entry[Any]]:
        return self.ledger.pending(("check", "relation"), [1], now=0, answer_seconds=0)

    def show_all(self) -> None:
        with closing(sqlite3.connect(self.config.source.with_name("ledger.sqlite"))) as sql, sql:
            sql.execute("UPDATE entry SET shown = wanted")

    def desired(self, patch_id: int, sink: Sink = Sink.RELATION) -> Value | None:
        entry = self.ledger.entries(sink, [patch_id]).get(patch_id)
        return entry.desired if entry else None


def test_what_it_costs_follows_the_change(config: Config, ledger: Ledger) -> None:
    """Of 10,000 groups 10 grew: these are looked at, and sent; then none."""
    # Without checks, whose wording is most of the time of a first plan.
    push = config.push.model_copy(update={"sinks": ("relation",)})
    planner = Planner(config.model_copy(update={"push": push}), ledger, 2 * GROUPS + 10)
    groups = [[2 * n + 1, 2 * n + 2] for n in range(GROUPS)]
    assert planner.plan(groups).groups == GROUPS
    planner.show_all()
    for n in range(10):
        groups[n * 1000].append(2 * GROUPS + 1 + n)
    assert planner.plan(groups) == Planned(groups=10, changed=30)
    jobs = list(cut(planner.pending(), {1: "linux"}))
    assert [len(job.patch_ids) for job in jobs] == [3] * 10
    planner.show_all()
    assert planner.plan(groups) == Planned(groups=0, changed=0)


@pytest.mark.parametrize("groups", [[[1, 2], [4]], [[1, 2, 4]], [[2], [1]]])
def test_who_is_in_no_line_any_more_wants_nothing(
    config: Config, ledger: Ledger, groups: list[list[int]]
) -> None:
    """A mail of a group that is another now, and that PaStA names nowhere."""
    planner = Planner(config, ledger, 4)
    planner.plan([[1, 2, 3], [4]])
    assert planner.desired(3) == frozenset({1, 2, 3})
    planner.plan(groups)
    assert planner.desired(3) is None
    assert planner.desired(3, Sink.CHECK) is None


def test_who_goes_to_another_group_wants_that(config: Config, ledger: Ledger) -> None:
    """Whichever of the two lines comes first."""
    planner = Planner(config, ledger, 4)
    for groups in ([[1, 2, 3], [4]], [[1, 2], [3, 4]], [[4], [2, 3], [1]], [[1, 4, 3], [2]]):
        planner.plan(groups)
        for group in groups:
            expected = frozenset(group) if len(group) > 1 else None
            assert {planner.desired(each) for each in group} == {expected}


def test_who_became_gone_is_wanted_by_nobody(config: Config, ledger: Ledger) -> None:
    """Its group is looked at though its line is the same."""
    planner = Planner(config, ledger, 3)
    groups = [[1, 2, 3]]
    planner.plan(groups)
    planner.project.gone_ids.add(3)
    assert planner.plan(groups).groups == 1
    assert [planner.desired(each) for each in (1, 2, 3)] == [{1, 2}, {1, 2}, None]
