"""The one table of what the stand-in answers to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from standin import api, mboxes, writes
from standin.messages import Request, Response
from standin.state import PatchworkState

Answering = Callable[[PatchworkState, Request], Response]

_VERSION = r"/api/(?:(?P<version>1\.[0123])/)?"
_SINCE_1_1 = r"/api/(?:(?P<version>1\.[123])/)?"


@dataclass(frozen=True, kw_only=True)
class Route:
    """An address: its pattern, the name it is counted under, what answers each method."""

    pattern: re.Pattern[str]
    kind: str
    methods: dict[str, Answering]
    shown_methods: tuple[str, ...] = ("GET",)
    """What the Allow header names; PUT is named where PATCH is, though nothing here uses it."""

    @property
    def is_api(self) -> bool:
        """Whether the address belongs to the REST API, where tokens count and errors are JSON."""
        return self.pattern.pattern.startswith("/api/")

    @property
    def allow(self) -> str:
        """The Allow header."""
        return ", ".join((*self.shown_methods, "HEAD", "OPTIONS"))


def _route(pattern: str, kind: str, get: Answering, *shown: str, **methods: Answering) -> Route:
    return Route(
        pattern=re.compile(pattern),
        kind=kind,
        methods={"GET": get, "HEAD": get, **methods},
        shown_methods=("GET", *shown),
    )


ROUTES = (
    _route(rf"{_VERSION}patches/", "patches", api.patches),
    _route(r"/project/(?P<project>[^/]+)/patch/(?P<msgid>[^/]+)/mbox/", "mbox", mboxes.patch_mbox),
    _route(r"/series/(?P<id>\d+)/mbox/", "series-mbox", mboxes.series_mbox),
    _route(r"/patch/(?P<id>\d+)/mbox/", "mbox-by-id", mboxes.patch_mbox_by_id),
    _route(
        rf"{_VERSION}patches/(?P<id>\d+)/",
        "patch",
        api.patch,
        "PUT",
        "PATCH",
        PATCH=writes.update_patch,
    ),
    _route(
        rf"{_VERSION}patches/(?P<id>\d+)/checks/",
        "checks",
        api.checks,
        "POST",
        POST=writes.add_check,
    ),
    _route(rf"{_VERSION}patches/(?P<id>\d+)/checks/(?P<check>\d+)/", "check", api.check),
    _route(rf"{_SINCE_1_1}patches/(?P<id>\d+)/comments/", "comments", api.comments),
    _route(rf"{_VERSION}series/", "series-list", api.series_list),
    _route(rf"{_VERSION}series/(?P<id>\d+)/", "series", api.series),
    _route(rf"{_VERSION}events/", "events", api.events),
    _route(rf"{_VERSION}projects/", "projects", api.projects),
    _route(
        rf"{_VERSION}projects/(?P<key>[^/]+)/",
        "project",
        api.project,
        "PUT",
        "PATCH",
        OPTIONS=api.project_options,
    ),
    _route(rf"{_VERSION}users/", "users", api.users),
    _route(rf"{_VERSION}users/(?P<id>\d+)/", "user", api.user, "PUT", "PATCH"),
    _route(rf"{_VERSION}people/", "people", api.people),
    _route(rf"{_VERSION}covers/", "covers", api.nothing),
    _route(rf"{_VERSION}bundles/", "bundles", api.nothing, "POST"),
    _route(_VERSION, "root", api.root),
)


def find(path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of an undecoded path and the arguments in it, decoded; None if there is none."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match is None:
            continue
        args = {name: unquote(value or "") for name, value in match.groupdict().items()}
        if any("/" in value for value in args.values()):
            continue  # a slash that came as %2F is a slash to Django, and splits the path
        return route, args
    return None
