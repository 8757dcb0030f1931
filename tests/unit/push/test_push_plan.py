"""A plan: what it costs follows what changed, and nobody is forgotten who was in a group."""

from __future__ import annotations

import sqlite3
import tracemalloc
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from push_fakes import IDENTITY, FakeProject, name_of

from patchsync.config import Config, load
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.push.entries import Desired, Entry, Sink, Value
from patchsync.push.jobs import cut
from patchsync.push.ledger import Ledger
from patchsync.push.plan import Planned, plan
from patchsync.push.relation.executor import RelationSender
from patchsync.push.relation.neighbourhood import MOST_PATCHES

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

    def plan(self, groups: Iterable[Iterable[int]], *, fewer_groups: bool = False) -> Planned:
        lines = (" ".join(map(name_of, group)) for group in groups)
        self.config.patch_groups.write_text("".join(f"{line}\n" for line in lines))
        projects = cast("Any", [self.project])
        return plan(self.config, self.ledger, projects, IDENTITY, fewer_groups=fewer_groups)

    def pending(self) -> list[Entry[Any]]:
        return self.ledger.pending(("check", "relation"), [1], now=0, answer_seconds=0)

    def show_all(self) -> None:
        with closing(sqlite3.connect(self.config.source.with_name("ledger.sqlite"))) as sql, sql:
            sql.execute("UPDATE entry SET shown = wanted")

    def make_old(self) -> None:
        """The ledger is as an earlier version left it."""
        self.ledger.close()
        with closing(sqlite3.connect(self.config.source.with_name("ledger.sqlite"))) as sql, sql:
            for table in ("named", "parted", "daily_check"):
                sql.execute(f"DROP TABLE {table}")
            sql.execute("UPDATE note SET text = 'of before' WHERE name = 'rules'")

    def desired(self, patch_id: int, sink: Sink = Sink.RELATION) -> Value | None:
        entry = self.ledger.entries(sink, [patch_id]).get(patch_id)
        return entry.desired if entry else None


def test_a_line_that_vanishes_takes_its_annotations_along(config: Config, ledger: Ledger) -> None:
    """In each sink, also where none but checks are on; the mails are named nowhere else."""
    push = config.push.model_copy(update={"sinks": ("check",)})
    for given in (config, config.model_copy(update={"push": push})):
        planner = Planner(given, ledger, 40)
        groups = [[1, 2, 3], [4, 5], *([n] for n in range(6, 40))]
        planner.plan(groups)
        planner.show_all()
        assert planner.plan(groups[1:]).changed == 3 * len(given.push.sinks)
        assert planner.desired(1, Sink.CHECK) is None
        assert planner.desired(4, Sink.CHECK) is not None
        assert {entry.patch_id for entry in planner.pending()} == {1, 2, 3}
        planner.plan(groups)
        assert planner.desired(1, Sink.CHECK) is not None


@pytest.mark.parametrize("left", [0, 1, 30, 85])
def test_groups_that_were_cut_take_nothing_away(config: Config, ledger: Ledger, left: int) -> None:
    """It is told, and withdrawn only where somebody says that it is meant."""
    planner = Planner(config, ledger, 200)
    groups = [[2 * n + 1, 2 * n + 2] for n in range(100)]
    planner.plan(groups)
    planner.show_all()
    with pytest.raises((GiveUp, TryAgainLater), match=r"--fewer-groups|is empty"):
        planner.plan(groups[:left])
    assert planner.pending() == []
    assert planner.plan(groups) == Planned(groups=0, changed=0)
    if left:
        assert planner.plan(groups[:left], fewer_groups=True).changed == 4 * (100 - left)


def test_fewer_lines_that_name_all_mails_are_not_cut(config: Config, ledger: Ledger) -> None:
    """PaStA made one group of many, or many of one."""
    planner = Planner(config, ledger, 100)
    pairs = [[2 * n + 1, 2 * n + 2] for n in range(50)]
    for groups in (pairs, [range(1, 101)], pairs, [[n] for n in range(1, 101)]):
        planner.plan(groups)
    assert planner.desired(1) is None


def test_a_ledger_of_an_earlier_version_learns_the_lines(config: Config, ledger: Ledger) -> None:
    """All groups are looked at once more; then one may vanish."""
    planner = Planner(config, ledger, 40)
    groups = [[1, 2, 3], [4, 5], *([n] for n in range(6, 40))]
    planner.plan(groups)
    planner.make_old()
    assert planner.plan(groups) == Planned(groups=36, changed=0)
    assert planner.plan(groups[1:]).changed == 6


def test_what_vanished_under_an_earlier_version_is_withdrawn(
    config: Config, ledger: Ledger
) -> None:
    """At the first plan; what the stores do not have, or Patchwork lost, stays as it is."""
    planner = Planner(config, ledger, 40)
    groups = [[1, 2, 3], [4, 5], [6, 7], *([n] for n in range(8, 40))]
    planner.plan([*groups, [40, 41]])
    others = [Desired(41, 1, Sink.CHECK, planner.desired(1, Sink.CHECK))]
    ledger.set_desired(others)
    planner.plan(groups[1:], fewer_groups=True)
    planner.make_old()
    ledger.set_desired(Desired(each, 1, Sink.CHECK, others[0].value) for each in (1, 2, 3, 6, 7))
    planner.project.gone_ids |= {6, 7}
    assert planner.plan(groups[1:2] + groups[3:]).changed == 3
    wanted = {each for each in range(42) if planner.desired(each, Sink.CHECK)}
    assert wanted == {4, 5, 6, 7, 41}


