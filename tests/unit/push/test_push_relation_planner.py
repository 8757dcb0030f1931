"""The relations become those of the groups, with the fewest requests, and never against people."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from relation_server import Refused, State, apply, distances, partitions, visible

from patchsync.errors import GiveUp, TryAgainLater
from patchsync.push.relation.planner import Component, Notice, Reason, Terms, plan_steps
from patchsync.push.relation.steps import Relation, Step, best_matching

ALL = frozenset(range(1, 1001))


def ours(*members: int) -> Relation:
    return Relation(frozenset(members), frozenset(members))


def person(*members: int) -> Relation:
    return Relation(frozenset(members))


def terms(
    *,
    may: Set[int] = ALL,
    most: int = 100,
    join: bool = True,
    parted: Set[tuple[int, int]] = frozenset(),
) -> Terms:
    return Terms(may, most, join, parted)


def steps_of(components: Iterable[Component]) -> list[Step]:
    return [step for component in components for step in component.steps]


def notices_of(components: Iterable[Component]) -> set[Notice]:
    return {notice for component in components for notice in component.notices}


def requests(
    current: Iterable[Relation], wanted: Iterable[Set[int]], given: Terms | None = None
) -> list[tuple[int, tuple[int, ...]]]:
    """The requests of a plan."""
    found = steps_of(plan_steps(current, wanted, given or terms()))
    return [(step.patch_id, step.related) for step in found]


def reasons(
    current: Iterable[Relation], wanted: Iterable[Set[int]], given: Terms | None = None
) -> dict[Reason, tuple[int, ...]]:
    """What a plan reports, and of which patches."""
    return {r.reason: r.patches for r in notices_of(plan_steps(current, wanted, given or terms()))}


def as_state(relations: Iterable[Relation]) -> State:
    return frozenset(relation.members for relation in relations)


# --- by trying all ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [6, pytest.param(7, marks=pytest.mark.long)])
def test_the_fewest_requests_for_any_few_patches(count: int) -> None:
    """From any partition of ours to any wanted one, no sequence of requests is shorter."""
    patches = frozenset(range(count))
    wanted = list(partitions(sorted(patches)))
    sources = {tuple(sorted(map(len, parts))): parts for parts in wanted}  # all others are alike
    for parts in sources.values():
        relations = [ours(*part) for part in parts if len(part) > 1]
        fewest = distances(
            as_state(relations), patches, lambda state: all(len(part) > 1 for part in state)
        )
        for groups in wanted:
            state = as_state(relations)
            made = steps_of(plan_steps(relations, groups, terms(may=patches)))
            for step in made:
                state = apply(state, step.patch_id, step.related, patches)
            assert state == frozenset(group for group in groups if len(group) > 1)
            assert len(made) == fewest[state], (parts, groups)


PARTITIONS = list(partitions(range(6)))


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Relation], list[frozenset[int]], Terms]:
    """Six patches: relations by us, by people, by both and hidden ones; groups; terms."""
    patches = draw(st.permutations(range(1, 7)))

    def partition() -> list[frozenset[int]]:
        drawn = draw(st.sampled_from(PARTITIONS))
        return [frozenset(patches[place] for place in part) for part in drawn]

    relations = []
    for part in partition():
        if len(part) == 1 and draw(st.integers(0, 3)):
            continue
        added = draw(st.sampled_from([part, part, frozenset(), frozenset(sorted(part)[2:])]))
        relations.append(Relation(part, added))
    wanted = partition()
    named = wanted if draw(st.booleans()) else wanted[:-1]
    may = draw(st.sampled_from([frozenset(patches)] * 3 + [frozenset(patches[:-1])]))
    most = draw(st.sampled_from([6, 6, 6, 4, 3, 2]))
    return relations, named, Terms(may, most, draw(st.booleans()))


@settings(max_examples=150)
@given(situations())
@example(  # what we added must not decide which of two the group joins: the cap takes it out
    (
        [Relation(frozenset({1, 4, 5}), frozenset({5})), person(2, 3)],
        [frozenset({2, 3, 4, 5})],
        terms(may=frozenset(range(1, 7)), most=2),
    )
)
@example(  # what a person related is no base for another group, however much of that is in it
    (
        [Relation(frozenset({1, 2, 3, 4, 6}), frozenset({3, 4, 6}))],
        [frozenset({1}), frozenset({2, 6}), frozenset({3, 4})],
        terms(may=frozenset(range(1, 7)), most=6),
    )
)
def test_any_plan_is_lawful_shortest_and_can_be_interrupted(
    situation: tuple[list[Relation], list[frozenset[int]], Terms],
) -> None:
    """Among what people made: no request is refused, what they related stays, a plan from any state
    on the way has just the remaining requests and the same reports, and no way is shorter."""
    relations, groups, given_terms = situation
    kept = {relation.kept for relation in relations if relation.kept}
    fixed = {r.members for r in relations if not r.members <= given_terms.may}

    def legal(state: State) -> bool:
        holders = [part for part in state for hand in kept if hand <= part]
        return (
            len(holders) == len(set(holders)) == len(kept)
            and fixed <= state
            and all(part <= given_terms.may for part in state - fixed)
        )

    state = as_state(relations)
    ledger = {relation.members: relation for relation in relations}
    components = plan_steps(relations, groups, given_terms)
    reported = notices_of(components)
    remaining = len(steps_of(components))
    fewest = distances(state, frozenset(range(1, 7)), legal)
    total = remaining
    while components and (todo := steps_of(components)):
        step = todo[0]
        try:
            after = apply(state, step.patch_id, step.related, given_terms.may)
        except Refused as refusal:
            pytest.fail(f"{step} in {state}: {refusal.status}")
        assert legal(after)
        if step.leaves is not None:
            assert step.leaves.members in after
            ledger[step.leaves.members] = step.leaves
        assert (step.patch_id in frozenset().union(*after)) == bool(step.related)
        state = after
        components = plan_steps([ledger[part] for part in state], groups, given_terms)
        remaining -= 1
        assert len(steps_of(components)) == remaining
        assert notices_of(components) == reported
    assert total == fewest[visible(state)]
    assert_as_wanted(state, groups, given_terms, kept, fixed, reported)


@settings(max_examples=100)
@given(situations(), st.sets(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=4))
def test_no_plan_brings_together_what_a_person_parted(
    situation: tuple[list[Relation], list[frozenset[int]], Terms], drawn: set[tuple[int, int]]
) -> None:
    """Not for one request either; and from any state on the way just the rest is left to do."""
    relations, groups, given_terms = situation
    together = {pair for r in relations for pair in combinations(sorted(r.members), 2)}
    parted = {(low, high) for low, high in drawn if low < high} - together
    given_terms = replace(given_terms, parted=parted)
    state = as_state(relations)
    ledger = {relation.members: relation for relation in relations}
    todo = steps_of(plan_steps(relations, groups, given_terms))
    while todo:
        step = todo[0]
        state = apply(state, step.patch_id, step.related, given_terms.may)
        assert not any(set(pair) <= part for pair in parted for part in state)
        if step.leaves is not None:
            ledger[step.leaves.members] = step.leaves
        assert all(any(r.kept <= part for part in state) for r in relations if r.kept)
        left = steps_of(plan_steps([ledger[part] for part in state], groups, given_terms))
        assert len(left) == len(todo) - 1
        todo = left


@pytest.mark.long
@settings(max_examples=3000)
@given(situations())
def test_any_plan_at_length(
    situation: tuple[list[Relation], list[frozenset[int]], Terms],
) -> None:
    """The same for many more."""
    test_any_plan_is_lawful_shortest_and_can_be_interrupted.hypothesis.inner_test(situation)


def assert_as_wanted(
    state: State,
    groups: list[frozenset[int]],
    given_terms: Terms,
    kept: set[frozenset[int]],
    fixed: set[frozenset[int]],
    reported: set[Notice],
) -> None:
    """All that a group lacks is reported with its true reason, and nothing is there beyond it."""
    wanted = [group for group in groups if len(group) > 1]
    for part in visible(state) - fixed:
        hand = next((hand for hand in kept if hand <= part), frozenset())
        holding = [group for group in wanted if group & part - hand]
        assert len(holding) <= 1
        assert part - hand <= frozenset().union(*holding)
        assert len(part) <= max(given_terms.most, len(hand))
        if part != hand and hand:
            assert given_terms.join
            assert hand & holding[0]
            assert not any(hand & group for group in wanted if group != holding[0])
    for group in wanted:
        lacking = {r.reason: frozenset(r.patches) for r in reported if set(r.group) == group}
        joined = lacking.pop(Reason.JOINED, frozenset())
        together = group.difference(*lacking.values())
        home = next((part for part in state if together <= part), together)
        assert home in state or len(together) < 2
        assert joined <= home
        assert not joined or given_terms.join
        persons = {hand for hand in kept if hand & group and not any(hand <= f for f in fixed)}
        shared = {hand for hand in persons if sum(bool(hand & other) for other in wanted) > 1}
        assert lacking.pop(Reason.SHARED, frozenset()) == group & frozenset().union(*shared)
        for left in (Reason.LEFT, Reason.SEVERAL):
            there = lacking.pop(left, frozenset())
            assert not there or given_terms.join == (left is Reason.SEVERAL)
            assert there <= frozenset().union(*persons)
        assert lacking.pop(Reason.NO_RIGHT, frozenset()) <= (
            frozenset(range(1, 7)) - given_terms.may
        ).union(*fixed)
        assert not lacking.pop(Reason.ABOVE_CAP, None) or len(home) >= given_terms.most
        assert not lacking


# --- by example ------------------------------------------------------------------------------


def test_nothing_to_do() -> None:
    """What is as wanted needs nothing and says nothing."""
    assert plan_steps([ours(1, 2), person(3, 4)], [{1, 2}, {3, 4}, {5}], terms()) == ()


def test_a_new_group_is_one_request() -> None:
    """One request relates any number of patches that are in no relation."""
    assert requests([], [{3, 1, 2}]) == [(1, (2, 3))]


def test_a_group_grows_through_its_new_patches() -> None:
    """One request through a new patch: the server then saves the new ones and no other."""
    assert requests([ours(1, 2, 3)], [{1, 2, 3, 4, 5}]) == [(4, (1, 5))]


def test_a_pair_is_dissolved_with_one_request() -> None:
    """A relation of two is gone with either of them, one of three after two requests."""
    assert requests([ours(1, 2)], [{1}, {2}]) == [(2, ())]
    assert requests([ours(1, 2, 3)], []) == [(2, ()), (3, ())]


def test_of_two_relations_the_larger_grows() -> None:
    """Patches leave the smaller relation before they enter the larger: break before make."""
    assert requests([ours(1, 2), ours(3, 4, 5)], [{1, 2, 3, 4, 5}]) == [(1, ()), (1, (3, 2))]


def test_the_choice_is_made_for_all_relations_together() -> None:
    """What is best for one group alone can cost more requests in all."""
    both, left = ours(1, 2, 3, 4, 5, 11, 12, 13, 14), ours(6, 7, 8, 9)
    found = requests([both, left], [{1, 2, 3, 4, 5, 6, 7, 8, 9}, {11, 12, 13, 14}])
    assert [request for request in found if not request[1]] == [(i, ()) for i in range(1, 6)]
    assert len(found) == 6


def test_the_matching_is_the_best_of_all(random: Random) -> None:
    """No other choice has a greater sum, whatever the weights."""
    for _ in range(500):
        weights = {
            left: {right: random.randint(1, 5) for right in range(5) if random.random() < 0.6}
            for left in range(5)
        }
        best = {frozenset[int](): 0}
        for row in weights.values():
            grown = dict(best)
            for used, total in best.items():
                for right in row.keys() - used:
                    key = used | {right}
                    grown[key] = max(grown.get(key, 0), total + row[right])
            best = grown
        found = best_matching(weights)
        assert len(set(found.values())) == len(found)
        assert sum(weights[left][right] for left, right in found.items()) == max(best.values())


def test_a_group_joins_a_persons_relation() -> None:
    """The rest of the group is added, also where a patch is in it that PaStA did not find."""
    relation = person(1, 9)
    (component,) = plan_steps([relation], [{1, 2, 3}, {9}], terms())
    assert component.patches == (1, 2, 3, 9)
    assert component.steps == (
        Step(2, (1, 3), Relation(frozenset({1, 2, 3, 9}), frozenset({2, 3}))),
    )
    assert reasons([relation], [{1, 2, 3}]) == {Reason.JOINED: (1,)}


def test_what_we_added_to_a_persons_relation_can_leave_it() -> None:
    """When the group loses a patch, our addition goes and the person's patches stay."""
    joined = Relation(frozenset({1, 2, 3, 9}), frozenset({2, 3}))
    assert requests([joined], [{1, 2}, {3}]) == [(3, ())]
    assert requests([joined], []) == [(2, ()), (3, ())]


