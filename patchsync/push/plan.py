"""Brings what is desired in Patchwork up to date with PaStA's groups, by what changed in them.

Asks nobody. What it costs follows the change: a group whose line in patch-groups is the one that
was looked at before, and whose mails are the same patches, is passed over.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Collection, Iterator, Sized
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

from patchsync.analysis.groups import Changes, Group, read_groups_of
from patchsync.config import Config
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.push.annotations import Rules
from patchsync.push.comment.sender import gets_comments
from patchsync.push.drafting import Drafting
from patchsync.push.identity import Identity, identity_json
from patchsync.push.ledger import Ledger
from patchsync.push.stored_patches import StoredPatches
from patchsync.push.templates import Templates
from patchsync.sync.projects import Project

# The note of what decided beside groups and patches; without it a plan looks at all groups
RULES = "rules"
# That of what the version of patch-groups was, by which nothing is read that is the same still
_VERSION = "groups"
_AT_A_TIME = 200  # groups: of more what is made of them lives long, and costs time
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
    with ledger.planning(), StoredPatches(projects) as patches, ledger.draft() as draft:
        basis = ledger.basis(RULES)
        positions = patches.positions()
        moved = patches.moved_since({name: ledger.note(name) for name in positions})
        done, before = array("q"), array("q")
        before.frombytes(ledger.lines)
        if moved is not None and ledger.note(RULES) == fingerprint:
            done = before
        changes = Changes(config.patch_groups, done, ledger.note(_VERSION))
        drafting = Drafting(ledger, draft, patches, rules)
        groups = 0
        reading = _groups(config, changes, moved if done else None)
        while some := list(islice(reading, _AT_A_TIME)):
            groups += len(some)
            drafting.look_at(some)
        gone_lines = changes.gone(before)
        vanished = draft.vanished_with(gone_lines)
        if not done:
            # Which lines vanished while an earlier version wrote the ledger it does not say.
            vanished |= patches.present(draft.annotated_elsewhere(config.push.sinks))
        withdrawn = drafting.withdraw(vanished)
        lost = len(withdrawn & vanished)
        count_annotated = partial(ledger.count_annotated, config.push.sinks)
        if not fewer_groups and _is_cut(before, changes.hashes, lost, count_annotated):
            raise GiveUp(
                f"{config.patch_groups} has {len(changes.hashes)} lines, and had"
                f" {len(before)} at the last push; {lost} patches with annotations are in"
                " none any more: is it whole? If that is meant, run `patchsync push"
                " --fewer-groups`, which withdraws these annotations"
            )
        with ledger.transaction():
            if ledger.basis(RULES) != basis:
                raise TryAgainLater(
                    "somebody ran `patchsync push` with --undo or --retry while it was planned"
                )
            changed = draft.take_over(gone_lines)
            notes = positions | {RULES: fingerprint, _VERSION: changes.version}
            ledger.finish_plan(changes.hashes.tobytes(), notes)
    return Planned(groups=groups, changed=changed)


def _is_cut(before: Sized, now: Sized, lost: int, count_annotated: Callable[[], int]) -> bool:
    """Whether patch-groups lost so much, by its lines and annotated patches, that it may be cut."""
    if not lost:
        return False
    fewer = len(before) - len(now)
    return (
        fewer > max(_FEW_LINES, len(before) // 10)
        or 2 * len(now) < len(before)
        or lost > max(_FEW_PATCHES, count_annotated() // 20)
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
