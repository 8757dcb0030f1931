"""`/`: how far each project is, and the charts."""

from __future__ import annotations

from patchsync.status import ProjectState, project_statuses
from patchsync.web.answers import Answer, Request
from patchsync.web.pages.charts import charts
from patchsync.web.site import Site

# The class of the style sheet, beside the words
CLASSES = {
    ProjectState.IN_STEP: "good",
    ProjectState.NOT_IN_STEP: "bad",
    ProjectState.HALTED: "bad",
    ProjectState.NEW: "warn",
    ProjectState.UNREADABLE: "bad",
}


def page(site: Site, request: Request) -> Answer:
    """All configured projects, as `patchsync status` has them without a Redis; the charts."""
    config = site.config
    keys = [table.id for table in config.projects]
    return site.page(
        "front.html",
        title="Projects",
        projects=project_statuses(config, keys, None, with_push=False),
        classes=CLASSES,
        charts=charts(site),
    )
