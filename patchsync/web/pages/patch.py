"""`/r/<name>`: all revisions of a patch, and what became of it."""

from __future__ import annotations

import json
from contextlib import suppress

from patchsync.errors import ConfigError, UnknownPatch
from patchsync.revisions.as_json import history_json
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.history import history_of
from patchsync.revisions.links import archive_url, patchwork_url
from patchsync.revisions.model import PatchHistory
from patchsync.revisions.reasons import reasons_of
from patchsync.web.answers import JSON, Answer, Request
from patchsync.web.site import Site

# What a page rates at most, so that it takes no longer; `/r/<name>/why` has the others.
RATED_PAIRS = 3
RATED_BYTES = 20_000  # of a mail


def page(site: Site, request: Request) -> Answer:
    """The revisions, oldest first; `name` is a message-id, a patchwork id or a commit."""
    name = request.names["name"]
    with site.catalog() as catalog:
        try:
            history = history_of(site.config, catalog, name)
        except UnknownPatch:
            series = catalog.series(f"<{name.strip('<>')}>")
            if series is None or request.format:
                raise
            # A cover letter is no patch, but somebody may well ask for it.
            return Answer(body=b"", status=302, headers={"Location": site.links.series(series.key)})
        if request.format == "json":
            text = json.dumps(history_json(site.config, history), indent=1)
            return Answer(body=text.encode(), content_type=JSON)
        ratings = _ratings(site, catalog, history)
    return site.page(
        "patch.html",
        title=title_of(history),
        history=history,
        last=last_of(history),
        ratings=ratings,
        archive_url=archive_url,
        patchwork_url=patchwork_url,
    )


def why(site: Site, request: Request) -> Answer:
    """Why they are one patch: each rated against the one before it."""
    with site.catalog() as catalog:
        history = history_of(site.config, catalog, request.names["name"])
        reasons = reasons_of(site.config, catalog, history)
    return site.page("why.html", title=title_of(history), history=history, reasons=reasons)


def _ratings(site: Site, catalog: Catalog, history: PatchHistory) -> dict[str, float]:
    """How alike a revision is to the one before it, and a commit to the last one, by their names.

    Of the last ones, and of short mails.
    """
    bounds = {"most": RATED_PAIRS, "largest": RATED_BYTES}
    with suppress(ConfigError):  # `/r/<name>/why` says what is wrong.
        reasons = reasons_of(site.config, catalog, history, **bounds)
        return {each.right: each.rating for each in reasons if each.rating is not None}
    return {}


def title_of(history: PatchHistory) -> str:
    """What the patch is called: as the revision that was asked for, else as the last one."""
    mail = history.revision(history.asked) or next(reversed(history.revisions), None)
    return mail.title if mail else f"commit {history.asked[:12]}"


def last_of(history: PatchHistory) -> str | None:
    """The message-id of the last revision that is no copy of one before it."""
    names = [mail.message_id for mail in history.revisions]
    return next((name for name in reversed(names) if not history.copy_of(name)), None)
