"""Filters, orders and pages of the lists, with Patchwork's silent failures.

An unknown project, state, submitter or date gives nothing at all, with status 200; an unknown
filter or order is ignored, which gives everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlencode

from standin.messages import Query, Request, detail
from standin.records import CHECK_STATES, PATCH_STATES, Check, Event, Patch, Project, Series
from standin.state import SERVER_ZONE, PatchworkState

DEFAULT_PAGE = 30
LARGEST_PAGE = 250

BOOLEANS = {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False}

T = TypeVar("T")
D = TypeVar("D", Patch, Series, Event, Check)


class MatchesNothing(Exception):
    """A filter has a value that Patchwork does not know: the list is empty."""


def patches(state: PatchworkState, request: Request) -> Sequence[Patch]:
    """The patches that GET patches/ selects, in the order asked for."""
    try:
        found = _patches_of_projects(state, request)
        found = _between(found, request)
        for series_id in _numbers(request, "series", state.series):
            found = [p for p in found if p.series is not None and p.series.id == series_id]
        for wanted in _known(request, "state", _state_named):
            found = [p for p in found if p.state == wanted]
        for people in _known(request, "submitter", lambda key: _person_ids(state, key)):
            found = [p for p in found if p.submitter.id in people]
    except MatchesNothing:
        return ()
    if request.first("delegate") is not None:
        return ()  # nothing is ever delegated here
    archived = BOOLEANS.get(request.first("archived") or "")
    if archived is not None:
        found = [p for p in found if p.archived is archived]
    if request.has_version("1.2"):
        if wanted_hash := request.first("hash"):
            found = [p for p in found if p.hash.lower() == wanted_hash.lower()]
        if msgid := request.first("msgid"):
            found = [p for p in found if p.msgid == f"<{msgid}>"]
    return _ordered(_named(found, request), request)


def series(state: PatchworkState, request: Request) -> Sequence[Series]:
    """The series that GET series/ selects."""
    found: Sequence[Series] = [entry for _, entry in sorted(state.series.items())]
    try:
        if (projects := _projects(state, request)) is not None:
            found = [s for s in found if s.project in projects]
        for people in _known(request, "submitter", lambda key: _person_ids(state, key)):
            found = [s for s in found if s.submitter.id in people]
        found = _between(found, request)
    except MatchesNothing:
        return ()
    return _ordered(_named(found, request), request)


def events(state: PatchworkState, request: Request) -> Sequence[Event]:
    """The events that GET events/ selects: by date only, newest first unless `order=date`."""
    found: Sequence[Event] = state.events
    try:
        if (projects := _projects(state, request)) is not None:
            found = [e for e in found if e.project in projects]
        if category := request.first("category"):
            found = [e for e in found if e.category == category]
        for patch_id in _numbers(request, "patch", state.patches):
            found = [e for e in found if e.patch is not None and e.patch.id == patch_id]
        for series_id in _numbers(request, "series", state.series):
            found = [e for e in found if e.series is not None and e.series.id == series_id]
        if request.has_version("1.2"):
            # By id alone: a name matches nobody.
            for user_id in _numbers(request, "actor", state.users):
                found = [e for e in found if e.actor is not None and e.actor.id == user_id]
        found = _between(found, request)
    except MatchesNothing:
        return ()
    if not request.has_version("1.3"):
        found = [e for e in found if e.category != "patch-comment-created"]
    newest_first = request.first("order") != "date"
    return sorted(found, key=lambda event: event.date, reverse=newest_first)


def checks(state: PatchworkState, patch: Patch, request: Request) -> Sequence[Check]:
    """The checks that GET patches/<id>/checks/ selects, oldest first by default."""
    found: Sequence[Check] = patch.checks
    try:
        for users in _known(request, "user", lambda key: _user_ids(state, key)):
            found = [c for c in found if c.user.id in users]
        for wanted in _known(request, "state", _check_state_numbered):
            found = [c for c in found if c.state == wanted]
        found = _between(found, request)
    except MatchesNothing:
        return ()
    if context := request.first("context"):
        found = [c for c in found if c.context == context]
    order = request.first("order")
    if order in ("-id", "-date"):
        return found[::-1]
    return found


def _patches_of_projects(state: PatchworkState, request: Request) -> Sequence[Patch]:
    projects = _projects(state, request)
    if projects is None:
        return state.in_order()
    if len(projects) == 1:
        return state.in_order(projects[0])
    return [patch for patch in state.in_order() if patch.project in projects]


def _projects(state: PatchworkState, request: Request) -> list[Project] | None:
    keys = request.query.get("project")
    if keys is None:
        return None
    found = [state.project(key) for key in dict.fromkeys(keys)]
    known = [project for project in found if project is not None]
    if len(known) < len(found):
        raise MatchesNothing
    return known


def _known(request: Request, name: str, look_up: Callable[[str], T | None]) -> list[T]:
    """The value of a filter, looked up: none if the filter is absent."""
    value = request.first(name)
    if value is None:
        return []
    found = look_up(value)
    if found is None:
        raise MatchesNothing
    return [found]


def _numbers(request: Request, name: str, known: dict[int, T]) -> list[int]:
    return _known(
        request, name, lambda key: int(key) if key.isdecimal() and int(key) in known else None
    )


def _state_named(key: str) -> str | None:
    if key.isdecimal():
        number = int(key)
        return PATCH_STATES[number - 1] if 1 <= number <= len(PATCH_STATES) else None
    return key.lower() if key.lower() in PATCH_STATES else None


def _check_state_numbered(key: str) -> str | None:
    # Checks are filtered by the number of their state; a name matches nothing.
    return CHECK_STATES[int(key)] if key in ("0", "1", "2", "3") else None


def _person_ids(state: PatchworkState, key: str) -> set[int] | None:
    if key.isdecimal():
        return {int(key)} if int(key) in state.people else None
    return {p.id for p in state.people.values() if p.email.lower() == key.lower()} or None


def _user_ids(state: PatchworkState, key: str) -> set[int] | None:
    if key.isdecimal():
        return {int(key)} if int(key) in state.users else None
    return {u.id for u in state.users.values() if u.username.lower() == key.lower()} or None


def _between(found: Sequence[D], request: Request) -> Sequence[D]:
    """`since` is inclusive, `before` exclusive."""
    if since := request.first("since"):
        earliest = _moment(since)
        found = [entry for entry in found if entry.date >= earliest]
    if before := request.first("before"):
        latest = _moment(before)
        found = [entry for entry in found if entry.date < latest]
    return found


def _moment(text: str) -> datetime:
    """A date of a filter; with a zone it is moved to the server's, even where dates are UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MatchesNothing from None
    offset = moment.utcoffset()
    return moment if offset is None else moment.replace(tzinfo=None) - offset + SERVER_ZONE


