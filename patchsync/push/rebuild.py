"""Learns from Patchwork what it shows from us: for a ledger that is new, or was lost.

Only reads. A relation that nothing shows to be ours counts as a person's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from patchsync.config.push_tables import PushTable
from patchsync.errors import GoneThere
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.relation_events import placed_by_us
from patchsync.patchwork.schemas import RelationEvent
from patchsync.push.checks import observed_value
from patchsync.push.entries import Desired, Sink, StateValue
from patchsync.push.identity import Identity
from patchsync.push.ledger import Ledger
from patchsync.push.relation.neighbourhood import relation_of


@dataclass(frozen=True, kw_only=True)
class Rebuild:
    """Fills a ledger that is not complete."""

    ledger: Ledger
    annotator: Annotator
    # Whose annotations are ours, and where
    identity: Identity
    # What our checks and states are called
    push: PushTable
    # Seconds since 1970
    clock: Callable[[], float]

    def run(self) -> Iterator[str]:
        """Fill it; yields how far it is, after each request or so."""
        began = self.clock()
        yield from self._relations(began)
        yield from self._states(began)
        for number, project in self.identity.projects.items():
            if self.annotator.own_checks(project.key, self.identity.user):
                # We were here before: a check may be under way that the lost ledger knew of.
                while (left := began + self.push.answer_seconds - self.clock()) > 0:
                    yield f"{project.link_name}: {left:.0f} seconds to wait for lost answers"
                    time.sleep(min(left, 1.0))
                yield from self._checks(number)
        self.ledger.set_complete()

    def _relations(self, now: float) -> Iterator[str]:
        relations: set[frozenset[int]] = set()
        project_of: dict[int, int] = {}
        events: dict[int, RelationEvent] = {}
        for project in self.identity.projects.values():
            page = 1
            while views := self.annotator.list_views(project.key, page):
                relations |= {relation_of(view) for view in views if view.related}
                project_of |= {view.id: view.project_id for view in views if view.related}
                yield f"{project.link_name}: {page} pages of patches"
                page += 1
            events |= self.annotator.relation_events(project.key)
            yield f"{project.link_name}: {len(events)} events of relations"
        ownership = self.ledger.ownership
        with self.ledger.transaction():
            for members in relations:
                for patch_id in members:
                    self.ledger.observe(Sink.RELATION, patch_id, members, now)
                if placed_by_us(members, events, self.identity.user.id):
                    ownership.note_placed(members)
                    # Until a plan wants it: what no group has is ours to take back.
                    self.ledger.set_desired(
                        Desired(patch_id, project_of[patch_id], Sink.RELATION, None)
                        for patch_id in members & project_of.keys()
                    )
            alone = events.keys() - frozenset().union(*relations)
            by_us = (None, self.identity.user.id)
            ownership.leave_alone((n for n in alone if events[n].actor_id not in by_us), now)

    def _states(self, now: float) -> Iterator[str]:
        """Where a patch has another state by now somebody chose it, maybe with the same account."""
        ours = (self.push.state.superseded, self.push.state.accepted)
        for project in self.identity.projects.values():
            states = self.annotator.own_states(project.key, self.identity.user, ours)
            with self.ledger.transaction():
                for patch_id, state in states.items():
                    value = StateValue(state=state, commit_ref=None)
                    self.ledger.observe(Sink.STATE, patch_id, value, now)
            yield f"{project.link_name}: {len(states)} states"

    def _checks(self, number: int) -> Iterator[str]:
        project, user = self.identity.projects[number], self.identity.user
        context, now = self.push.check.context, self.clock()
        own = self.annotator.own_checks(project.key, user)
        patch_ids = sorted(patch_id for patch_id, named in own if named == context)
        for count, patch_id in enumerate(patch_ids, 1):
            # An event does not have the description.
            try:
                check = self.annotator.newest_check(project.key, patch_id, user.id, context)
            except GoneThere:
                continue
            if check is not None:
                self.ledger.observe(Sink.CHECK, patch_id, observed_value(check), now)
                # Until a plan wants it: what no group has is ours to take back.
                self.ledger.set_desired([Desired(patch_id, number, Sink.CHECK, None)])
            yield f"{project.link_name}: {count} checks"
