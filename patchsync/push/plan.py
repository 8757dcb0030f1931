"""Brings what is desired in Patchwork up to date with PaStA's groups, by what changed in them.

Asks nobody. What it costs follows the change: a group whose line in patch-groups is the one that
was looked at before, and whose mails are the same patches, is passed over.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sized
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from patchsync.analysis.groups import Changes, Group, read_groups_of
from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.push.annotations import Revision, Rules, annotate
from patchsync.push.comment.sender import gets_comments
from patchsync.push.entries import CheckValue, Desired, Sink
from patchsync.push.identity import Identity, identity_json
from patchsync.push.ledger import Ledger
from patchsync.push.stored_patches import StoredPatches
from patchsync.push.templates import Templates
from patchsync.sync.projects import Project

# The note of what decided beside groups and patches; without it a plan looks at all groups
RULES = "rules"
# So much may be in patch-groups no more, whatever part of it that is
_FEW_LINES, _FEW_PATCHES = 3, 20


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a plan changed, in numbers."""

    # Groups that were looked at
    groups: int
    # Annotations that are desired otherwise than before
    changed: int


def plan(
    config: Config,
    ledger: Ledger,
    projects: Collection[Project],
    identity: Identity,
    *,
    fewer_groups: bool = False,
) -> Planned:
    """Take over what changed in patch-groups since the last plan.

    `fewer_groups`: also where so many mails are in it no more that it may have been cut.

    Raises:
        ConfigError: a template cannot be used.
        GiveUp: it may have been cut.
        TryAgainLater: patch-groups is not there, or is being written.
        StoreDamaged: it is something else.
    """
    max_age = timedelta(days=config.push.comment.max_age_days)
    rules = Rules(
        push=config.push,
        templates=Templates(config.push),
        facts={number: project.facts for number, project in identity.projects.items()},
        web_url=config.web.url,
        commented={each.paths.project_id for each in projects if gets_comments(config, each)},
        oldest=(datetime.now(UTC) - max_age).strftime("%Y/%m/%d"),
    )
    fingerprint = _fingerprint(config, identity)
    with StoredPatches(projects) as patches, ledger.transaction():
        positions = patches.positions()
        moved = patches.moved_since({name: ledger.note(name) for name in positions})
        done, before = array("q"), array("q")
        before.frombytes(ledger.lines)
        if moved is not None and ledger.note(RULES) == fingerprint:
            done = before
        changes = Changes(config.patch_groups, done)
        dropped = _Dropped(ledger)
        state = config.push.state
        needs_origins = Sink.STATE in config.push.sinks and state.superseded_by != "anyone"
        groups = 0
        line_of: dict[int, int] = {}
        gone_lines: set[int] = set()

        def desired() -> Iterator[Desired]:
            nonlocal groups
            for line, group in _groups(config, changes, moved if done else None):
                groups += 1
                with_origin = needs_origins and len(group.message_ids) > 1
                revisions = [patches.revision(each, with_origin) for each in group.message_ids]
                shown = _shown_checks(ledger, revisions) if Sink.CHECK in config.push.sinks else {}
                rows = list(annotate(revisions, group.commits, rules, shown))
                dropped.note({row.patch_id for row in rows})
                line_of.update({row.patch_id: line for row in rows if row.value is not None})
                yield from rows
            gone_lines.update(changes.gone(before))
            annotated = partial(ledger.annotated, config.push.sinks)
            vanished = ledger.named_by(gone_lines) - dropped.named
            if not done:
                # Which lines vanished while an earlier version wrote the ledger it does not say.
                vanished |= patches.present(annotated() - dropped.named)
            withdrawn = [
                Desired(entry.patch_id, entry.project_id, sink, None)
                for sink in map(Sink, config.push.sinks)
                for entry in ledger.entries(sink, dropped.patches() | vanished).values()
                if entry.project_id is not None and entry.desired is not None
            ]
            lost = len(vanished.intersection(row.patch_id for row in withdrawn))
            if not fewer_groups and _is_cut(before, changes.hashes, lost, annotated):
                raise GiveUp(
                    f"{config.patch_groups} has {len(changes.hashes)} lines, and had"
                    f" {len(before)} at the last push; {lost} patches with annotations are in"
                    " none any more: is it whole? If that is meant, run `patchsync push"
                    " --fewer-groups`, which withdraws these annotations"
                )
            yield from withdrawn

        changed = ledger.set_desired(desired())
        ledger.name_lines(line_of, gone_lines)
        ledger.finish_plan(changes.hashes.tobytes(), positions | {RULES: fingerprint})
    return Planned(groups=groups, changed=changed)


class _Dropped:
    """The patches that were in a group that is another now, and that no line names any more."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.named: set[int] = set()
        self._before: set[int] = set()

    def note(self, patch_ids: set[int]) -> None:
        """These are a group; to be told before the ledger is."""
        self.named |= patch_ids
        for entry in self._ledger.entries(Sink.RELATION, patch_ids).values():
            self._before |= entry.desired or set()

    def patches(self) -> set[int]:
        """Once all groups were told."""
        return self._before - self.named


def _shown_checks(ledger: Ledger, revisions: Iterable[Revision]) -> dict[int, CheckValue]:
    """By patch, the check that Patchwork has from us."""
    patch_ids = [patch.patch_id for each in revisions for patch in each.patches]
    entries = ledger.entries(Sink.CHECK, patch_ids)
    return {patch_id: each.observed for patch_id, each in entries.items() if each.observed}


def _is_cut(before: Sized, now: Sized, lost: int, annotated: Callable[[], Sized]) -> bool:
    """Whether patch-groups lost so much, by its lines and annotated patches, that it may be cut."""
    if not lost:
        return False
    fewer = len(before) - len(now)
    return (
        fewer > max(_FEW_LINES, len(before) // 10)
        or 2 * len(now) < len(before)
        or lost > max(_FEW_PATCHES, len(annotated()) // 20)
    )


def _groups(
    config: Config, changes: Changes, moved: set[str] | None
) -> Iterator[tuple[int, Group]]:
    """With its line's hash each whose line is new, or with a mail that became another patch."""
    yield from changes
    if moved:
        yield from read_groups_of(config.patch_groups, moved)


def _fingerprint(config: Config, identity: Identity) -> str:
    """Of all that decides what is desired, beside groups and patches."""
    rules = config.push.model_dump(
        mode="json", include={"sinks", "check", "relation", "state", "comment"}
    )
    # The last: the ledger has the line of each patch.
    decided = [rules, identity_json(identity), "named", *filter(None, [config.web.url])]
    text = json.dumps(decided, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