def _named(found: Sequence[D], request: Request) -> Sequence[D]:
    """The search `q`: every word is in the name, in any case."""
    words = (request.first("q") or "").lower().replace(",", " ").split()
    if not words:
        return found
    return [e for e in found if all(w in str(getattr(e, "name", "")).lower() for w in words)]


def _ordered(found: Sequence[D], request: Request) -> Sequence[D]:
    """By the orders that Patchwork knows; `found` comes by id, which is the default."""
    orders = (request.first("order") or "").split(",")
    if orders == ["-id"]:
        return found[::-1]
    for order in reversed(orders):
        field = order.removeprefix("-")
        if field in ("id", "date", "name"):
            found = sorted(
                found, key=lambda entry: getattr(entry, field) or "", reverse=order != field
            )
    return found


def page(found: Sequence[T], request: Request) -> tuple[Sequence[T], dict[str, str]]:
    """One page of a list and its Link header. ApiError 404 for a page that does not exist."""
    size = _page_size(request)
    last = max(1, -(-len(found) // size))
    asked = request.first("page") or "1"
    number = last if asked == "last" else _number(asked)
    if not 1 <= number <= last:
        raise detail(404, "Invalid page.")
    links = []
    if number < last:
        links.append((_page_url(request, number + 1), "next"))
    if number > 1:
        links.append((_page_url(request, number - 1 if number > 2 else None), "prev"))
    links += [(_page_url(request, 1), "first"), (_page_url(request, last), "last")]
    header = ", ".join(f'<{url}>; rel="{relation}"' for url, relation in links)
    return found[(number - 1) * size : number * size], {"Link": header}


def _page_size(request: Request) -> int:
    asked = _number(request.first("per_page") or "")
    return min(asked, LARGEST_PAGE) if asked > 0 else DEFAULT_PAGE


def _number(text: str) -> int:
    """The number that a text is, zero if it is none."""
    try:
        return int(text)
    except ValueError:
        return 0


def _page_url(request: Request, number: int | None) -> str:
    """The request's own URL at another page: all filters kept, parameters in order of name."""
    query: Query = {name: values for name, values in request.query.items() if name != "page"}
    if number is not None:
        query["page"] = [str(number)]
    text = urlencode(sorted(query.items()), doseq=True)
    address = request.base + request.path
    return f"{address}?{text}" if text else address
