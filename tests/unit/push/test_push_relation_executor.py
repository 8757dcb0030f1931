"""Relations, killed or unanswered anywhere: the next round goes on from what is there."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from push_fakes import FakePatchwork, answer_lost
from relation_server import Refused, State, apply, visible

from patchsync.config.push_tables import RelationTable
from patchsync.errors import AnswerLost, TryAgainLater
from patchsync.push.entries import Desired, Sink
from patchsync.push.jobs import Job, cut
from patchsync.push.ledger import Ledger
from patchsync.push.ledger_file import LedgerFile
from patchsync.push.relation import neighbourhood
from patchsync.push.relation.executor import RelationSender
from patchsync.push.relation.under_way import UNDER_WAY, UnderWay

Groups = list[frozenset[int]]
ALL = range(1, 9)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_complete()
        yield ledger


class Pushed:
    """A Patchwork, and rounds of relations."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.patchwork = FakePatchwork(ALL)
        self.now = 0.0
        self._sender = RelationSender(
            ledger=ledger,
            annotator=cast("Any", self.patchwork),
            keys={1: "linux"},
            table=RelationTable(most=100, foreign="join"),
            clock=lambda: self.now,
            answer_seconds=10,
        )

    def want(self, *groups: set[int]) -> None:
        home = {each: frozenset(group) for group in groups for each in group}
        self.ledger.set_desired(Desired(each, 1, Sink.RELATION, home.get(each)) for each in ALL)

    def round(self) -> None:
        """After the time in which a request may still arrive."""
        self.now += 10
        self.round_at_once()

    def round_at_once(self) -> None:
        pending = self.ledger.pending(["relation"], [1], now=0, answer_seconds=0)
        pending += self.ledger.entries(Sink.RELATION, UnderWay(self.ledger).relations()).values()
        for job in cut(pending, {1: "linux"}):
            list(self._sender.send(job))

    def look_at_all(self) -> None:
        """As the audit does it."""
        self.now += 10
        list(self._sender.send(Job(key="linux", sink=Sink.RELATION, patch_ids=tuple(ALL))))

    def by_hand(self, patch_id: int, *related: int) -> None:
        now = self.patchwork.relations
        self.patchwork.relations = apply(now, patch_id, related, self.patchwork.patch_ids)

    def shown(self) -> set[frozenset[int]]:
        return set(visible(self.patchwork.relations))


def partition(random: Random) -> list[set[int]]:
    ids = list(ALL)
    random.shuffle(ids)
    groups = []
    while ids:
        size = random.randint(1, 5)
        groups.append(set(ids[:size]))
        ids = ids[size:]
    return [group for group in groups if len(group) > 1]


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("case", range(60))
def test_an_answer_is_lost_anywhere(
    tmp_path: Path, random: Random, case: int, arrived: bool
) -> None:
    """The relations become those of the groups, and are ours, whichever request it was."""
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_complete()
        pushed = Pushed(ledger)
        for _ in range(6):
            groups = partition(random)
            pushed.want(*groups)
            at = pushed.patchwork.writes + random.randint(1, 4)
            pushed.patchwork.lose = answer_lost(at, arrived=arrived)
            for _ in range(4):
                try:
                    pushed.round()
                    break
                except AnswerLost:
                    if random.random() < 0.3:  # Other groups come before the next round.
                        groups = partition(random)
                        pushed.want(*groups)
            pushed.round()
            assert pushed.shown() == set(map(frozenset, groups))
            assert ledger.ownership.placed_by_us() == set().union(*groups)
            assert ledger.ownership.left_alone() == set()


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