def test_a_person_related_at_least_two_patches() -> None:
    """Where one alone is not ours all count as a person's: to take out the rest would part them."""
    assert requests([Relation(frozenset({1, 2, 3}), frozenset({2, 3}))], []) == []


def test_a_persons_relation_is_left_by_setting() -> None:
    """Then the rest of the group is related apart from it, and this is reported."""
    given_terms = terms(join=False)
    assert requests([person(1, 9)], [{1, 2, 3}], given_terms) == [(2, (3,))]
    assert reasons([person(1, 9)], [{1, 2, 3}], given_terms) == {Reason.LEFT: (1,)}


def test_two_persons_relations_are_never_merged() -> None:
    """The group joins the one that holds more of it; the other stays and is reported."""
    current, wanted = [person(1, 2), person(3, 4, 5)], [{1, 2, 3, 4, 5, 6}]
    assert requests(current, wanted) == [(6, (3,))]
    assert requests([person(1, 2), person(3, 4)], wanted) == [(5, (1, 6))]
    assert reasons(current, wanted) == {Reason.JOINED: (3, 4, 5), Reason.SEVERAL: (1, 2)}


def test_a_persons_relation_of_two_groups_is_joined_by_none() -> None:
    """It contradicts PaStA, so nothing is added to it; both groups are reported."""
    current, wanted = [person(1, 2)], [{1, 3, 4}, {2, 5}]
    assert requests(current, wanted) == [(3, (4,))]
    (component,) = plan_steps(current, wanted, terms())
    assert component.notices == (
        Notice(Reason.SHARED, (1, 3, 4), (1,)),
        Notice(Reason.SHARED, (2, 5), (2,)),
    )


