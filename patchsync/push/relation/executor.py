"""Carries out what the planner of relations says, all that is linked at a time.

Before a request the ledger notes what it makes of each patch, and afterwards, at once, that it is
done: killed anywhere, the next round tells what we did from what a person did since.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from patchsync.config.push_tables import RelationTable
from patchsync.errors import (
    AnswerLost,
    ChangedThere,
    NotWritten,
    PatchsyncError,
    TryAgainLater,
)
from patchsync.patchwork.annotator import Annotator
from patchsync.push.entries import Sink, TroubleKind
from patchsync.push.jobs import Job
from patchsync.push.ledger import Ledger
from patchsync.push.relation.neighbourhood import (
    Neighbourhood,
    Relations,
    TooMuch,
    read_neighbourhood,
    relation_of,
    taken_out,
    taken_over,
)
from patchsync.push.relation.planner import Component, Notice, Terms, plan_steps
from patchsync.push.relation.steps import Step
from patchsync.push.sending import Outcome

# The ledger's note of what requests make of patches, until it is noted that they did
UNDER_WAY = "relations under way"


def under_way(ledger: Ledger) -> Mapping[int, frozenset[int] | None]:
    """By patch, the relation that a request of ours makes, if it arrives; nobody looked since.

    None: which one is not known, as in a ledger of an earlier version.
    """
    noted = json.loads(ledger.note(UNDER_WAY) or "{}")
    if isinstance(noted, list):
        return dict.fromkeys(noted)
    return {int(patch_id): frozenset(members) for patch_id, members in noted.items()}


@dataclass(kw_only=True)
class RelationSender:
    """Makes Patchwork's relations those of the groups, as far as people let it."""

    ledger: Ledger
    annotator: Annotator
    # How the configuration spells the projects whose patches we may relate, by id
    keys: Mapping[int, str]
    table: RelationTable
    # Seconds since 1970
    clock: Callable[[], float]
    dry_run: bool = False

    def send(self, job: Job) -> Iterator[Outcome]:
        """See `Sender`; all that is linked to the job's patches, and how it ended is noted."""
        try:
            around, components = self._look(job.patch_ids)
        except TooMuch as error:
            if not self.dry_run:
                self._give_up(job.patch_ids, error)
            yield _trouble(min(job.patch_ids), str(error))
            return
        if self.dry_run:
            for component in components:
                yield from map(_written, component.steps)
                yield from map(_noticed, component.notices)
            return
        relations = around.present()
        troubles: dict[int, tuple[TroubleKind, str]] = {}
        for component in components:
            for notice in component.notices:
                troubles |= dict.fromkeys(notice.group, (TroubleKind.REPORT, str(notice)))
                yield _noticed(notice)
            try:
                yield from self._take_all(component.steps, around, relations)
            except NotWritten as error:
                trouble = TroubleKind.of(error), str(error)
                troubles |= dict.fromkeys(component.patches, trouble)
                yield _trouble(component.patches[0], str(error))
        self._settle(around, relations, troubles)

    def _look(self, patch_ids: Iterable[int]) -> tuple[Neighbourhood, tuple[Component, ...]]:
        """Read from Patchwork what is linked to some patches, and plan; writes nothing there.

        Raises:
            TooMuch: it cannot be one patch's revisions.
            TryAgainLater: it changed while it was read.
        """
        ownership = self.ledger.ownership
        key = next(iter(self.keys.values()))
        around = read_neighbourhood(
            self.ledger, lambda patch_id: self.annotator.view(key, patch_id), patch_ids
        )
        if overlap(around.present().values()):
            # Nothing is noted: who stands where is not known.
            raise TryAgainLater(f"the relations of patch {min(around.views)} changed meanwhile")
        with self.ledger.transaction():
            self._note_arrived(around)
            placed_by_us = ownership.placed_by_us(around.views)
            out = taken_out(around, placed_by_us)
            ownership.leave_alone(out, self.clock())
            # What a person placed since is not ours any more, wherever it is put.
            ownership.forget_placed(out | taken_over(around, placed_by_us))
            self._observe(around.present(), around)
            # Also those that are gone
            self._end(around.observed)
        around.left_alone = frozenset(ownership.left_alone() & around.views.keys())
        terms = Terms(
            may={view.id for view in around.views.values() if view.project_id in self.keys},
            most=self.table.most,
            join=self.table.foreign == "join",
        )
        current = around.relations(ownership.placed_by_us(around.views))
        return around, plan_steps(current, around.groups(), terms)

    def _take_all(
        self, steps: Iterable[Step], around: Neighbourhood, relations: Relations
    ) -> Iterator[Outcome]:
        """Take the steps; `relations`: what is there, which changes with them."""
        for step in steps:
            self._take(step, around, relations)
            yield _written(step)
        # An answer does not tell what is now.
        for members in {relations[step.patch_id] for step in steps if step.related}:
            view = self.annotator.view(self._key(min(members), around), min(members))
            if view is None or relation_of(view) != members:
                # What we made of them stays noted: the next look tells what a person did since.
                for patch_id in members:
                    del relations[patch_id]
                raise ChangedThere(f"the relation of patch {min(members)} is not as we left it")

    def _take(self, step: Step, around: Neighbourhood, relations: Relations) -> None:
        """Send a step, and note what is there by it; `relations` changes with it."""
        ownership = self.ledger.ownership
        after = step.leaves.members if step.leaves else frozenset()
        ours = step.leaves.ours if step.leaves and step.related else frozenset()
        new = ours - ownership.placed_by_us(ours)
        becomes = {
            patch_id: after if patch_id in after else frozenset({patch_id})
            for patch_id in relations[step.patch_id] | after
        }
        with self.ledger.transaction():
            ownership.note_placed(ours)
            self._begin(becomes)
        try:
            self._relate(step, around)
        except AnswerLost:
            raise
        except PatchsyncError:
            # Certainly not sent: what comes to be there is not ours.
            with self.ledger.transaction():
                ownership.forget_placed(new)
                self._end(becomes)
            raise
        with self.ledger.transaction():
            ownership.forget_placed(_alone(becomes))
            self._observe(becomes, around)
            self._end(becomes)
        relations |= becomes

    def _relate(self, step: Step, around: Neighbourhood) -> None:
        """Send a step; at a 409 a patch may stand in a relation alone, which nobody sees."""
        key = self._key(step.patch_id, around)
        try:
            self.annotator.relate(key, step.patch_id, step.related)
        except ChangedThere:
            alone = [
                patch_id
                for patch_id in (step.patch_id, *step.related)
                if (view := self.annotator.view(key, patch_id)) is not None and not view.related
            ]
            for patch_id in alone:
                self.annotator.relate(self._key(patch_id, around), patch_id, ())
            if not alone:
                raise
            self.annotator.relate(key, step.patch_id, step.related)

    def _key(self, patch_id: int, around: Neighbourhood) -> str:
        return self.keys[around.views[patch_id].project_id]

    def _settle(
        self,
        around: Neighbourhood,
        relations: Relations,
        troubles: Mapping[int, tuple[TroubleKind, str]],
    ) -> None:
        """Note what each patch has now; where that is not what is desired, why."""
        with self.ledger.transaction():
            self.ledger.ownership.forget_placed(_alone(relations))
            gone = around.entries.keys() - around.views.keys()
            self._observe(relations | dict.fromkeys(gone, frozenset()), around)
            for patch_id, entry in around.entries.items():
                if _value(relations.get(patch_id, frozenset())) != entry.desired:
                    unsaid = TroubleKind.REPORT, _why_not(patch_id, around)
                    self.ledger.set_trouble(entry, *troubles.get(patch_id, unsaid), self.clock())

    def _give_up(self, patch_ids: Iterable[int], error: TooMuch) -> None:
        with self.ledger.transaction():
            for entry in self.ledger.entries(Sink.RELATION, patch_ids).values():
                self.ledger.set_trouble(entry, TroubleKind.REPORT, str(error), self.clock())

    def _note_arrived(self, around: Neighbourhood) -> None:
        """Have what requests did, that nobody saw the end of, count as observed and ours."""
        present, noted = around.present(), under_way(self.ledger)
        for after in set(noted.values()):
            patches = {each for each in noted if noted[each] == after and each in present}
            if after is None:
                around.observed |= {each: present[each] for each in patches}
                continue
            if any(present[each] != after for each in patches):
                if not any(present[each] & after - around.observed[each] for each in patches):
                    # It did not arrive: where a person places a patch now, it is not ours.
                    alone = [each for each in patches if len(around.observed[each]) == 1]
                    self.ledger.ownership.forget_placed(alone)
                    continue
                # A person changed it since: what is left of it is in doubt, and so that person's.
                related = [each for each in patches if len(present[each]) > 1]
                self.ledger.ownership.forget_placed(related)
            around.observed |= dict.fromkeys(patches, after)

    def _observe(self, relations: Relations, around: Neighbourhood) -> None:
        """Note what is there, of the patches that a plan ever said anything of."""
        for patch_id in relations.keys() & around.entries.keys():
            value = _value(relations[patch_id])
            self.ledger.observe(Sink.RELATION, patch_id, value, self.clock())

    def _begin(self, becomes: Relations) -> None:
        self._set_under_way({**under_way(self.ledger), **becomes})

    def _end(self, patch_ids: Iterable[int]) -> None:
        over, noted = set(patch_ids), under_way(self.ledger)
        self._set_under_way({each: noted[each] for each in noted if each not in over})

    def _set_under_way(self, becomes: Mapping[int, frozenset[int] | None]) -> None:
        values = {patch_id: members and sorted(members) for patch_id, members in becomes.items()}
        self.ledger.write_notes({UNDER_WAY: json.dumps(values) if values else None})


