"""Whatever people do between pushes, and however many acts it takes, stays.

The model: Patchwork's rules (`relation_server`), acts of a person, and what they mean: two patches
that a person parted are never related by us, and two that a person related never parted, until a
person says otherwise. All sequences of acts are tried, with a push or none after each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from push_fakes import IDENTITY, FakePatchwork
from relation_server import Refused, State, apply

from patchsync.config.push_tables import RelationTable
from patchsync.push.entries import Desired, Sink
from patchsync.push.jobs import cut
from patchsync.push.ledger import Ledger
from patchsync.push.relation.audit import audit
from patchsync.push.relation.executor import RelationSender

Pairs = frozenset[frozenset[int]]
Groups = tuple[frozenset[int], ...]
# Requests of a person, one after another
Act = tuple[tuple[int, tuple[int, ...]], ...]
Rows = tuple[tuple[str, frozenset[tuple[Any, ...]]], ...]

PATCHES = frozenset(range(1, 6))
FOUR: Groups = (frozenset({1, 2, 3, 4}),)
TWO_PAIRS: Groups = (frozenset({1, 2}), frozenset({3, 4}))


def related(relations: State) -> Pairs:
    """All pairs that stand in one relation."""
    return frozenset(frozenset(pair) for each in relations for pair in combinations(each, 2))


def acts(relations: State) -> Iterator[Act]:
    """What a person may do: take out, relate two or three, move, merge two relations."""
    relation_of = {patch: each for each in relations for patch in each}
    for patch in relation_of:
        yield ((patch, ()),)
        for other in PATCHES - relation_of[patch]:
            yield ((patch, ()), (patch, (other,)))
    for size in (2, 3):
        for first, *others in combinations(sorted(PATCHES), size):
            yield ((first, tuple(others)),)
    for left, right in combinations(sorted(relations, key=min), 2):
        requests = [(patch, ()) for patch in right] + [(patch, (min(left),)) for patch in right]
        yield tuple(requests)


@dataclass(frozen=True)
class World:
    """Patchwork's relations, the ledger, and what a person said of which pairs."""

    relations: State
    ledger: Rows
    parted: Pairs = frozenset()
    joined: Pairs = frozenset()
    # What the last push left, and of which pairs it was known by then what a person said
    left: State = frozenset()
    known: Pairs = frozenset()

    def after(self, act: Act) -> World:
        """What a person makes of it."""
        world = self
        for patch, others in act:
            with suppress(Refused):
                relations = apply(world.relations, patch, others, PATCHES)
                before, now = related(world.relations), related(relations)
                world = replace(
                    world,
                    relations=relations,
                    parted=(world.parted | (before - now)) - now,
                    joined=(world.joined | (now - before)) & now,
                )
        return world

    def seen(self) -> World:
        """The same, without what was undone before anybody looked."""
        before = related(self.left)
        # From a relation patches go one by one: of its parts all but one must be made anew.
        parts = [
            frozenset(part & old for part in self.relations if len(part & old) > 1)
            for old in self.left
        ]
        untouched = related(frozenset().union(*(each for each in parts if len(each) == 1)))
        grown = related(
            frozenset(part for part in self.relations if not any(part <= old for old in self.left))
        )
        parted = self.parted & (before | self.known)
        joined = self.joined - (untouched - grown - self.known)
        return replace(self, parted=parted, joined=joined, known=parted | joined)


