"""Learns from Patchwork what it shows from us: for a ledger that is new, or was lost.

Only reads. A relation that nothing shows to be ours counts as a person's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from patchsync.errors import GoneThere
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.ownership import placed_by_us
from patchsync.patchwork.schemas import PatchView, RelationEvent
from patchsync.push.checks import value_of
from patchsync.push.entries import HandsOff, Sink, Wanted
from patchsync.push.identity import Identity
from patchsync.push.ledger import Ledger


@dataclass(frozen=True)
class Reading:
    """How far it is: of which project what was read."""

    project: str
    what: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What of Patchwork is ours by its name."""

    # Of checks
    context: str
    # That we set
    states: tuple[str, ...]


def rebuild(
    ledger: Ledger,
    annotator: Annotator,
    identity: Identity,
    ours: Ours,
    answer_seconds: float,
    clock: Callable[[], float] = time.time,
) -> Iterator[Reading]:
    """Fill a ledger that is not complete; yields after each request or so.

    Args:
        ledger: what is known in the end.
        annotator: the Patchwork.
        identity: whose annotations are ours, and where.
        ours: what our checks and states are called.
        answer_seconds: what the ledger knew to be under way has come by then.
        clock: seconds since 1970.
    """
    began = clock()
    yield from _relations(ledger, annotator, identity, began)
    yield from _states(ledger, annotator, identity, ours.states, began)
    for number, project in identity.projects.items():
        if annotator.own_checks(project.key, identity.user):
            # We were here before: a check may be under way that the lost ledger knew of.
            while (left := began + answer_seconds - clock()) > 0:
                yield Reading(project.link_name, "seconds to wait for lost answers", round(left))
                time.sleep(min(left, 1.0))
            yield from _checks(ledger, annotator, identity, number, ours.context, clock())
    ledger.set_complete()


def _relations(
    ledger: Ledger, annotator: Annotator, identity: Identity, now: float
) -> Iterator[Reading]:
    relations: set[frozenset[int]] = set()
    project_of: dict[int, int] = {}
    events: dict[int, RelationEvent] = {}
    for project in identity.projects.values():
        for number, views in enumerate(_pages(annotator, project.key), 1):
            relations |= {frozenset({view.id, *view.related}) for view in views if view.related}
            project_of |= {view.id: view.project_id for view in views if view.related}
            yield Reading(project.link_name, "pages of patches", number)
        events |= annotator.relation_events(project.key)
        yield Reading(project.link_name, "events of relations", len(events))
    with ledger.transaction():
        for members in relations:
            value = json.dumps(sorted(members))
            for each in members:
                ledger.show(each, Sink.RELATION, value, now)
            if placed_by_us(members, events, identity.user.id):
                ledger.hands.note_made(members)
                # Until a plan wants it: what no group has is ours to take back.
                ledger.want(
                    Wanted(each, project_of[each], Sink.RELATION, None)
                    for each in members & project_of.keys()
                )
        alone = events.keys() - frozenset().union(*relations)
        ledger.hands.keep_hands_off(
            HandsOff(Sink.RELATION, each, "a person took it out of its relation", now)
            for each in alone
            if events[each].actor_id not in (None, identity.user.id)
        )


def _states(
    ledger: Ledger, annotator: Annotator, identity: Identity, states: tuple[str, ...], now: float
) -> Iterator[Reading]:
    """Of a patch that has another state by now somebody chose it: maybe with the same account."""
    for project in identity.projects.values():
        own = annotator.own_states(project.key, identity.user, states)
        with ledger.transaction():
            for patch_id, state in own.items():
                value = json.dumps({"commit_ref": None, "state": state})
                ledger.show(patch_id, Sink.STATE, value, now)
        yield Reading(project.link_name, "states", len(own))


def _checks(
    ledger: Ledger,
    annotator: Annotator,
    identity: Identity,
    number: int,
    context: str,
    now: float,
) -> Iterator[Reading]:
    project = identity.projects[number]
    own = annotator.own_checks(project.key, identity.user)
    for count, patch_id in enumerate(sorted(each for each, named in own if named == context), 1):
        # An event does not have the description.
        try:
            check = annotator.newest_check(project.key, patch_id, identity.user.id, context)
        except GoneThere:
            continue
        if check is not None:
            ledger.show(patch_id, Sink.CHECK, value_of(check), now, remote_id=check.id)
            # Until a plan wants it: what no group has is ours to take back.
            ledger.want([Wanted(patch_id, number, Sink.CHECK, None)])
        yield Reading(project.link_name, "checks", count)


def _pages(annotator: Annotator, key: str) -> Iterator[tuple[PatchView, ...]]:
    page = 1
    while views := annotator.list_views(key, page):
        yield views
        page += 1