def test_a_group_joins_no_relation_that_a_person_parted_from_it() -> None:
    """Then its rest stands by itself, as if there were no such relation, or joins another."""
    current, given_terms = [person(1, 9), ours(2, 3)], terms(parted={(2, 9)})
    assert requests(current, [{1, 2, 3, 4}], given_terms) == [(4, (2,))]
    assert reasons(current, [{1, 2, 3, 4}], given_terms) == {Reason.LEFT: (1,)}
    current.append(person(5, 6))
    assert requests(current, [{1, 2, 3, 5}], given_terms) == [(2, ()), (2, (5, 3))]


def test_of_what_a_person_parted_the_rest_is_related() -> None:
    """Who is parted from most of the group is left out, whatever is related now."""
    given_terms = terms(parted={(1, 2), (1, 3)})
    for current in ([], [ours(2, 3)], [ours(1, 4)]):
        made = steps_of(plan_steps(current, [{1, 2, 3, 4}], given_terms))
        assert made[-1].leaves == ours(2, 3, 4)
        assert reasons(current, [{1, 2, 3, 4}], given_terms) == {Reason.PARTED: (1,)}


def test_what_lacks_nothing_is_not_reported() -> None:
    """A group that a person related, or that stands where we have no right, is shown as wanted."""
    for join in (True, False):
        assert plan_steps([person(1, 2)], [{1, 2}], terms(join=join)) == ()
        assert plan_steps([person(1, 2, 3)], [{1, 2}], terms(join=join)) == ()
    for there in (person(1, 2), ours(1, 2), person(1, 2, 3)):
        assert plan_steps([there], [{1, 2}], terms(may={1})) == ()
    assert plan_steps([person(1, 2)], [], terms(may={1})) == ()


