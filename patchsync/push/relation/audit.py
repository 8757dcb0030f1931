"""Looks in rotation at the list pages of our projects, which tell what people did to relations."""

from __future__ import annotations

from collections.abc import Iterable

from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.paging import LARGEST_PAGE
from patchsync.patchwork.schemas import PatchView
from patchsync.push.entries import Sink
from patchsync.push.identity import Maintained
from patchsync.push.ledger import Ledger
from patchsync.push.relation.neighbourhood import members_of, relation_of


def look_on(
    ledger: Ledger, annotator: Annotator, number: int, project: Maintained, pages: int
) -> set[int]:
    """Look at the next pages of a project, and note how far it is.

    Returns the patches whose relation is not what the ledger has: each is to be looked at again.
    What was in trouble with them may be otherwise now.
    """
    note = f"audit {number}"
    page = int(ledger.note(note) or "1")
    changed: set[int] = set()
    for _ in range(pages):
        views = annotator.list_views(project.key, page)
        changed |= _changed(ledger, views)
        page += 1
        if len(views) < LARGEST_PAGE:
            page = 1
            break
    ledger.write_notes({note: str(page)})
    if changed:
        ledger.retry(changed)
    return changed


def _changed(ledger: Ledger, views: Iterable[PatchView]) -> set[int]:
    by_id = {view.id: view for view in views}
    return {
        number
        for number, entry in ledger.entries(Sink.RELATION, by_id).items()
        if (members_of(entry.shown) or {number}) != relation_of(by_id[number])
    }