class Killer:
    """Ends a process at its n-th chance: before and after each write, and each transaction."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left = 0
        # Whether the last one that was to be killed was
        self.killed = False
        whole = LedgerFile.transaction

        @contextmanager
        def transaction(file: LedgerFile, *kind: Any) -> Iterator[sqlite3.Connection]:
            outer = not file.sql.in_transaction
            if outer:
                self.chance()
            with whole(file, *kind) as sql:
                yield sql
            if outer:
                self.chance()

        monkeypatch.setattr(LedgerFile, "transaction", transaction)

    def chance(self, *_: object) -> None:
        """Here a process may end."""
        self._left -= 1
        if self._left == 0:
            self.killed = True
            raise Killed

    @contextmanager
    def kill(self, at: int) -> Iterator[None]:
        """Kill what is done within, or not if it has fewer chances."""
        self._left, self.killed = at, False
        with suppress(Killed):
            yield
        self._left = 0


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    return Killer(monkeypatch)


def assert_ours(pushed: Pushed, groups: list[set[int]]) -> None:
    """The relations are the groups', and nothing of them is taken for a person's."""
    assert pushed.shown() == {frozenset(group) for group in groups if len(group) > 1}
    assert pushed.ledger.ownership.left_alone() == set()
    assert pushed.ledger.troubles(9) == []


# Where the first of the two rounds below can be killed.
PLACES = 24


def test_killed_at_each_place_of_two_rounds_in_a_row(tmp_path: Path, killer: Killer) -> None:
    """Patches left together by one killed round and parted by the next are no person's doing.

    The ledger said of 1 and 2 what was so before both rounds: that nobody was left with whom they
    had been related looked like a person's act, and they were left alone for good.
    """
    for first in range(1, PLACES + 2):  # At last it goes through.
        for second in range(1, 16):
            with Ledger(tmp_path / f"{first}-{second}.sqlite") as ledger:
                ledger.set_complete()
                pushed = Pushed(ledger)
                pushed.patchwork.lose = killer.chance
                pushed.want({1, 2, 3, 4})
                pushed.round()
                pushed.want({1, 2, 5, 6})
                with killer.kill(first):
                    pushed.round()
                assert killer.killed == (first <= PLACES)
                pushed.want({1, 5}, {2, 7})
                with killer.kill(second):
                    pushed.round()
                pushed.want({1, 2}, {5, 6})
                pushed.round()
                assert_ours(pushed, [{1, 2}, {5, 6}])


@pytest.mark.parametrize("case", range(60))
def test_killed_anywhere(tmp_path: Path, killer: Killer, random: Random, case: int) -> None:
    """Between any two instructions, round after round with other groups, also new amid a round."""
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_complete()
        pushed = Pushed(ledger)
        pushed.patchwork.lose = killer.chance
        for _ in range(6):
            pushed.want(*partition(random))
            amid = random.randint(1, 60)
            pushed.patchwork.looked = lambda number, amid=pushed.patchwork.reads + amid: (
                pushed.want(*partition(random)) if number == amid else None
            )
            with killer.kill(random.randint(1, 60)):
                pushed.round()
        pushed.patchwork.looked = lambda number: None
        groups = partition(random)
        pushed.want(*groups)
        pushed.round()
        pushed.round()
        assert_ours(pushed, groups)


def pairs_of(relations: State) -> set[frozenset[int]]:
    return {frozenset(pair) for part in relations for pair in combinations(part, 2)}


def act_at_random(pushed: Pushed, random: Random) -> None:
    """A person takes a patch out, relates two, or moves one."""
    one, other = random.sample(ALL, 2)
    with suppress(Refused):
        if random.random() < 0.6:
            pushed.by_hand(one)
        if random.random() < 0.6:
            pushed.by_hand(one, other)


@pytest.mark.parametrize("case", range(60))
def test_what_a_person_does_after_a_kill_anywhere_stays(
    tmp_path: Path, killer: Killer, random: Random, case: int
) -> None:
    """But for what undoes or does just what the killed request was to do: nobody can tell it."""
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_complete()
        pushed = Pushed(ledger)
        pushed.want(*partition(random))
        pushed.round()
        # As it was before and after each request of the round
        shown = [pushed.patchwork.relations]

        def chance(number: int, before: bool) -> None:
            shown.append(pushed.patchwork.relations)
            killer.chance()

        pushed.patchwork.lose = chance
        pushed.want(*partition(random))
        with killer.kill(random.randint(1, 60)):
            pushed.round()
        before = pairs_of(pushed.patchwork.relations)
        act_at_random(pushed, random)
        after = pairs_of(pushed.patchwork.relations)
        there = {each: part for part in pushed.patchwork.relations for each in part}
        noted = UnderWay(ledger).relations()
        done = all(there.get(each, frozenset({each})) == noted[each] for each in noted)
        if pushed.patchwork.relations in shown or (noted and done):
            return
        pushed.look_at_all()
        for _ in range(2):
            now = pairs_of(pushed.patchwork.relations)
            assert not (before - after) & now, "what a person parted was related"
            assert after - before <= now, "what a person related was parted"
            pushed.want(*partition(random))
            pushed.round()


def killed_at_the_next_write(pushed: Pushed, *, arrived: bool) -> None:
    """A round that ends with its first request, which may have arrived."""

    def lose(number: int, before: bool) -> None:
        if before != arrived:
            raise Killed

    pushed.patchwork.lose = lose
    with suppress(Killed):
        pushed.round()
    pushed.patchwork.lose = lambda number, before: None


@pytest.mark.parametrize("arrived", [True, False])
def test_what_a_person_takes_out_after_a_kill_stays_out(ledger: Ledger, arrived: bool) -> None:
    """Only what the killed request was to make is ours, and this is something else."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3, 4})
    pushed.round()
    pushed.want({1, 2, 3})
    killed_at_the_next_write(pushed, arrived=arrived)
    pushed.by_hand(2)
    pushed.round()
    assert pushed.shown() == {frozenset({1, 3})}
    assert ledger.ownership.left_alone() == {2}


