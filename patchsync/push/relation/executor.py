"""Carries out what the planner of relations says, all that is linked at a time.

Before a request the ledger notes what it makes of each patch, and afterwards, at once, that it is
done: killed anywhere, the next round tells what we did from what a person did since.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from patchsync.errors import (
    AnswerLost,
    ChangedThere,
    NotWritten,
    PatchsyncError,
    TryAgainLater,
)
from patchsync.patchwork.annotator import Annotator
from patchsync.push.entries import Sink, Trouble
from patchsync.push.ledger import Ledger
from patchsync.push.relation.neighbourhood import (
    Neighbourhood,
    TooMuch,
    gather,
    members_of,
    relation_of,
    taken_away,
    taken_over,
)
from patchsync.push.relation.planner import Component, Notice, Terms, plan_steps
from patchsync.push.relation.steps import Step
from patchsync.push.sending import Outcome, trouble_of

# What requests make of patches, until it is noted that they did
UNDER_WAY = "relations under way"

# The relation of each patch; a patch that is in none is alone in its own
Relations = dict[int, frozenset[int]]


def under_way(ledger: Ledger) -> Mapping[int, frozenset[int] | None]:
    """By patch, the relation that a request of ours makes, if it arrives; nobody looked since.

    None: which one is not known, as in a ledger of an earlier version.
    """
    noted = json.loads(ledger.note(UNDER_WAY) or "{}")
    if isinstance(noted, list):
        return dict.fromkeys(noted)
    return {int(each): frozenset(members) for each, members in noted.items()}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the configuration and our rights say of relations."""

    # Link name or number, for the requests of each project that we maintain, by its id
    key_of: Mapping[int, str]
    # Patches in one relation
    most: int
    # Whether what a person related is joined
    join: bool


@dataclass(kw_only=True)
class Look:
    """What there is, and what is to be done."""

    around: Neighbourhood
    components: tuple[Component, ...]