def test_only_patches_of_our_projects_are_related() -> None:
    """A patch elsewhere is left out and reported; the others of its group are related."""
    given_terms = terms(may={1, 2})
    assert requests([], [{1, 2, 3}], given_terms) == [(1, (2,))]
    assert reasons([], [{1, 2, 3}], given_terms) == {Reason.NO_RIGHT: (3,)}


def test_a_relation_with_a_patch_elsewhere_cannot_be_changed() -> None:
    """Even ours, which is then reported: the server wants a maintainer of all its patches."""
    given_terms = terms(may={1, 2, 4})
    assert requests([ours(1, 3)], [{1, 2, 4}, {3}], given_terms) == [(2, (4,))]
    assert Notice(Reason.NO_RIGHT, (1, 3), (3,)) in notices_of(
        plan_steps([ours(1, 3)], [{1}, {3}], given_terms)
    )


def test_a_relation_never_grows_above_the_cap() -> None:
    """The oldest of the group are related, the others reported; a person's patches count."""
    given_terms = terms(most=3)
    assert requests([], [{1, 2, 3, 4, 5}], given_terms) == [(1, (2, 3))]
    assert reasons([], [{1, 2, 3, 4, 5}], given_terms) == {Reason.ABOVE_CAP: (4, 5)}
    assert requests([ours(1, 2, 3)], [{1, 2, 3, 4}], given_terms) == []
    assert requests([person(8, 9)], [{1, 2, 8}], given_terms) == [(1, (8,))]
    full = person(6, 7, 8, 9)
    assert requests([full], [{1, 2, 9}], given_terms) == []
    assert reasons([full], [{1, 2, 9}], given_terms) == {Reason.ABOVE_CAP: (1, 2)}


