"""`/series/<name>`: a series, and what became of its predecessor in it."""

from __future__ import annotations

import json
from dataclasses import replace

from patchsync.errors import NoPredecessor
from patchsync.range_diff.format import heading, number_width
from patchsync.revisions.as_json import series_diff_json
from patchsync.revisions.compare import compare_series, find_series
from patchsync.web.answers import JSON, Answer, PageError, Request
from patchsync.web.pages.diff import Budget, name_of, shortened, text_answer
from patchsync.web.site import Site


def page(site: Site, request: Request) -> Answer:
    """All parts; `name` is of the series or one of its patches, `before` in the query another's."""
    name, before = request.names["name"], request.query.get("before")
    difference, alone = None, ""
    with site.catalog() as catalog:
        series = find_series(site.config, catalog, name)
        try:
            difference = compare_series(site.config, catalog, name, before)
        except NoPredecessor as error:
            alone = str(error)
    if request.format == "txt":
        if difference is None:
            raise PageError(404, alone)
        return text_answer(difference.parts, difference.remarks)
    if request.format == "json":
        if difference is None:
            raise PageError(404, alone)
        bounded = replace(difference, parts=tuple(shortened(difference.parts)))
        content = json.dumps(series_diff_json(site.config, bounded))
        return Answer(body=content.encode(), content_type=JSON)
    parts, budget = [], Budget()
    if difference:
        width = number_width([part.pair for part in difference.parts])
        for part in difference.parts:
            lines = budget.take(part.lines)
            parts.append(
                {
                    "part": part,
                    "remarks": part.notes,
                    "heading": heading(part.pair, width),
                    "sign": part.pair.sign,
                    "names": [name_of(part.left), name_of(part.right)],
                    "lines": lines,
                    "left_out": len(part.lines) - len(lines),
                }
            )
    return site.page(
        "series.html", title=series.title, series=series, difference=difference, parts=parts
    )
