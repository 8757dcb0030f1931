"""Has a plan's draft hold what is wanted of the groups, some of them at a time.

Each look at a store or at the ledger is for all of these. What the ledger has already is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from patchsync.analysis.groups import Group
from patchsync.push.annotations import Rules, annotate
from patchsync.push.draft import Draft, DraftRow
from patchsync.push.entries import (
    CheckValue,
    Desired,
    Sink,
    SpeltEntry,
    Value,
    decode,
    encode,
)
from patchsync.push.ledger import Ledger
from patchsync.push.stored_patches import StoredPatch, StoredPatches

# What the ledger has of a patch, by sink
_Known = Mapping[int, Mapping[str, SpeltEntry]]


class Drafting:
    """One plan at work; its methods raise as `annotate`, the ledger and the stores."""

    def __init__(self, ledger: Ledger, draft: Draft, patches: StoredPatches, rules: Rules) -> None:
        self._ledger = ledger
        self._draft = draft
        self._patches = patches
        self._rules = rules
        self._sinks = frozenset(rules.push.sinks)
        state = rules.push.state
        self._needs_origins = Sink.STATE in self._sinks and state.superseded_by != "anyone"
        # Those that were in a group with one that is in another now
        self._before: set[int] = set()

    def look_at(self, groups: Collection[tuple[int, Group]]) -> None:
        """Take in some groups, each with its line's hash."""
        found = self._patches.find([each for _, group in groups for each in group.message_ids])
        known: dict[int, dict[str, SpeltEntry]] = {}
        for entry in self._ledger.spelt_entries(
            [patch.entry.patch_id for patches in found.values() for patch in patches]
        ):
            known.setdefault(entry.patch_id, {})[entry.sink] = entry
        rows: list[DraftRow] = []
        line_of: list[tuple[int, int | None]] = []
        for line, group in groups:
            ids = _ids(found, group)
            alone = len(ids) == len(group.message_ids) == 1 and not group.commits
            if alone and ids[0] not in known:
                continue  # As most are: nothing is wanted of it, and nothing was.
            desired = self._desired(group, found, known)
            annotated = {row.patch_id for row in desired if row.wanted is not None}
            line_of += [(each, line if each in annotated else None) for each in ids]
            if not known:
                rows += [row for row in desired if row.wanted is not None]
                continue
            self._note_before(desired, ids, known)
            rows += [row for row in desired if _is_new(row, known)]
        self._draft.add(rows, line_of)

    def withdraw(self, vanished: set[int]) -> set[int]:
        """Once all groups were: of which patches annotations are withdrawn.

        `vanished`: those whose lines are no more.
        """
        dropped = self._draft.without_looked_at(self._before) | vanished
        rows = [
            DraftRow(entry.sink, entry.patch_id, entry.project_id, None)
            for entry in self._ledger.spelt_entries(dropped)
            if entry.sink in self._sinks
            if entry.project_id is not None and entry.desired is not None
        ]
        self._draft.add(rows)
        return {row.patch_id for row in rows}

    def _desired(
        self, group: Group, found: Mapping[str, Collection[StoredPatch]], known: _Known
    ) -> list[DraftRow]:
        with_origin = self._needs_origins and len(group.message_ids) > 1
        revisions = [
            self._patches.revision(each, found.get(each, ()), with_origin)
            for each in group.message_ids
        ]
        shown: dict[int, CheckValue] = {}
        # A sender may be at it: then this is shown by the time that the draft is taken over.
        coming: dict[int, CheckValue] = {}
        for patch_id in _ids(found, group) if known and Sink.CHECK in self._sinks else ():
            entry = known.get(patch_id, {}).get(Sink.CHECK)
            if entry and entry.observed:
                shown[patch_id] = decode(Sink.CHECK, entry.observed)
            if entry and entry.desired and entry.desired != entry.observed:
                coming[patch_id] = decode(Sink.CHECK, entry.desired)
        rows = list(_spelt(annotate(revisions, group.commits, self._rules, shown)))
        if coming:
            then = _spelt(annotate(revisions, group.commits, self._rules, shown | coming))
            rows = [
                row._replace(coming=encode(coming[row.patch_id]), wanted_then=other.wanted)
                if row.sink == Sink.CHECK and row.patch_id in coming
                else row
                for row, other in zip(rows, then, strict=True)
            ]
        return rows

    def _note_before(self, desired: Iterable[DraftRow], ids: Iterable[int], known: _Known) -> None:
        """Note who was in a group with these, as far as it is another now."""
        now = {row.patch_id: row.wanted for row in desired if row.sink == Sink.RELATION}
        for patch_id in ids:
            entry = known.get(patch_id, {}).get(Sink.RELATION)
            if entry and entry.desired and entry.desired != now.get(patch_id):
                self._before |= decode(Sink.RELATION, entry.desired)


def _ids(found: Mapping[str, Collection[StoredPatch]], group: Group) -> list[int]:
    """Of the patches that a group's mails are."""
    return [patch.entry.patch_id for each in group.message_ids for patch in found.get(each, ())]


def _spelt(desired: Iterable[Desired]) -> Iterator[DraftRow]:
    # All patches of a relation have one value.
    last: tuple[Value | None, str | None] = None, None
    for patch_id, project_id, sink, value in desired:
        if sink is Sink.RELATION:
            if value is not last[0]:
                last = value, encode(value)
            yield DraftRow(sink, patch_id, project_id, last[1])
        else:
            yield DraftRow(sink, patch_id, project_id, encode(value))


def _is_new(row: DraftRow, known: _Known) -> bool:
    """Whether the ledger may have something else."""
    entry = known.get(row.patch_id, {}).get(row.sink)
    if entry is None:
        return row.wanted is not None
    if row.wanted is None and row.sink == Sink.STATE:
        return True  # What is wanted then goes by what is shown.
    wanted = {row.wanted, row.wanted if row.coming is None else row.wanted_then}
    return (wanted, row.project_id) != ({entry.desired}, entry.project_id)
