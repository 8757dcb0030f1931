"""Brings what is wanted in Patchwork up to date with PaStA's groups, by what changed in them.

Asks nobody. What it costs follows the change: a group whose line in patch-groups is the one that
was looked at before, and whose mails are the same patches, is passed over.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from patchsync.analysis.groups import Changes, Group, read_groups
from patchsync.config import Config
from patchsync.push.annotations import Annotation, ProjectFacts, annotate
from patchsync.push.entries import Sink, Wanted
from patchsync.push.identity import Identity
from patchsync.push.ledger import Ledger
from patchsync.push.relation.neighbourhood import members_of
from patchsync.push.stored_patches import Patches
from patchsync.push.templates import Templates
from patchsync.sync.projects import Project

RULES = "rules"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a plan changed, in numbers."""

    # Groups that were looked at
    groups: int
    # Annotations that are wanted otherwise than before
    changed: int


def plan(config: Config, ledger: Ledger, sites: list[Project], identity: Identity) -> Planned:
    """Take over what changed in patch-groups since the last plan.

    Raises:
        ConfigError: a template cannot be used.
        TryAgainLater: patch-groups is not there, or is being written.
        StoreDamaged: it is something else.
    """
    wording = Templates(config.push)
    facts = {number: project.facts for number, project in identity.projects.items()}
    rules = _fingerprint(config, identity)
    with Patches(sites) as patches, ledger.transaction():
        positions = patches.positions()
        moved = patches.moved_since({name: ledger.note(name) for name in positions})
        done = array("q")
        if moved is not None and ledger.note(RULES) == rules:
            done.frombytes(ledger.lines)
        changes = Changes(config.patch_groups, done)
        left = _Left(ledger)
        count = 0

        def rows() -> Iterator[Wanted]:
            nonlocal count
            for group in _groups(config, changes, moved if done else None):
                count += 1
                found = list(_rows(config, patches, group, facts, wording))
                left.note({row.patch_id for row in found})
                yield from found
            for patch_id, project_id in left.patches():
                for sink, value in _values(Annotation()):
                    if sink in config.push.sinks:
                        yield Wanted(patch_id, project_id, sink, value)

        changed = ledger.want(rows())
        notes: Mapping[str, str | None] = positions | {RULES: rules}
        ledger.commit_plan((), changes.hashes.tobytes(), notes)
    return Planned(groups=count, changed=changed)


class _Left:
    """The patches that were in a group that is another now, and that no line names any more."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._named: set[int] = set()
        self._before: set[int] = set()

    def note(self, patch_ids: set[int]) -> None:
        """These are a group; to be told before the ledger is."""
        self._named |= patch_ids
        for entry in self._ledger.entries(Sink.RELATION, patch_ids).values():
            self._before |= members_of(entry.wanted)

    def patches(self) -> Iterator[tuple[int, int]]:
        """Patch and project, once all groups were told."""
        found = self._ledger.entries(Sink.RELATION, self._before - self._named)
        for entry in found.values():
            if entry.project_id is not None:
                yield entry.patch_id, entry.project_id


def _groups(config: Config, changes: Changes, moved: set[str] | None) -> Iterator[Group]:
    """Those whose line is new, and those with a mail that became another patch, too."""
    for _, group in changes:
        yield group
    if moved:
        for group in read_groups(config.patch_groups):
            if not moved.isdisjoint(group.message_ids):
                yield group


def _rows(
    config: Config,
    patches: Patches,
    group: Group,
    facts: Mapping[int, ProjectFacts],
    wording: Templates,
) -> Iterator[Wanted]:
    revisions = [patches.revision(message_id) for message_id in group.message_ids]
    project_of = {ref.patch_id: ref.project_id for each in revisions for ref in each.patches}
    found = annotate(revisions, group.commits, facts, config.push, wording)
    recent = _days_ago(config.push.comment.max_age_days)
    too_old = {ref.patch_id for each in revisions if each.date < recent for ref in each.patches}
    for patch_id, annotation in found.items():
        if patch_id in too_old:
            annotation = replace(annotation, comment=None)
        for sink, value in _values(annotation):
            if sink in config.push.sinks:
                yield Wanted(patch_id, project_of[patch_id], sink, value)


def _values(annotation: Annotation) -> Iterator[tuple[Sink, str | None]]:
    """As the ledger has them."""
    yield Sink.CHECK, _json(asdict(annotation.check)) if annotation.check else None
    yield Sink.RELATION, _json(annotation.relation) if annotation.relation else None
    yield Sink.STATE, _json(asdict(annotation.state)) if annotation.state else None
    comment = {"about": sorted(annotation.about), "text": annotation.comment}
    yield Sink.COMMENT, _json(comment) if annotation.comment else None


def _days_ago(days: int) -> str:
    """The date, as in the index, UTC."""
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y/%m/%d")


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _fingerprint(config: Config, identity: Identity) -> str:
    """Of all that decides what is wanted, beside groups and patches."""
    rules = config.push.model_dump(
        mode="json", include={"sinks", "check", "relation", "state", "comment"}
    )
    text = _json([rules, asdict(identity)])
    return hashlib.sha256(text.encode()).hexdigest()
