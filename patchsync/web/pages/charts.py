"""`/chart/<name>.svg`, and the charts of the front page."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime

from patchsync.revisions.catalog import Catalog
from patchsync.store.count_history import CountHistory
from patchsync.sync.projects import find_projects
from patchsync.web.answers import Answer, NotFound, Request, drawing
from patchsync.web.charts import Chart
from patchsync.web.figures import (
    DAYS,
    difference_to_server,
    last_days,
    patches_a_day,
    revisions_per_patch,
    time_to_upstream,
)
from patchsync.web.site import Site

DAY = 86400  # seconds
# The charts of a catalog as it was at one of its versions, on one day: sums over all mails
_kept: dict[str, tuple[tuple[str, int], Chart]] = {}


def page(site: Site, request: Request) -> Answer:
    """One chart as a drawing."""
    name = request.names["name"]
    if name not in CHARTS:
        raise NotFound
    with site.catalog() as catalog:
        return drawing(_chart(site, catalog, name).draw())


def charts(site: Site) -> list[Chart]:
    """All of them, in their order."""
    with site.catalog() as catalog:
        return [_chart(site, catalog, name) for name in CHARTS]


def _chart(site: Site, catalog: Catalog, name: str) -> Chart:
    now = time.time()
    if name == "difference":
        return _difference(site, now)
    version = (catalog.version, int(now // DAY))
    kept = _kept.get(name)
    if kept and kept[0] == version:
        return kept[1]
    chart = SUMS[name](catalog, now)
    _kept[name] = version, chart
    return chart


def _patches(catalog: Catalog, now: float) -> Chart:
    projects = catalog.projects()
    # Of an archive nothing is new; and somebody's clock may be ahead.
    firsts = [
        catalog.page(project.project_id, before=(now + DAY, ""), limit=1) for project in projects
    ]
    newest = max((mail.date for first in firsts for mail in first), default=now)
    days = last_days(newest)
    counts = {
        project.name: {
            _date(day): number
            for day, number in catalog.sums.patches_per_day(project.project_id, DAYS, newest)
        }
        for project in projects
    }
    return patches_a_day(days, counts)


def _revisions(catalog: Catalog, now: float) -> Chart:
    return revisions_per_patch(catalog.sums.revisions_per_group())


def _upstream(catalog: Catalog, now: float) -> Chart:
    return time_to_upstream(catalog.sums.days_to_upstream())


def _difference(site: Site, now: float) -> Chart:
    days = last_days(now)
    start = (now // DAY + 1 - DAYS) * DAY
    largest = {
        project.name: {
            _date(int(counts.at // DAY)): abs(counts.server - counts.ours)
            for counts in CountHistory(project.paths).since(start, DAY)
        }
        for project in find_projects(site.config)
    }
    return difference_to_server(days, largest)


def _date(day: int) -> date:
    return datetime.fromtimestamp(day * DAY, UTC).date()


# By the names of their addresses
SUMS: dict[str, Callable[[Catalog, float], Chart]] = {
    "patches": _patches,
    "revisions": _revisions,
    "upstream": _upstream,
}
CHARTS = (*SUMS, "difference")