class Model:
    """Pushes one world after another."""

    tables = ("entry", "made", "hands_off", "parted", "note")

    def __init__(self, path: Path, foreign: Literal["join", "leave"]) -> None:
        self._ledger = Ledger(path)
        self._ledger.set_complete()
        self._patchwork = FakePatchwork(PATCHES)
        self._sender = RelationSender(
            ledger=self._ledger,
            annotator=cast("Any", self._patchwork),
            keys={1: "linux"},
            table=RelationTable(foreign=foreign),
            clock=lambda: 0,
            answer_seconds=0,
        )
        self._sql = sqlite3.connect(path, isolation_level=None)
        self._pushed: dict[tuple[State, Rows], tuple[State, Rows]] = {}

    def close(self) -> None:
        self._sql.close()
        self._ledger.close()

    def begin(self, groups: Groups) -> World:
        """The groups are pushed."""
        nothing = tuple((name, frozenset[tuple[Any, ...]]()) for name in self.tables)
        return self.regroup(World(frozenset(), nothing), groups)

    def regroup(self, world: World, groups: Groups) -> World:
        """Other groups are pushed."""
        self._restore(world.ledger)
        home = {each: group for group in groups for each in group}
        self._ledger.set_desired(Desired(n, 1, Sink.RELATION, home.get(n)) for n in PATCHES)
        return self.push(replace(world, ledger=self._rows()))

    def push(self, world: World) -> World:
        """A push, as the command does it; what a person said holds after it."""
        state = world.relations, world.ledger
        if state not in self._pushed:
            self._pushed[state] = self._push(*state)
        relations, ledger = self._pushed[state]
        pairs = related(relations)
        assert not world.parted & pairs, "what a person parted was related"
        assert world.joined <= pairs, "what a person related was parted"
        return replace(world.seen(), relations=relations, ledger=ledger, left=relations)

    def _push(self, relations: State, ledger: Rows) -> tuple[State, Rows]:
        self._restore(ledger)
        self._patchwork.relations = relations
        for _ in range(2):
            self._patchwork.writes = 0
            changed = audit(self._ledger, cast("Any", self._patchwork), 1, IDENTITY.projects[1], 1)
            entries = {**self._ledger.entries(Sink.RELATION, changed)}
            pending = self._ledger.pending([Sink.RELATION], [1], now=0, answer_seconds=0)
            entries |= {entry.patch_id: entry for entry in pending}
            for job in cut(entries.values(), {1: "linux", 0: "linux"}):
                list(self._sender.send(job))
        assert not self._patchwork.writes, "a second push writes"
        return self._patchwork.relations, self._rows()

    def _rows(self) -> Rows:
        return tuple(
            (name, frozenset(self._sql.execute(f"SELECT * FROM {name}").fetchall()))
            for name in self.tables
        )

    def _restore(self, rows: Rows) -> None:
        self._sql.execute("BEGIN")
        for name, content in rows:
            self._sql.execute(f"DELETE FROM {name}")
            for row in content:
                marks = ", ".join("?" * len(row))
                self._sql.execute(f"INSERT INTO {name} VALUES ({marks})", row)
        self._sql.execute("COMMIT")


def unlike(worlds: Iterable[World], groups: Groups) -> list[World]:
    """After the first act: one of those that differ only in which patch of a group is which."""
    same = [
        dict(zip(sorted(PATCHES), order, strict=True))
        for order in permutations(sorted(PATCHES))
        if {frozenset(order[each - 1] for each in group) for group in groups} == set(groups)
    ]
    kinds = {}
    for world in worlds:
        looks = (
            sorted(sorted(rename[each] for each in part) for part in world.relations)
            for rename in same
        )
        kinds[str(min(looks))] = world
    return list(kinds.values())


def histories(model: Model, groups: Groups, most: int) -> Iterator[World]:
    """What so many acts can make of the groups, each with a push or none after it."""
    worlds = {model.begin(groups)}
    for number in range(most):
        acted = {world.after(act) for world in worlds for act in acts(world.relations)}
        if number == 0:
            acted = set(unlike(acted, groups))
        worlds = acted | {model.push(world) for world in acted}
    yield from worlds


@pytest.fixture(params=["join", "leave"])
def model(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Model]:
    with closing(Model(tmp_path / "ledger.sqlite", request.param)) as model:
        yield model


@pytest.mark.parametrize(
    ("groups", "most"),
    [
        pytest.param(FOUR, 3, id="four"),
        pytest.param(TWO_PAIRS, 2, id="two pairs"),
        pytest.param(TWO_PAIRS, 3, id="two pairs, three acts", marks=pytest.mark.long),
    ],
)
def test_what_people_did_stays(model: Model, groups: Groups, most: int) -> None:
    """Whatever they do, in so many acts, to one group or two, also with a patch of none."""
    for world in histories(model, groups, most):
        model.push(world)


@pytest.mark.parametrize("later", [TWO_PAIRS, (PATCHES,), ()], ids=["less", "more", "none"])
def test_what_people_did_stays_with_other_groups(model: Model, later: Groups) -> None:
    """Where PaStA sees it otherwise after that, and then as before again."""
    for world in histories(model, FOUR, 2):
        model.regroup(model.regroup(model.push(world), later), FOUR)
    for world in histories(model, FOUR, 1):
        regrouped = model.regroup(model.push(world), later)
        for act in acts(regrouped.relations):
            acted = regrouped.after(act)
            model.regroup(acted, FOUR)
            model.regroup(model.push(acted), FOUR)
