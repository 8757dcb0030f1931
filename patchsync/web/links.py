"""Addresses of the pages: whatever a mail calls itself, its address leads back to it."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes, urlencode, urlsplit

from patchsync.config import Config
from patchsync.config.addresses import quoted_name

# A line of a mail has no more
LONGEST_NAME = 1000  # bytes
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BadName(ValueError):
    """A segment of an address that is nobody's name."""


def read_name(segment: str) -> str:
    """The name that a segment quotes.

    Raises:
        BadName: it is empty, too long, no UTF-8, or holds a control character.
    """
    raw = unquote_to_bytes(segment)
    if not raw or len(raw) > LONGEST_NAME:
        raise BadName("a name has 1 to 1,000 bytes")
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise BadName("a name is UTF-8") from None
    if _CONTROL.search(name):
        raise BadName("a name holds no control character")
    return name


class Links:
    """The addresses of one configuration's pages, for templates and for others."""

    def __init__(self, config: Config) -> None:
        """Behind a proxy the pages may lie below a path: that of `[web] url`."""
        self.root = urlsplit(config.web.url).path.rstrip("/")

    def front(self) -> str:
        """The page of all projects."""
        return f"{self.root}/"

    def project(self, name: str, **query: str) -> str:
        """The patches of a project; of `query` what is not empty."""
        return f"{self.root}/p/{quoted_name(name)}{_query(query)}"

    def triage(self, name: str, **query: str) -> str:
        """What of a project waits for somebody; of `query` what is not empty."""
        return f"{self.root}/p/{quoted_name(name)}/triage{_query(query)}"

    def patch(self, name: str, suffix: str = "") -> str:
        """All revisions of a patch; `suffix` as `.json`."""
        return f"{self.root}/r/{quoted_name(name)}{suffix}"

    def why(self, name: str) -> str:
        """Why the revisions of a patch are one."""
        return f"{self.root}/r/{quoted_name(name)}/why"

    def diff(self, left: str, right: str, suffix: str = "") -> str:
        """What changed from one revision to another."""
        return f"{self.root}/diff/{quoted_name(left)}/{quoted_name(right)}{suffix}"

    def series(self, key: str, suffix: str = "") -> str:
        """A series, beside its predecessor."""
        return f"{self.root}/series/{quoted_name(key)}{suffix}"

    def chart(self, name: str) -> str:
        """A drawing."""
        return f"{self.root}/chart/{quoted_name(name)}.svg"

    def static(self, name: str) -> str:
        """A file that is the same for all."""
        return f"{self.root}/static/{name}"


def _query(values: dict[str, str]) -> str:
    given = {name: value for name, value in values.items() if value}
    return f"?{urlencode(given)}" if given else ""