class Relating:
    """Makes Patchwork's relations those of the groups, as far as people let it."""

    def __init__(self, ledger: Ledger, annotator: Annotator, rules: Rules) -> None:
        self._ledger = ledger
        self._annotator = annotator
        self._rules = rules

    def look(self, patch_ids: Iterable[int], now: float) -> Look:
        """Read from Patchwork what is linked to some patches, and plan; writes nothing there.

        Raises:
            TooMuch: it cannot be one patch's revisions.
            TryAgainLater: it changed while it was read.
        """
        key = next(iter(self._rules.key_of.values()))
        around = gather(self._ledger, lambda each: self._annotator.view(key, each), patch_ids)
        if overlap(around.present().values()):
            # Nothing is noted: who stands where is not known.
            raise TryAgainLater(f"the relations of patch {min(around.views)} changed meanwhile")
        with self._ledger.transaction():
            self._note_arrived(around)
            made = self._ledger.hands.made(around.views)
            away = taken_away(around, made, now)
            self._ledger.hands.keep_hands_off(away)
            # What a person placed since is not ours any more, wherever it is put.
            self._ledger.hands.forget_made(each.patch_id for each in away)
            self._ledger.hands.forget_made(taken_over(around, made))
            self._show(around.present(), around, now)
            # Also those that are gone
            self._end(around.shown)
        off = self._ledger.hands.hands_off(Sink.RELATION)
        around.hands_off = frozenset(off.keys() & around.views.keys())
        return Look(around=around, components=self._plan(around))

    def outcomes(
        self, patch_ids: Collection[int], now: float, *, dry_run: bool = False
    ) -> Iterator[Outcome]:
        """Do what `look` says, or only say so, and note how it ended.

        Raises:
            AnswerLost, ServerUnavailable: the next round reads what came of it.
        """
        try:
            found = self.look(patch_ids, now)
        except TooMuch as error:
            if not dry_run:
                self._give_up(patch_ids, error, now)
            yield _failed(min(patch_ids), str(error))
            return
        if dry_run:
            for component in found.components:
                yield from map(_told, component.steps)
                yield from map(_noticed, component.notices)
            return
        troubles: dict[int, tuple[Trouble, str]] = {}
        there = found.around.present()
        for component in found.components:
            for notice in component.notices:
                troubles |= dict.fromkeys(notice.group, (Trouble.REPORT, str(notice)))
                yield _noticed(notice)
            try:
                yield from self._do_all(component.steps, found.around, there, now)
            except NotWritten as error:
                troubles |= dict.fromkeys(component.patches, (trouble_of(error), str(error)))
                yield _failed(component.patches[0], str(error))
        self._settle(found.around, there, troubles, now)

    def _plan(self, around: Neighbourhood) -> tuple[Component, ...]:
        terms = Terms(
            may={
                view.id for view in around.views.values() if view.project_id in self._rules.key_of
            },
            most=self._rules.most,
            join=self._rules.join,
        )
        current = around.relations(self._ledger.hands.made(around.views))
        return plan_steps(current, around.groups(), terms)

    def _do_all(
        self,
        steps: Iterable[Step],
        around: Neighbourhood,
        there: Relations,
        now: float,
    ) -> Iterator[Outcome]:
        """Take the steps; `there`: the relation of each patch, which changes with them."""
        for step in steps:
            self._take(step, around, there, now)
            yield _told(step)
        # An answer does not tell what is now.
        for members in {there[step.patch_id] for step in steps if step.related}:
            view = self._annotator.view(self._key(min(members), around), min(members))
            if view is None or relation_of(view) != members:
                # What we made of them stays noted: the next look tells what a person did since.
                for each in members:
                    del there[each]
                raise ChangedThere(f"the relation of patch {min(members)} is not as we left it")

    def _key(self, patch_id: int, around: Neighbourhood) -> str:
        return self._rules.key_of[around.views[patch_id].project_id]

    def _take(self, step: Step, around: Neighbourhood, there: Relations, now: float) -> None:
        """Send a step, and note what is there by it; `there` changes with it."""
        after = step.leaves.members if step.leaves else frozenset()
        ours = step.leaves.ours if step.leaves and step.related else frozenset()
        new = ours - self._ledger.hands.made(ours)
        becomes = {
            each: after if each in after else frozenset({each})
            for each in there[step.patch_id] | after
        }
        with self._ledger.transaction():
            self._ledger.hands.note_made(ours)
            self._begin(becomes)
        try:
            self._relate(step, around)
        except AnswerLost:
            raise
        except PatchsyncError:
            # Certainly not sent: what comes to be there is not ours.
            with self._ledger.transaction():
                self._ledger.hands.forget_made(new)
                self._end(becomes)
            raise
        with self._ledger.transaction():
            self._ledger.hands.forget_made(_alone(becomes))
            self._show(becomes, around, now)
            self._end(becomes)
        there |= becomes

    def _relate(self, step: Step, around: Neighbourhood) -> None:
        """Send a step; at a 409 a patch may stand in a relation alone, which nobody sees."""
        key = self._key(step.patch_id, around)
        try:
            self._annotator.relate(key, step.patch_id, step.related)
        except ChangedThere:
            alone = [
                each
                for each in (step.patch_id, *step.related)
                if (view := self._annotator.view(key, each)) is not None and not view.related
            ]
            for each in alone:
                self._annotator.relate(self._key(each, around), each, ())
            if not alone:
                raise
            self._annotator.relate(key, step.patch_id, step.related)

    def _settle(
        self,
        around: Neighbourhood,
        there: Relations,
        troubles: Mapping[int, tuple[Trouble, str]],
        now: float,
    ) -> None:
        """Note what each patch has now; where that is not what is wanted, why."""
        with self._ledger.transaction():
            self._ledger.hands.forget_made(_alone(there))
            gone = around.entries.keys() - around.views.keys()
            self._show(there | dict.fromkeys(gone, frozenset()), around, now)
            for each, entry in around.entries.items():
                if _value(there.get(each, frozenset())) != entry.wanted:
                    kind, text = troubles.get(each, (Trouble.REPORT, _why(each, around)))
                    self._ledger.trouble(each, Sink.RELATION, kind, text, entry.wanted, now)

    def _give_up(self, patch_ids: Collection[int], error: TooMuch, now: float) -> None:
        with self._ledger.transaction():
            for each, entry in self._ledger.entries(Sink.RELATION, patch_ids).items():
                kind, wanted = Trouble.REPORT, entry.wanted
                self._ledger.trouble(each, Sink.RELATION, kind, str(error), wanted, now)

    def _note_arrived(self, around: Neighbourhood) -> None:
        """Have what requests did, that nobody saw the end of, count as shown by us."""
        present, noted = around.present(), under_way(self._ledger)
        for after in set(noted.values()):
            patches = {each for each in noted if noted[each] == after and each in present}
            if after is None:
                around.shown |= {each: present[each] for each in patches}
                continue
            if any(present[each] != after for each in patches):
                if not any(present[each] & after - around.shown[each] for each in patches):
                    # It did not arrive: where a person places a patch now, it is not ours.
                    alone = [each for each in patches if len(around.shown[each]) == 1]
                    self._ledger.hands.forget_made(alone)
                    continue
                # A person changed it since: what is left of it is in doubt, and so that person's.
                related = [each for each in patches if len(present[each]) > 1]
                self._ledger.hands.forget_made(related)
            around.shown |= dict.fromkeys(patches, after)

    def _show(self, relations: Relations, around: Neighbourhood, now: float) -> None:
        """Note what is there, of the patches that a plan ever said anything of."""
        for each in relations.keys() & around.entries.keys():
            self._ledger.show(each, Sink.RELATION, _value(relations[each]), now)

    def _begin(self, becomes: Relations) -> None:
        self._set_under_way({**under_way(self._ledger), **becomes})

    def _end(self, patch_ids: Iterable[int]) -> None:
        over = set(patch_ids)
        noted = under_way(self._ledger)
        self._set_under_way({each: noted[each] for each in noted if each not in over})

    def _set_under_way(self, becomes: Mapping[int, frozenset[int] | None]) -> None:
        values = {each: members and sorted(members) for each, members in becomes.items()}
        self._ledger.write_notes({UNDER_WAY: json.dumps(values) if values else None})


