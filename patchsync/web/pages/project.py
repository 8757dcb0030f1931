"""`/p/<project>`: its patches, the newest first, by page and search."""

from __future__ import annotations

import math
from dataclasses import dataclass

from patchsync.revisions.catalog import Catalog
from patchsync.revisions.model import PatchInProject, PatchMail
from patchsync.sync.projects import Project, find_projects
from patchsync.web.answers import Answer, NotFound, PageError, Request
from patchsync.web.site import Site

PAGE = 50
LONGEST_SEARCH = 200  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A patch of the list."""

    mail: PatchMail
    # As this project lists it
    patch: PatchInProject
    # In its group, itself too
    revisions: int
    is_upstream: bool


def page(site: Site, request: Request) -> Answer:
    """One page of a project's patches.

    `search`: words. `before`: where the page before this one ended, as date and message-id, so that
    a link leads to the same patches however many come.
    """
    search = request.query.get("search", "").strip()
    if len(search) > LONGEST_SEARCH:
        raise PageError(400, f"A search has at most {LONGEST_SEARCH} characters.")
    before = _read_place(request.query.get("before", ""))
    project = find(site, request.names["project"])
    number = project.paths.project_id
    with site.catalog() as catalog:
        mails = catalog.page(number, search=search, before=before, limit=PAGE + 1)
        rows = _rows(catalog, number, mails[:PAGE])
    return site.page(
        "project.html",
        title=project.name,
        project=project,
        search=search,
        is_first=before is None,
        rows=rows,
        next_place=_place(mails[PAGE - 1]) if len(mails) > PAGE else "",
    )


def find(site: Site, name: str) -> Project:
    """The project of this link name, or number.

    Raises:
        NotFound: the store has no such project.
    """
    for project in find_projects(site.config):
        if name.lower() in (project.name.lower(), str(project.paths.project_id)):
            return project
    raise NotFound("The store has no such project.")


def _rows(catalog: Catalog, project_id: int, mails: list[PatchMail]) -> list[Row]:
    groups = catalog.groups_of(mail.message_id for mail in mails)
    rows = []
    for mail in mails:
        group = groups[mail.message_id]
        patches = [each for each in mail.patches if each.project_id == project_id]
        # It was found as one of this project.
        patch = min(patches, key=lambda each: each.gone)
        rows.append(
            Row(
                mail=mail,
                patch=patch,
                revisions=len(group.message_ids),
                is_upstream=bool(group.commits),
            )
        )
    return rows


def _place(mail: PatchMail) -> str:
    return f"{mail.date!r} {mail.message_id}"


def _read_place(text: str) -> tuple[float, str] | None:
    if not text:
        return None
    date, _, message_id = text.partition(" ")
    try:
        moment = float(date)
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment):
        raise PageError(400, "That is no place in this list.")
    return moment, message_id
