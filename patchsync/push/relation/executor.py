"""Carries out what the planner of relations says, all that is linked at a time.

Before a request the ledger notes what it makes of each patch, and afterwards, at once, that it is
done: killed anywhere, the next round tells what we did from what a person did since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from patchsync.config.push_tables import RelationTable
from patchsync.errors import (
    AnswerLost,
    ChangedThere,
    NotWritten,
    PatchsyncError,
    TryAgainLater,
)
from patchsync.patchwork.annotator import Annotator
from patchsync.push.entries import Desired, Sink, TroubleKind
from patchsync.push.jobs import Job
from patchsync.push.ledger import Ledger
from patchsync.push.relation.neighbourhood import (
    Neighbourhood,
    TooMuch,
    read_neighbourhood,
    relation_of,
)
from patchsync.push.relation.people import Relations, acts_of_people, arrived
from patchsync.push.relation.planner import Component, Notice, Reason, Terms, plan_steps
from patchsync.push.relation.steps import Step
from patchsync.push.relation.under_way import UnderWay
from patchsync.push.sending import Outcome

# What is noted of a group for these reasons; for all others that a person decided otherwise
_KINDS = {Reason.NO_RIGHT: TroubleKind.NO_RIGHT, Reason.ABOVE_CAP: TroubleKind.LIMIT}


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
    # From when a request is sent: by then it has arrived, or never does.
    answer_seconds: float
    dry_run: bool = False

    def send(self, job: Job) -> Iterator[Outcome]:
        """See `Sender`; all that is linked to the job's patches, and how it ended is noted."""
        try:
            around = self._read(job.patch_ids)
            if left := self._seconds_to_wait(around):
                text = f"an answer about it was lost: looked up in {left:.0f} s"
                yield Outcome(patch_id=min(job.patch_ids), sink=Sink.RELATION, text=text)
                return
            components = self._plan(around)
        except TooMuch as error:
            if not self.dry_run:
                self._give_up(job.patch_ids, error)
            yield _trouble(min(job.patch_ids), str(error))
            return
        if self.dry_run:
            relations = around.present()
            for component in components:
                for step in component.steps:
                    yield _written(step, around, relations)
                    relations |= _becomes(step, relations)
                yield from map(_noticed, component.notices)
            return
        relations = around.present()
        troubles: dict[int, tuple[TroubleKind, str]] = {}
        for component in components:
            for notice in component.notices:
                kind = _KINDS.get(notice.reason, TroubleKind.REPORT)
                troubles |= dict.fromkeys(notice.group, (kind, str(notice)))
                yield _noticed(notice)
            try:
                yield from self._take_all(component.steps, around, relations)
            except NotWritten as error:
                trouble = TroubleKind.of(error), str(error)
                troubles |= dict.fromkeys(component.patches, trouble)
                yield _trouble(component.patches[0], str(error))
        self._settle(around, relations, troubles)

    def note_people(self, patch_ids: Iterable[int]) -> None:
        """Note what people did to all that is linked to some patches; nothing is sent.

        Raises:
            TooMuch: it cannot be one patch's revisions.
            TryAgainLater: a request about some of it may still arrive.
        """
        around = self._read(patch_ids)
        if left := self._seconds_to_wait(around):
            raise TryAgainLater(
                "an answer about these patches, or others that they are linked with, was lost: "
                f"nothing is taken back; try it again in {left:.0f} s"
            )
        self._plan(around)

    def _read(self, patch_ids: Iterable[int]) -> Neighbourhood:
        """Read from Patchwork what is linked to some patches.

        Raises:
            TooMuch: it cannot be one patch's revisions.
            TryAgainLater: it changed while it was read.
        """
        key = next(iter(self.keys.values()))
        around = read_neighbourhood(
            self.ledger,
            lambda patch_id: self.annotator.view(key, patch_id),
            patch_ids,
            self._under_way.relations(),
        )
        if overlap(around.present().values()):
            # Nothing is noted: who stands where is not known.
            raise TryAgainLater(f"the relations of patch {min(around.views)} changed meanwhile")
        return around

    def _seconds_to_wait(self, around: Neighbourhood) -> float:
        return self._under_way.seconds_left(around.observed, self.clock(), self.answer_seconds)

    def _plan(self, around: Neighbourhood) -> tuple[Component, ...]:
        """Note what people did, and plan; writes nothing to Patchwork."""
        ownership = self.ledger.ownership
        # What is sent upon it is claimed durably, and it with that.
        with self.ledger.noting():
            self._note_arrived(around)
            self._forget_gone(around)
            self._note_people(around)
            self._observe(around.present(), around)
            # Also those that are gone
            self._under_way.end(around.observed)
        around.left_alone = frozenset(ownership.left_alone() & around.views.keys())
        terms = Terms(
            may={view.id for view in around.views.values() if view.project_id in self.keys},
            most=self.table.most,
            join=self.table.foreign == "join",
            parted=frozenset(ownership.parted(around.views)),
        )
        current = around.relations(ownership.placed_by_us(around.views))
        return plan_steps(current, around.groups(), terms)

    def _forget_gone(self, around: Neighbourhood) -> None:
        """Forget what is gone from Patchwork, and relate the others without it."""
        gone = around.observed.keys() - around.views.keys()
        if gone:
            self.ledger.forget(gone)
            self.ledger.set_desired(
                Desired(each.patch_id, each.project_id, each.sink, _value(each.desired - gone))
                for each in around.entries.values()
                if each.desired and each.desired & gone and each.project_id is not None
                if each.patch_id not in gone
            )
            around.entries = self.ledger.entries(Sink.RELATION, around.views)

    def _note_people(self, around: Neighbourhood) -> None:
        """Note what people parted and related since we looked: that stays."""
        ownership, present = self.ledger.ownership, around.present()
        acts = acts_of_people(around.observed, present)
        ownership.note_parted(acts.parted)
        ownership.leave_alone(acts.alone, self.clock())
        ownership.forget_placed(acts.alone | acts.related)
        related = {members for members in present.values() if len(members) > 1}
        back = ownership.left_alone() & frozenset().union(*related)
        for patch_id in (back & around.entries.keys()) - ownership.with_parted(back):
            # A ledger of an earlier version does not have from whom it was parted.
            others = (around.entries[patch_id].desired or frozenset()) - {patch_id}
            ownership.note_parted((patch_id, other) for other in others)
        ownership.forget_left_alone(back)
        for members in related:
            ownership.forget_parted(members)

    def _take_all(
        self, steps: Iterable[Step], around: Neighbourhood, relations: Relations
    ) -> Iterator[Outcome]:
        """Take the steps; `relations`: what is there, which changes with them."""
        for step in steps:
            outcome = _written(step, around, relations)
            self._take(step, around, relations)
            yield outcome
        # An answer does not tell what is now.
        for members in {relations[step.patch_id] for step in steps if step.related}:
            try:
                self._demand(members, min(members), around)
            except ChangedThere:
                # What we made of them stays noted: the next look tells what a person did since.
                for patch_id in members:
                    del relations[patch_id]
                raise

    def _take(self, step: Step, around: Neighbourhood, relations: Relations) -> None:
        """Send a step, and note what is there by it; `relations` changes with it."""
        ownership = self.ledger.ownership
        ours = step.leaves.ours if step.leaves and step.related else frozenset()
        new = ours - ownership.placed_by_us(ours)
        becomes = _becomes(step, relations)
        if not step.related:
            # To add never undoes what a person did meanwhile; to take out may.
            self._demand(relations[step.patch_id], step.patch_id, around)
        with self.ledger.transaction():
            ownership.note_placed(ours)
            self._under_way.begin(becomes, self.clock())
        try:
            self._relate(step, around)
        except AnswerLost:
            raise
        except PatchsyncError:
            # Certainly not sent: what comes to be there is not ours.
            with self.ledger.transaction():
                ownership.forget_placed(new)
                self._under_way.end(becomes)
            raise
        with self.ledger.noting():
            ownership.forget_placed(_alone(becomes))
            self._observe(becomes, around)
            self._under_way.end(becomes)
        relations |= becomes

    def _demand(self, members: frozenset[int], patch_id: int, around: Neighbourhood) -> None:
        """Raise ChangedThere where a patch is not in this relation any more."""
        view = self.annotator.view(self._key(patch_id, around), patch_id)
        if view is None or relation_of(view) != members:
            raise ChangedThere(f"the relation of patch {patch_id} is not as we left it")

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
        with self.ledger.noting():
            self.ledger.ownership.forget_placed(_alone(relations))
            self._observe(relations, around)
            for patch_id, entry in around.entries.items():
                if _value(relations.get(patch_id, frozenset())) != entry.desired:
                    unsaid = TroubleKind.REPORT, _why_not(patch_id, around)
                    self.ledger.set_trouble(entry, *troubles.get(patch_id, unsaid), self.clock())

    def _give_up(self, patch_ids: Iterable[int], error: TooMuch) -> None:
        with self.ledger.transaction():
            for entry in self.ledger.entries(Sink.RELATION, patch_ids).values():
                if entry.desired != entry.observed:
                    self.ledger.set_trouble(entry, TroubleKind.LIMIT, str(error), self.clock())

    def _note_arrived(self, around: Neighbourhood) -> None:
        """Have what requests did, that nobody saw the end of, count as observed and ours."""
        present, noted = around.present(), self._under_way.relations()
        before = dict(around.observed)
        for members in set(noted.values()):
            after = {n: members for n in noted if noted[n] == members and n in present}
            if not members:
                # Of an earlier version: what is there of them is ours.
                named = frozenset(after)
                around.observed |= {
                    n: there if n in named else (around.observed[n] - named) | (there & named)
                    for n, there in present.items()
                }
            elif arrived(before, after, present):
                around.observed |= after
                if any(present[patch_id] != members for patch_id in after):
                    # A person changed it since: who made what is left is in doubt, so not we.
                    new = [n for n in after if (members - before[n]) & present[n]]
                    self.ledger.ownership.forget_placed(new)

    def _observe(self, relations: Relations, around: Neighbourhood) -> None:
        """Note what is there; of a patch in no relation if a plan ever said anything of it."""
        for patch_id, members in relations.items():
            value = _value(members)
            if value or patch_id in around.entries:
                self.ledger.observe(Sink.RELATION, patch_id, value, self.clock())

    @property
    def _under_way(self) -> UnderWay:
        return UnderWay(self.ledger)