def overlap(relations: Iterable[frozenset[int]]) -> bool:
    """Whether a patch is in two of the relations, as if they were read while they changed."""
    different = set(relations)
    return sum(map(len, different)) > len(frozenset().union(*different))


def _alone(relations: Relations) -> list[int]:
    return [each for each, members in relations.items() if len(members) == 1]


def _value(members: frozenset[int]) -> str | None:
    """As the ledger has a relation."""
    return json.dumps(sorted(members)) if len(members) > 1 else None


def _told(step: Step) -> Outcome:
    text = f"related to {_listed(step.related)}" if step.related else "taken out of its relation"
    return Outcome(patch_id=step.patch_id, sink=Sink.RELATION, text=text, written=True)


def _noticed(notice: Notice) -> Outcome:
    return _failed(notice.patches[0], str(notice))


def _failed(patch_id: int, text: str) -> Outcome:
    return Outcome(patch_id=patch_id, sink=Sink.RELATION, text=text, trouble=True)


def _why(patch_id: int, around: Neighbourhood) -> str:
    """Why a patch has not all that is wanted, where the planner has nothing to report."""
    wanted = members_of(around.entries[patch_id].wanted)
    out, gone = wanted & around.hands_off, wanted - around.views.keys()
    if out:
        return f"a person took patches {_listed(out)} out of their relation: they stay out"
    if gone:
        return f"patches {_listed(gone)} are gone from Patchwork"
    return "a person related it to others: that stays"


def _listed(patch_ids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(patch_ids)))
