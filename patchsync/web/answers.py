"""What a page function gets and gives."""

from __future__ import annotations

from dataclasses import dataclass, field

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
SVG = "image/svg+xml; charset=utf-8"
# What one answer may have; a page that could have more says so itself, in time.
LARGEST_BODY = 8 << 20  # bytes
RETRY_AFTER = 3  # seconds
# Of the processes behind the pages: the fleet goes before.
NICENESS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is asked for."""

    # The names of the route's path
    names: dict[str, str]
    # "", json, txt or svg
    format: str = ""
    # What stands behind the question mark, each name once; bounded, not checked
    query: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is answered."""

    body: bytes
    content_type: str = HTML
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def drawing(svg: bytes) -> Answer:
    """An answer that is a drawing."""
    return Answer(body=svg, content_type=SVG)


class PageError(Exception):
    """There is no such page now, for a reason that may be shown."""

    def __init__(self, status: int, text: str, *, retry_after: int | None = None) -> None:
        """`text`: a sentence for a reader; `retry_after`: seconds after which it may do."""
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class NotFound(PageError):
    """There is nothing of that name."""

    def __init__(self, text: str = "There is no such page.") -> None:
        super().__init__(404, text)