def test_a_hidden_relation_of_one_is_left_before_another_is_entered() -> None:
    """Else the server sees two relations; one alone needs nothing, whether it is there or not."""
    hidden, other = person(1), person(2)
    assert requests([hidden], [{1, 3}]) == [(3, (1,))]
    assert requests([hidden, ours(3, 4)], [{1, 3, 4}]) == [(1, ()), (1, (3,))]
    assert requests([hidden, other], [{1, 2}]) == [(2, ()), (2, (1,))]
    assert requests([hidden], [{1}]) == []


def test_components_are_independent_and_in_order() -> None:
    """Each has all patches that relations and groups link; the order of the input is nothing."""
    current = [ours(7, 8), ours(2, 3), person(4, 5)]
    wanted = [{7, 8, 9}, {1, 2}, {3, 4}]
    components = plan_steps(current, wanted, terms())
    assert [component.patches for component in components] == [(1, 2, 3, 4, 5), (7, 8, 9)]
    assert plan_steps(current[::-1], wanted[::-1], terms()) == components


def test_contradictions_are_refused() -> None:
    """A patch in two relations was read while they changed; one in two groups is an error."""
    with pytest.raises(TryAgainLater, match="patch 2 "):
        plan_steps([ours(1, 2), person(2, 3)], [], terms())
    with pytest.raises(GiveUp, match="patch 2 "):
        plan_steps([], [{1, 2}, {2, 3}], terms())


def test_a_notice_is_a_sentence() -> None:
    """It names the patches, many of them by number, and what became of them."""
    notice = Notice(Reason.ABOVE_CAP, tuple(range(200)), tuple(range(100, 200)))
    assert str(notice) == (
        "patches 100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 90 more"
        " are more than one relation may hold: they are in none"
    )
    assert len({str(Notice(reason, (1,), (1,))) for reason in Reason}) == len(Reason)