@pytest.mark.parametrize("before", [set(), {1, 2}, {2, 3}])
def test_what_a_person_takes_out_of_a_new_relation_after_a_kill(
    ledger: Ledger, before: set[int]
) -> None:
    """That some are related who were not tells that the request arrived: so a person did the rest.

    It stays out, and what is left is not parted either, whatever groups come.
    """
    pushed = Pushed(ledger)
    pushed.want(before)
    pushed.round()
    pushed.want({1, 2, 3})
    killed_at_the_next_write(pushed, arrived=True)
    pushed.by_hand(2)
    for groups in ({1, 2, 3}, {1, 2, 3, 4}, {1, 4}):
        pushed.want(groups)
        pushed.round()
        (relation,) = pushed.shown()
        assert {1, 3} <= relation
        assert 2 not in relation
    assert ledger.ownership.left_alone() == {2}


@pytest.mark.parametrize("arrived", [True, False])
def test_nothing_is_read_into_a_request_that_may_still_arrive(
    ledger: Ledger, arrived: bool
) -> None:
    """Until then nothing is sent, or noted, for what it is linked with; other groups go on."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3}, {5, 6})
    killed_at_the_next_write(pushed, arrived=False)
    pushed.now += 9
    pushed.round_at_once()
    assert pushed.shown() == {frozenset({5, 6})}
    if arrived:
        pushed.by_hand(1, 2, 3)
    pushed.want({1, 2}, {5, 6})
    pushed.now += 1
    pushed.round_at_once()
    assert_ours(pushed, [{1, 2}, {5, 6}])


def test_a_clock_that_was_set_back_makes_nobody_wait_for_longer(ledger: Ledger) -> None:
    """The time begins anew, once."""
    pushed = Pushed(ledger)
    pushed.now = 1_000_000
    pushed.want({1, 2})
    killed_at_the_next_write(pushed, arrived=False)
    pushed.now = 5
    pushed.round_at_once()
    assert pushed.shown() == set()
    pushed.round()
    assert_ours(pushed, [{1, 2}])


def take_out_at(pushed: Pushed, patch_id: int, *, before: bool) -> None:
    """A person takes a patch out when our next request is about to come, or has just come."""

    def lose(number: int, early: bool) -> None:
        if early == before:
            pushed.patchwork.lose = lambda number, before: None
            pushed.by_hand(patch_id)

    pushed.patchwork.lose = lose


@pytest.mark.parametrize("before", [True, False])
def test_what_a_person_takes_out_at_the_same_time(ledger: Ledger, before: bool) -> None:
    """Between what we read and our request, or between that and the look after it."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    pushed.round()
    pushed.want({1, 2, 3, 4})
    take_out_at(pushed, 2, before=before)
    pushed.round()
    for groups in ({1, 2, 3, 4}, {1, 2, 3, 4, 5}):
        pushed.want(groups)
        pushed.round()
        pushed.round()
        assert pushed.shown() == {frozenset(groups - {2})}
    assert ledger.ownership.left_alone() == {2}


