"""An answer over HTTP, and what it says of an error."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC

from patchsync.errors import NotPatchwork
from patchsync.patchwork.foreign_text import visible

# Of an error's text.
SHOWN_CHARACTERS = 200
# Of a Retry-After: who holds back bounds it further, but must be able to reckon with it.
_LONGEST_WAIT = 1e9


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """An answer that is not known to pass by itself: 2xx, 3xx, 404 and other 4xx."""

    url: str
    status: int
    content_type: str
    # By their rel: next, prev, first, last.
    links: Mapping[str, str]
    body: bytes
    # Whether its end was announced, by Content-Length or chunks; a cut one then raises.
    whole: bool
    # The url that a redirect leads to; None for what is no redirect.
    location: str | None = None

    @property
    def reason(self) -> str:
        """What an error's body says, as much of it as is fit to show."""
        text = self.body.decode("utf-8", "replace")
        with suppress(ValueError, RecursionError):
            text = _words(json.loads(text)) or text
        return visible(" ".join(text.split())[:SHOWN_CHARACTERS])

    def unexpected(self, expected: str) -> NotPatchwork:
        """The error to raise of an answer that is something else than `expected`."""
        return NotPatchwork(
            f"{self.url}: expected {expected}, got status {self.status} with "
            f"{visible(self.content_type) or 'no Content-Type'}: {self.body[:60]!r}"
        )


def retry_after_seconds(value: str | None) -> float | None:
    """Seconds from now, at most thirty years, of a Retry-After in either of its forms.

    None without one, and where it is neither a number nor a date that a calendar has.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal():
        return min(float(value), _LONGEST_WAIT)
    try:
        date = email.utils.parsedate_to_datetime(value)
        # Without a zone it is UTC, as HTTP has it.
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT)


def _words(content: object) -> str:
    """The words in an error's JSON: of `{"detail": ...}`, or of each field that is wrong."""
    if isinstance(content, dict):
        return "; ".join(
            _words(value) if name == "detail" else f"{name}: {_words(value)}"
            for name, value in content.items()
        )
    if isinstance(content, list):
        return " ".join(_words(value) for value in content)
    return str(content)
