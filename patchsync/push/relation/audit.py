"""Looks in rotation at the list pages of our projects, which tell what people did."""

from __future__ import annotations

from collections.abc import Collection

from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.paging import LARGEST_PAGE
from patchsync.push.entries import Sink
from patchsync.push.identity import MaintainedProject
from patchsync.push.ledger import Ledger
from patchsync.push.relation.neighbourhood import relation_of


def audit(
    ledger: Ledger,
    annotator: Annotator,
    number: int,
    project: MaintainedProject,
    pages: int,
    only_from: Collection[str] = (),
) -> set[int]:
    """Look at the next pages of a project, and note how far it is.

    A state that a person chose, and that is now as we had set it, or one of `only_from` where we
    had set none, is left to us again. Returns the patches whose relation is not what the ledger
    has: each is to be looked at again. What was in trouble with them may be otherwise now.
    """
    note = f"audit {number}"
    page = int(ledger.note(note) or "1")
    changed: set[int] = set()
    for _ in range(pages):
        views = annotator.list_views(project.key, page)
        relations = {view.id: relation_of(view) for view in views}
        for patch_id, entry in ledger.entries(Sink.RELATION, relations).items():
            if (entry.observed or {patch_id}) != relations[patch_id]:
                changed.add(patch_id)
        states = {view.id: view.state for view in views}
        ledger.reconsider(
            Sink.STATE,
            [
                patch_id
                for patch_id, entry in ledger.entries(Sink.STATE, states).items()
                if states[patch_id] in ([entry.observed.state] if entry.observed else only_from)
            ],
        )
        page += 1
        if len(views) < LARGEST_PAGE:
            page = 1
            break
    ledger.write_notes({note: str(page)})
    if changed:
        ledger.retry(changed)
    return changed
