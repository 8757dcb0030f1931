"""An answer of a server, and what it says of an error."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

# Of an error's text.
SHOWN_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer that is not known to pass by itself: 2xx, 404 and other 4xx."""

    url: str
    status: int
    content_type: str
    # By their rel: next, prev, first, last.
    links: Mapping[str, str]
    body: bytes
    # Whether its end was announced, by Content-Length or chunks; a cut one then raises.
    whole: bool

    @property
    def reason(self) -> str:
        """What an error's body says, as much of it as is fit to show."""
        text = self.body.decode("utf-8", "replace")
        with suppress(ValueError):
            text = _said(json.loads(text)) or text
        return " ".join(text.split())[:SHOWN_CHARACTERS]


def seconds_asked_for(value: str | None) -> float | None:
    """Seconds from now, of a Retry-After in either of its forms."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())


def _said(content: object) -> str:
    """The words in an error's JSON: of `{"detail": ...}`, or of each field that is wrong."""
    if isinstance(content, dict):
        return "; ".join(
            _said(value) if name == "detail" else f"{name}: {_said(value)}"
            for name, value in content.items()
        )
    if isinstance(content, list):
        return " ".join(_said(value) for value in content)
    return str(content)
