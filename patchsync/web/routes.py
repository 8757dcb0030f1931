"""The one table of routes: which address is which page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from patchsync.config.addresses import FORMATS
from patchsync.web.links import BadName, read_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A kind of address."""

    # Its segments; `<...>` stands for a name
    path: str
    # The function that makes the page, as module:function of `patchsync.web.pages`
    page: str
    # Endings that it knows; "" is the page itself
    formats: tuple[str, ...] = ("",)
    # Its work may take long: it waits for its own kind only
    costly: bool = False


ROUTES = (
    Route(path="/", page="front:page"),
    Route(path="/p/<project>", page="project:page"),
    Route(path="/p/<project>/triage", page="triage:page"),
    Route(path="/r/<name>", page="patch:page", formats=("", "json")),
    Route(path="/r/<name>/why", page="patch:why", costly=True),
    Route(path="/diff/<left>/<right>", page="diff:page", formats=("", "txt", "json"), costly=True),
    Route(path="/diff/<right>", page="diff:page", formats=("", "txt", "json"), costly=True),
    Route(path="/series/<name>", page="series:page", formats=("", "txt", "json"), costly=True),
    Route(path="/chart/<name>", page="charts:page", formats=("svg",)),
)


class Address(NamedTuple):
    """What an address asks for."""

    route: Route
    names: dict[str, str]
    # One of the route's
    format: str


def find(path: str) -> Address | None:
    """The page that a path, quoted as it came, asks for; None: there is none.

    Raises:
        BadName: there is such a page, but not of such a name.
    """
    if not path.startswith("/"):
        return None
    segments = path[1:].split("/")
    if segments[0] and not segments[-1]:
        segments.pop()  # as a list's archive ends its addresses
    if segments[0] == "r" and len(segments) > 2:
        # Pasted by hand: a message-id whose slashes are not quoted
        end = segments[-1:] if segments[-1] == "why" else []
        segments = ["r", "%2F".join(segments[1 : len(segments) - len(end)]), *end]
    for route in ROUTES:
        wanted = route.path[1:].split("/")
        if len(wanted) == len(segments) and all(
            part == segment or (part.startswith("<") and segment)
            for part, segment in zip(wanted, segments, strict=True)
        ):
            return _read(route, wanted, segments)
    return None


def _read(route: Route, wanted: list[str], segments: list[str]) -> Address | None:
    *before, last = segments
    if not wanted[-1].startswith("<"):
        return Address(route, _names(wanted, segments), "")
    stem, _, ending = last.rpartition(".")
    format_ = ending if stem and ending in FORMATS and ending in route.formats else ""
    if format_ not in route.formats:
        return None
    if format_:
        segments = [*before, stem]
    return Address(route, _names(wanted, segments), format_)


def _names(wanted: list[str], segments: list[str]) -> dict[str, str]:
    return {
        part.strip("<>"): read_name(segment)
        for part, segment in zip(wanted, segments, strict=True)
        if part.startswith("<")
    }


__all__ = ["ROUTES", "Address", "BadName", "Route", "find"]
