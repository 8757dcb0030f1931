"""`/p/<project>/triage`: what of a project waits for somebody."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from patchsync.revisions.triage import OPEN_STATES, WaitingPatch, triage
from patchsync.web.answers import Answer, PageError, Request
from patchsync.web.pages.project import find
from patchsync.web.site import Site

PAGE = 50
# For a page, if none of them waits: 150 ms of work
LOOKED_AT = 2500
DAY = 86400  # seconds
KINDS: dict[str, Literal["done", "unanswered"]] = {"done": "done", "unanswered": "unanswered"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A patch that waits."""

    waiting: WaitingPatch
    # Since it was posted
    days: int


def page(site: Site, request: Request) -> Answer:
    """One page of what waits; `kind`: `done` or `unanswered`, `before`: the last id before it."""
    kind = KINDS.get(request.query.get("kind", "done"))
    before = request.query.get("before", "")
    if kind is None or (before and not (before.isdecimal() and before.isascii())):
        raise PageError(400, "There is no such list.")
    project = find(site, request.names["project"])
    with site.catalog() as catalog:
        found = triage(
            site.config,
            catalog,
            project,
            kind,
            before=int(before[:18]) if before else None,
            limit=PAGE,
            look_at=LOOKED_AT,
        )
    now = time.time()
    return site.page(
        "triage.html",
        title=f"Triage of {project.name}",
        project=project,
        kind=kind,
        states=OPEN_STATES,
        is_first=not before,
        rows=[
            Row(waiting=each, days=max(0, int((now - each.mail.date) // DAY)))
            for each in found.patches
        ],
        before=found.before,
    )