def overlap(relations: Iterable[frozenset[int]]) -> bool:
    """Whether a patch is in two of the relations, as if they were read while they changed."""
    different = set(relations)
    return sum(map(len, different)) > len(frozenset().union(*different))


def _alone(relations: Relations) -> list[int]:
    return [patch_id for patch_id, members in relations.items() if len(members) == 1]


def _value(members: frozenset[int]) -> frozenset[int] | None:
    """As the ledger has a relation."""
    return members if len(members) > 1 else None


def _written(step: Step) -> Outcome:
    text = f"related to {_listed(step.related)}" if step.related else "taken out of its relation"
    return Outcome(patch_id=step.patch_id, sink=Sink.RELATION, text=text, written=True)


def _noticed(notice: Notice) -> Outcome:
    return _trouble(notice.patches[0], str(notice))


def _trouble(patch_id: int, text: str) -> Outcome:
    return Outcome(patch_id=patch_id, sink=Sink.RELATION, text=text, trouble=True)


def _why_not(patch_id: int, around: Neighbourhood) -> str:
    """Why a patch has not all that is desired, where the planner has nothing to say."""
    desired = around.entries[patch_id].desired or frozenset()
    out, gone = desired & around.left_alone, desired - around.views.keys()
    if out:
        return f"a person took patches {_listed(out)} out of their relation: they stay out"
    if gone:
        return f"patches {_listed(gone)} are gone from Patchwork"
    return "a person related it to others: that stays"


def _listed(patch_ids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(patch_ids)))
