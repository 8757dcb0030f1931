"""What of a project waits for somebody: what is done but shown as open, and what nobody answered.

The catalog is held against what Patchwork was last seen to show; nobody is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from patchsync.config import Config
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.model import PatchInProject, PatchMail, follows
from patchsync.store.patch_views import PatchViews, StoredView
from patchsync.sync.projects import Project

# As slugs; a Patchwork may have others.
OPEN_STATES = ("new", "under-review")
# Of one page: patches in these states that are looked at for it, if not told; and that are on it
MOST_LOOKED_AT = 10_000
MOST_ON_A_PAGE = 1000
_AT_ONCE = 100

Kind = Literal["done", "unanswered"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingPatch:
    """A patch that waits for somebody."""

    mail: PatchMail
    # As a patch of the project
    patch: PatchInProject
    # Of a `done` one: the last revision after it, by message-id; and the commits that it became
    later: str | None = None
    commits: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingPage:
    """Some of the patches that wait, those that came last first."""

    patches: tuple[WaitingPatch, ...]
    # `before` of the next page, None where all was looked at: a page may be short, even empty, and
    # have a next one.
    before: int | None


def triage(
    config: Config,
    catalog: Catalog,
    project: Project,
    kind: Kind,
    *,
    states: Sequence[str] = OPEN_STATES,
    before: int | None = None,
    limit: int = 50,
    look_at: int = MOST_LOOKED_AT,
) -> WaitingPage:
    """The patches of a project that wait, in falling order of their patchwork ids.

    All are such as Patchwork was last seen to show in one of `states`, and not archived.

    `done`: a later revision is there, on whatever list, or it is upstream. `unanswered`: in the
    first of `states`, without delegate; nobody's checks but ours; no later revision, not upstream;
    and no patch of another author in the store that answers it.

    `before`: of the page before this one; `limit`: how many at most; `look_at`: how many patches in
    these states are looked at for that.
    """
    limit = max(1, min(limit, MOST_ON_A_PAGE))
    found: list[WaitingPatch] = []
    looked_at = 0
    # What was read of the patches before: a group may have thousands, one after the other
    mails: dict[str, PatchMail] = {}
    with PatchViews(project.paths) as views:
        while looked_at < look_at:
            some = views.newest(states, before=before, limit=_AT_ONCE)
            if not some:
                return WaitingPage(patches=tuple(found), before=None)
            for waiting in _waiting(config, catalog, project, kind, some, states[0], mails):
                found.append(waiting)
                if len(found) == limit:
                    return WaitingPage(patches=tuple(found), before=waiting.patch.patch_id)
            looked_at += len(some)
            before = some[-1].patch_id
    return WaitingPage(patches=tuple(found), before=before)


def _waiting(
    config: Config,
    catalog: Catalog,
    project: Project,
    kind: Kind,
    views: Sequence[StoredView],
    new: str,
    mails: dict[str, PatchMail],
) -> list[WaitingPatch]:
    """Those of the patches that wait, in their order; `new`: the slug of the first state.

    `mails`: of the groups of those before; then of these groups.
    """
    if kind == "unanswered":
        silent = _silent_checks(config)
        views = [
            view
            for view in views
            if view.state == new and view.delegate is None and view.check in silent
        ]
    number = project.paths.project_id
    names = catalog.message_ids(number, [view.patch_id for view in views])
    groups = catalog.groups_of(names.values())
    if kind == "done":  # Most are alone: there is nothing to be read of them.
        names = {
            patch_id: name
            for patch_id, name in names.items()
            if groups[name].commits or len(groups[name].message_ids) > 1
        }
    # Each once, by its first mail: many of the patches may be of one group.
    by_first = {groups[name].message_ids[:1]: groups[name].message_ids for name in names.values()}
    mates = {mate for group in by_first.values() for mate in group}
    for name in mails.keys() - mates:
        del mails[name]
    mails.update(catalog.mails(mates - mails.keys()))
    latest_first = {
        first: sorted((mails[name] for name in group if name in mails), key=_order, reverse=True)
        for first, group in by_first.items()
    }
    answers = catalog.answered_by(names.values()) if kind == "unanswered" else {}
    waiting = []
    for view in views:
        mail = mails.get(names.get(view.patch_id, ""))
        patch = _patch_of(mail, number, view.patch_id)
        if mail is None or patch is None:
            continue
        group = groups[mail.message_id]
        others = latest_first[group.message_ids[:1]]
        later = next((other.message_id for other in others if follows(other, mail)), None)
        is_done = later is not None or bool(group.commits)
        is_answered = bool(answers.get(mail.message_id, set()) - {mail.author_address})
        if is_done if kind == "done" else not (is_done or is_answered):
            commits = group.commits
            waiting.append(WaitingPatch(mail=mail, patch=patch, later=later, commits=commits))
    return waiting


def _silent_checks(config: Config) -> tuple[str | None, ...]:
    """What checks look like together where nobody has one but us."""
    # Ours says success of the last revision of a patch, unless the configuration words it anew.
    return (None, "pending", *(["success"] if "check" in config.push.sinks else []))


def _patch_of(mail: PatchMail | None, project_id: int, patch_id: int) -> PatchInProject | None:
    """The patch that a mail is in a project; None where it is gone."""
    for patch in mail.patches if mail else ():
        if (patch.project_id, patch.patch_id) == (project_id, patch_id) and not patch.gone:
            return patch
    return None


def _order(mail: PatchMail) -> tuple[float, str]:
    return mail.date, mail.message_id
