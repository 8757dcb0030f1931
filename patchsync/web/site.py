"""What the pages of one configuration share: links, templates, the catalog."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import responses
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from patchsync.config import Config
from patchsync.patchwork.foreign_text import visible
from patchsync.revisions.as_json import time_json
from patchsync.revisions.catalog import Catalog
from patchsync.web.answers import HTML, JSON, TEXT, Answer, PageError
from patchsync.web.links import Links

FOLDER = Path(__file__).parent
# Of a text in one place of a page: a subject may be as long as its mail.
LONGEST_SHOWN = 8192  # characters; two names of 1,000 bytes, quoted, are in an address
_HOUR, _DAY = 3600, 86400  # seconds


class Site:
    """A context for one process; page functions get it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.links = Links(config)
        # Whether the catalog that was read last is: a first one of a large store takes minutes.
        self._is_complete = True
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            auto_reload=False,  # An upgrade replaces them under a process of before.
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            # Whatever is shown may be text of others.
            finalize=_finalize,
        )
        self._templates.globals |= {"links": self.links, "config": config}
        self._templates.filters |= {
            "age": age,
            "date": date,
            "day": day,
            "iso": iso,
            "web_address": web_address,
        }

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The catalog, as it is now."""
        with Catalog.open(self.config) as catalog:
            self._is_complete = catalog.is_complete
            yield catalog

    def warm_up(self) -> None:
        """Load all templates, so that no request waits for one."""
        for name in self._templates.list_templates():
            self._templates.get_template(name)

    def page(self, template: str, *, status: int = 200, **values: object) -> Answer:
        """A page made of a template of `templates/`."""
        values["is_complete"], self._is_complete = self._is_complete, True
        text = self._templates.get_template(template).render(**values)
        return Answer(body=text.encode(errors="backslashreplace"), content_type=HTML, status=status)

    def error(self, error: PageError, format_: str = "") -> Answer:
        """What is shown where there is no page."""
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
        title, text = responses[error.status], visible(str(error))
        if format_ == "json":
            body, content_type = json.dumps({"error": text}).encode(), JSON
        elif format_ == "txt":
            body, content_type = f"{text}\n".encode(errors="backslashreplace"), TEXT
        else:
            page = self.page("error.html", title=title, status_code=error.status, text=text)
            body, content_type = page.body, HTML
        return Answer(body=body, content_type=content_type, status=error.status, headers=headers)


def _finalize(value: object) -> object:
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return visible(value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}…")


def web_address(address: str | None) -> str:
    """An address that may stand in a link, or nothing: no `javascript:` is one."""
    return address if address and address.startswith(("http://", "https://")) else ""


def age(seconds: float) -> str:
    """How long ago a moment was: "5 minutes" is as exact as it gets. `seconds`: since 1970."""
    passed = max(0.0, time.time() - seconds)
    for unit, name in ((_DAY, "day"), (_HOUR, "hour")):
        if passed >= unit:
            number = int(passed // unit)
            return f"{number} {name}{'s' * (number > 1)}"
    return "less than an hour"


def iso(seconds: float) -> str:
    """A moment for machines: 2026-07-01T12:30:00Z. `seconds`: since 1970."""
    return time_json(seconds) or "1970-01-01T00:00:00Z"  # a date that no calendar has


def date(seconds: float) -> str:
    """A moment for people: 2026-07-01 12:30 (UTC)."""
    return iso(seconds)[:16].replace("T", " ")


def day(seconds: float) -> str:
    """Its day: 2026-07-01 (UTC)."""
    return iso(seconds)[:10]
