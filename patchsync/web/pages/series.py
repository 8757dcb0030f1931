"""`/series/<name>`: a series, and what became of its predecessor in it."""

from __future__ import annotations

import json
from dataclasses import replace

from patchsync.errors import NoPredecessor, PatchTooLarge
from patchsync.range_diff.format import heading, number_width
from patchsync.revisions.as_json import series_diff_json
from patchsync.revisions.compare import compare_series, find_series
from patchsync.web.answers import JSON, Answer, Request
from patchsync.web.pages.diff import Budget, name_of, shortened, text_answer
from patchsync.web.site import Site


def page(site: Site, request: Request) -> Answer:
    """All parts; `name` is of the series or one of its patches, `before` in the query another's.

    The page of one that cannot be compared has its parts, and why; other formats are of what
    became of it.
    """
    name, before = request.names["name"], request.query.get("before")
    difference, alone = None, ""
    with site.catalog() as catalog:
        series = find_series(site.config, catalog, name)
        try:
            difference = compare_series(site.config, catalog, name, before)
        except (NoPredecessor, PatchTooLarge) as error:
            if request.format:
                raise
            alone = str(error)
    if difference and request.format == "txt":
        return text_answer(difference.parts, difference.remarks)
    if difference and request.format == "json":
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
        "series.html",
        title=series.title,
        series=series,
        difference=difference,
        alone=alone,
        parts=parts,
    )