def overlap(relations: Iterable[frozenset[int]]) -> bool:
    """Whether a patch is in two of the relations, as if they were read while they changed."""
    different = set(relations)
    return sum(map(len, different)) > len(frozenset().union(*different))


def _alone(relations: Relations) -> list[int]:
    return [patch_id for patch_id, members in relations.items() if len(members) == 1]


def _value(members: frozenset[int]) -> frozenset[int] | None:
    """As the ledger has a relation."""
    return members if len(members) > 1 else None


def _becomes(step: Step, relations: Relations) -> Relations:
    """The relations of all patches that a step changes, after it; `relations`: before it."""
    after = step.leaves.members if step.leaves else frozenset()
    return {
        patch_id: after if patch_id in after else frozenset({patch_id})
        for patch_id in relations[step.patch_id] | after
    }


def _written(step: Step, around: Neighbourhood, relations: Relations) -> Outcome:
    text = f"related to {_listed(step.related)}" if step.related else "taken out of its relation"
    return Outcome(
        patch_id=step.patch_id,
        sink=Sink.RELATION,
        text=text,
        written=True,
        others=frozenset(
            patch_id
            for patch_id in _becomes(step, relations).keys() & around.entries.keys()
            if around.entries[patch_id].desired != _value(relations[patch_id])
        ),
    )


def _noticed(notice: Notice) -> Outcome:
    trouble = notice.reason in _KINDS
    return replace(_trouble(notice.patches[0], str(notice)), trouble=trouble, respected=not trouble)


def _trouble(patch_id: int, text: str) -> Outcome:
    return Outcome(patch_id=patch_id, sink=Sink.RELATION, text=text, trouble=True)


def _why_not(patch_id: int, around: Neighbourhood) -> str:
    """Why a patch has not all that is desired, where the planner has nothing to say."""
    desired = around.entries[patch_id].desired or frozenset()
    if out := desired & around.left_alone:
        return f"a person took patches {_listed(out)} out of their relation: they stay out"
    return "a person related it to others: that stays"


def _listed(patch_ids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(patch_ids)))