def test_a_request_that_arrives_while_it_is_read(ledger: Ledger) -> None:
    """Patches seen before it and others after it: nothing is made of that, the next round looks."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    killed_at_the_next_write(pushed, arrived=False)
    at = pushed.patchwork.reads + 2
    pushed.patchwork.looked = lambda number: pushed.by_hand(1, 2, 3) if number == at else None
    with pytest.raises(TryAgainLater):
        pushed.round()
    pushed.want({1, 2}, {3, 4})
    pushed.round()
    assert_ours(pushed, [{1, 2}, {3, 4}])


def test_a_patch_that_is_gone_is_no_more_under_way(ledger: Ledger) -> None:
    """Nobody looks for it in each round for ever."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    killed_at_the_next_write(pushed, arrived=False)
    pushed.patchwork.patch_ids.remove(3)
    pushed.round()
    assert UnderWay(ledger).relations() == {}


def test_what_a_person_relates_after_a_kill_is_not_ours(ledger: Ledger) -> None:
    """A request that never arrived makes nothing ours."""
    pushed = Pushed(ledger)
    pushed.want({1, 2})
    killed_at_the_next_write(pushed, arrived=False)
    pushed.by_hand(1, 2, 3)
    pushed.want({1, 4})
    pushed.round()
    assert frozenset({1, 2, 3, 4}) in pushed.shown()


def test_a_note_of_an_earlier_version(ledger: Ledger) -> None:
    """It named only the patches that a request was about: what is there of them is ours."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    pushed.round()
    pushed.by_hand(1)
    ledger.write_notes({UNDER_WAY: "[1]"})
    pushed.round()
    assert_ours(pushed, [{1, 2, 3}])


def test_what_a_person_took_out_stays_out(ledger: Ledger) -> None:
    """Also when the group grows; and back in by a person it is not taken out again."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    pushed.round()
    pushed.by_hand(3)
    pushed.want({1, 2, 3, 4})
    pushed.round()
    assert pushed.shown() == {frozenset({1, 2, 4})}
    pushed.by_hand(3, 1)
    pushed.look_at_all()
    assert pushed.shown() == {frozenset({1, 2, 3, 4})}
    pushed.want({1, 2})
    pushed.round()
    assert pushed.shown() == {frozenset({1, 2, 3, 4})}


@pytest.mark.parametrize("foreign", [[7], [7, 8]])
def test_what_a_person_added_to_is_not_taken_apart(ledger: Ledger, foreign: list[int]) -> None:
    """The whole relation is that person's from then on."""
    pushed = Pushed(ledger)
    pushed.want({1, 2})
    pushed.round()
    pushed.by_hand(1, *foreign)
    for groups in ([{1, 2}], [{1, 3}], []):
        pushed.want(*groups)
        pushed.look_at_all()
        assert any({1, 2, *foreign} <= relation for relation in pushed.shown())


