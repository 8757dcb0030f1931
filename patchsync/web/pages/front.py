"""`/`: the projects."""

from __future__ import annotations

from patchsync.sync.projects import find_projects
from patchsync.web.answers import Answer, Request
from patchsync.web.site import Site


def page(site: Site, request: Request) -> Answer:
    """All configured projects whose place in the store is known."""
    return site.page("front.html", title="Projects", projects=find_projects(site.config))
