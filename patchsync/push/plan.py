"""Brings what is desired in Patchwork up to date with PaStA's groups, by what changed in them.

Asks nobody. What it costs follows the change: a group whose line in patch-groups is the one that
was looked at before, and whose mails are the same patches, is passed over.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from patchsync.analysis.groups import Changes, Group, read_groups
from patchsync.config import Config
from patchsync.push.annotations import Rules, annotate
from patchsync.push.comment.sender import gets_comments
from patchsync.push.entries import Desired, Sink
from patchsync.push.identity import Identity, identity_json
from patchsync.push.ledger import Ledger
from patchsync.push.stored_patches import StoredPatches
from patchsync.push.templates import Templates
from patchsync.sync.projects import Project

# The note of what decided beside groups and patches; without it a plan looks at all groups
RULES = "rules"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a plan changed, in numbers."""

    # Groups that were looked at
    groups: int
    # Annotations that are desired otherwise than before
    changed: int


def plan(
    config: Config, ledger: Ledger, projects: Collection[Project], identity: Identity
) -> Planned:
    """Take over what changed in patch-groups since the last plan.

    Raises:
        ConfigError: a template cannot be used.
        TryAgainLater: patch-groups is not there, or is being written.
        StoreDamaged: it is something else.
    """
    max_age = timedelta(days=config.push.comment.max_age_days)
    rules = Rules(
        push=config.push,
        templates=Templates(config.push),
        facts={number: project.facts for number, project in identity.projects.items()},
        commented={each.paths.project_id for each in projects if gets_comments(config, each)},
        oldest=(datetime.now(UTC) - max_age).strftime("%Y/%m/%d"),
    )
    fingerprint = _fingerprint(config, identity)
    with StoredPatches(projects) as patches, ledger.transaction():
        positions = patches.positions()
        moved = patches.moved_since({name: ledger.note(name) for name in positions})
        done = array("q")
        if moved is not None and ledger.note(RULES) == fingerprint:
            done.frombytes(ledger.lines)
        changes = Changes(config.patch_groups, done)
        dropped = _Dropped(ledger)
        groups = 0

        def desired() -> Iterator[Desired]:
            nonlocal groups
            for group in _groups(config, changes, moved if done else None):
                groups += 1
                revisions = [patches.revision(message_id) for message_id in group.message_ids]
                rows = list(annotate(revisions, group.commits, rules))
                dropped.note({row.patch_id for row in rows})
                yield from rows
            for patch_id, project_id in dropped.patches():
                for sink in config.push.sinks:
                    yield Desired(patch_id, project_id, Sink(sink), None)

        changed = ledger.set_desired(desired())
        ledger.finish_plan(changes.hashes.tobytes(), positions | {RULES: fingerprint})
    return Planned(groups=groups, changed=changed)


class _Dropped:
    """The patches that were in a group that is another now, and that no line names any more."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._named: set[int] = set()
        self._before: set[int] = set()

    def note(self, patch_ids: set[int]) -> None:
        """These are a group; to be told before the ledger is."""
        self._named |= patch_ids
        for entry in self._ledger.entries(Sink.RELATION, patch_ids).values():
            self._before |= entry.desired or set()

    def patches(self) -> Iterator[tuple[int, int]]:
        """Patch and project, once all groups were told."""
        for entry in self._ledger.entries(Sink.RELATION, self._before - self._named).values():
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


def _fingerprint(config: Config, identity: Identity) -> str:
    """Of all that decides what is desired, beside groups and patches."""
    rules = config.push.model_dump(
        mode="json", include={"sinks", "check", "relation", "state", "comment"}
    )
    text = json.dumps([rules, identity_json(identity)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