def test_what_a_person_moved_stays_where_it_is(ledger: Ledger) -> None:
    """Neither is it taken out there, nor is the rest drawn after it."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    pushed.round()
    pushed.by_hand(3)
    pushed.by_hand(7, 8)
    pushed.by_hand(3, 7)
    pushed.look_at_all()
    assert pushed.shown() == {frozenset({1, 2}), frozenset({3, 7, 8})}


@pytest.mark.parametrize("alone", [True, False])
def test_what_we_take_out_is_looked_at_before(ledger: Ledger, alone: bool) -> None:
    """A person moved it since the round read it: it stays where that person put it."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3, 4})
    pushed.round()
    pushed.want({1, 2, 3} if alone else {1, 2})

    def move(number: int) -> None:
        if number == pushed.patchwork.reads and len(pushed.shown()) == 1:
            pushed.by_hand(4)
            pushed.by_hand(4, 8)

    # The four are read before the first request, then the one that it is about.
    at = pushed.patchwork.reads + 5
    pushed.patchwork.looked = lambda number: move(number) if number == at else None
    pushed.round()
    pushed.round()
    assert frozenset({4, 8}) in pushed.shown()


def test_patches_of_no_group_that_a_person_takes_out_again(ledger: Ledger) -> None:
    """They were seen there, though no group named them; with a group they stay out."""
    pushed = Pushed(ledger)
    pushed.want({1, 2})
    pushed.round()
    pushed.by_hand(7, 1)
    pushed.by_hand(8, 1)
    pushed.look_at_all()
    pushed.by_hand(7)
    pushed.by_hand(8)
    pushed.want({1, 2}, {7, 8})
    pushed.round()
    assert pushed.shown() == {frozenset({1, 2})}


def test_what_a_person_parted_stays_apart_when_others_are_gone(ledger: Ledger) -> None:
    """Whom a person related a patch to since may be deleted: that says nothing of the others."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3, 4})
    pushed.round()
    pushed.by_hand(4)
    pushed.by_hand(4, 8)
    pushed.look_at_all()
    pushed.patchwork.relations = apply(pushed.patchwork.relations, 8, (), set(ALL))
    pushed.patchwork.patch_ids.remove(8)
    pushed.want({1, 2, 3, 4, 5})
    pushed.round()
    assert pushed.shown() == {frozenset({1, 2, 3, 5})}


def test_a_ledger_of_an_earlier_version_did_not_note_from_whom(ledger: Ledger) -> None:
    """What a person took out then, and relates to one of the group now, draws no others there."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    pushed.round()
    pushed.patchwork.relations = frozenset({frozenset({1, 2})})
    for patch_id, members in ((1, {1, 2}), (2, {1, 2}), (3, None)):
        value = frozenset(members) if members else None
        ledger.observe(Sink.RELATION, patch_id, value, 0)
    ledger.ownership.forget_placed([3])
    ledger.ownership.leave_alone([3], 0)
    pushed.by_hand(3, 4)
    pushed.want({1, 2, 3, 4})
    pushed.round()
    assert pushed.shown() == {frozenset({1, 2}), frozenset({3, 4})}


def test_two_of_ours_that_a_person_moved_stay(ledger: Ledger) -> None:
    """With patches of no group."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    pushed.round()
    for each in (1, 2):
        pushed.by_hand(each)
    pushed.by_hand(7, 8)
    pushed.by_hand(7, 1, 2)
    pushed.look_at_all()
    assert frozenset({1, 2, 7, 8}) in pushed.shown()


def test_a_patch_that_is_gone(ledger: Ledger) -> None:
    """The rest of its group goes on, also to other groups."""
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3})
    pushed.round()
    pushed.by_hand(2)
    pushed.patchwork.patch_ids.remove(2)
    group = frozenset({1, 3, 4})
    ledger.set_desired(Desired(each, 1, Sink.RELATION, group) for each in group)
    pushed.round()
    assert pushed.shown() == {frozenset({1, 3, 4})}
    assert ledger.pending(["relation"], now=0, answer_seconds=0) == []


def test_what_links_too_many_is_told_and_left(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are related; it does not come up again."""
    monkeypatch.setattr(neighbourhood, "MOST_PATCHES", 3)
    pushed = Pushed(ledger)
    pushed.want({1, 2, 3, 4}, {5, 6})
    pushed.round()
    assert pushed.shown() == {frozenset({5, 6})}
    assert Counter(each.kind for each in ledger.troubles(9)) == {"limit": 4}
    assert ledger.pending(["relation"], now=0, answer_seconds=0) == []
