"""Cuts what is pending into jobs that can be done side by side, each by its patch ids alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from patchsync.analysis.components import components
from patchsync.errors import GiveUp
from patchsync.push.entries import Entry, RelationValue, Sink

# Checks, states or comments in one job
PER_JOB = 25


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one task does: patches of one project in one sink, or all that a relation links."""

    # Of a project that these are in, as the configuration spells it
    key: str
    sink: Sink
    patch_ids: tuple[int, ...]

    @classmethod
    def from_message(cls, key: str, sink: str, patch_ids: list[int]) -> Job:
        """The job of a task's arguments; GiveUp if they are something else."""
        try:
            return cls(key=key, sink=Sink(sink), patch_ids=tuple(map(int, patch_ids)))
        except (TypeError, ValueError) as error:
            raise GiveUp(f"no job: {sink!r}, {patch_ids!r} are not like 'check', [17]") from error


def cut(pending: Iterable[Entry[Any]], key_of: Mapping[int, str]) -> Iterator[Job]:
    """The jobs for what is pending; `key_of`: the projects' keys by id."""
    by_place: dict[tuple[Sink, int], list[Entry[Any]]] = {}
    for entry in pending:
        by_place.setdefault((entry.sink, entry.project_id or 0), []).append(entry)
    relations: list[Entry[RelationValue]] = []
    for (sink, number), entries in by_place.items():
        if sink == Sink.RELATION:
            relations += entries
            continue
        ids = iter(sorted(entry.patch_id for entry in entries))
        while some := tuple(islice(ids, PER_JOB)):
            yield Job(key=key_of[number], sink=sink, patch_ids=some)
    number_of = {entry.patch_id: entry.project_id or 0 for entry in relations}
    # Those of one group link the same, and are as many.
    for linked in components(dict.fromkeys(map(_linked, relations))):
        first = min(linked & number_of.keys())
        yield Job(key=key_of[number_of[first]], sink=Sink.RELATION, patch_ids=tuple(sorted(linked)))


def _linked(entry: Entry[RelationValue]) -> frozenset[int]:
    """The patches that an entry links, by what is desired or was observed."""
    return frozenset({entry.patch_id}).union(entry.desired or (), entry.observed or ())