def test_how_much_vanished_goes_by_all_that_is_annotated(config: Config, ledger: Ledger) -> None:
    """A twentieth of it, also where the ledger does not have the lines yet."""
    planner = Planner(config, ledger, 800)
    groups = [[n, n + 1] for n in range(1, 800, 2)]
    planner.plan(groups)
    planner.make_old()
    assert planner.plan(groups[15:]).changed == 2 * 30


def test_much_that_vanished_under_an_earlier_version_is_asked_for(
    config: Config, ledger: Ledger
) -> None:
    """As of every plan that would withdraw much."""
    planner = Planner(config, ledger, 60)
    groups = [range(1, 30), *([n] for n in range(30, 60))]
    planner.plan(groups)
    planner.make_old()
    with pytest.raises(GiveUp, match=r"29 patches .*--fewer-groups"):
        planner.plan(groups[1:])
    assert planner.desired(1) is not None
    assert planner.plan(groups[1:], fewer_groups=True).changed == 2 * 29


def test_many_copies_of_a_patch_take_memory_by_their_number(config: Config, ledger: Ledger) -> None:
    """Each wants the relation with all of them: it is kept once, not for each."""
    push = config.push.model_copy(update={"sinks": ("relation",)})
    planner = Planner(config.model_copy(update={"push": push}), ledger, 801)
    planner.plan([range(1, 801)])
    planner.show_all()
    tracemalloc.start()
    try:
        planner.plan([range(1, 802)])
        pending = planner.pending()
        [job] = cut(pending, {1: "linux"})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len({id(entry.desired) for entry in pending}) == 1
    assert len(job.patch_ids) == 801
    # It was 53 MB and more with a set for each, be it of the plan or of the jobs.
    assert peak < 16 << 20


def test_more_copies_than_can_be_looked_through_are_told_once(
    config: Config, ledger: Ledger
) -> None:
    """One wants a relation, by which it is told; the others no more, nor does it come up again."""
    push = config.push.model_copy(update={"sinks": ("relation",)})
    planner = Planner(config.model_copy(update={"push": push}), ledger, MOST_PATCHES + 2)
    planner.plan([[1, 2, 3], [4]])
    planner.plan([range(1, MOST_PATCHES + 3)])
    [entry] = planner.pending()
    sender = RelationSender(
        ledger=ledger,
        annotator=cast("Any", None),  # nobody is asked
        keys={1: "linux"},
        table=push.relation,
        clock=lambda: 0.0,
        answer_seconds=0,
    )
    for job in cut([entry], {1: "linux"}):
        list(sender.send(job))
    [trouble] = ledger.troubles(9)
    assert (trouble.patch_id, trouble.kind) == (1, "limit")
    assert planner.pending() == []
    planner.plan([[1, 2], [4]])
    assert [planner.desired(each) for each in (1, 2, 3)] == [{1, 2}, {1, 2}, None]
    assert ledger.troubles(9) == []


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


def test_who_was_forgotten_is_not_lost(config: Config, ledger: Ledger) -> None:
    """Of patches that are gone from Patchwork nothing is withdrawn: their lines may go, too."""
    planner = Planner(config, ledger, 400)
    groups = [[2 * n + 1, 2 * n + 2] for n in range(200)]
    planner.plan(groups)
    gone = set(range(1, 25))
    planner.project.gone_ids |= gone
    assert ledger.daily_checks.take(1, 0.0, limit=1)
    ledger.forget(gone)
    with ledger.draft() as draft:
        assert draft.vanished_with(array("q", ledger.lines)) == set(range(25, 401))
    assert ledger.daily_checks.take(1, 0.0, limit=1)
    assert planner.plan(groups[12:]).changed == 0


@pytest.mark.parametrize("sink", ["check", "relation"])
def test_who_has_no_annotation_any_more_is_not_lost(
    config: Config, ledger: Ledger, sink: str
) -> None:
    """A line that stays while nothing is desired by it, as after all was withdrawn."""
    push = config.push.model_copy(update={"sinks": (sink,)})
    planner = Planner(config.model_copy(update={"push": push}), ledger, 400)
    groups = [[2 * n + 1, 2 * n + 2] for n in range(200)]
    planner.plan(groups)
    with closing(sqlite3.connect(config.source.with_name("ledger.sqlite"))) as sql, sql:
        sql.execute("UPDATE entry SET wanted = NULL WHERE patch_id < 25")
    assert planner.plan(groups[12:]).changed == 0


def test_who_came_to_an_old_line_goes_with_it(config: Config, ledger: Ledger) -> None:
    """A mail of it became a patch after the line was planned."""
    planner = Planner(config, ledger, 40)
    planner.project.gone_ids.add(3)
    groups = [[1, 2, 3], *([n] for n in range(4, 40))]
    planner.plan(groups)
    planner.project.gone_ids.clear()
    planner.plan(groups)
    assert planner.desired(3, Sink.CHECK) is not None
    planner.plan(groups[1:])
    assert [planner.desired(each, Sink.CHECK) for each in (1, 2, 3)] == [None] * 3
