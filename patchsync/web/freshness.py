"""Whether what a browser has is still so: told by the files that pages are made of, unread."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

# Pages tell how old something is, in hours and days.
AGE_SECONDS = 3600
# HTTP's dates have whole seconds: what changed just now may change again within the same one.
SETTLED_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Freshness:
    """What all pages are made of, at one moment."""

    tag: str
    # When any of it changed, in seconds since 1970; None: just now
    modified: int | None

    def etag(self, path: str, query: str) -> str:
        """The tag of one address' answer."""
        digest = hashlib.sha256(f"{self.tag}\n{path}\n{query}".encode()).hexdigest()[:32]
        return f'W/"{digest}"'

    @property
    def last_modified(self) -> str | None:
        """As a header has it."""
        return None if self.modified is None else formatdate(self.modified, usegmt=True)

    def is_not_modified(self, etag: str, if_none_match: str, if_modified_since: str) -> bool:
        """Whether the answer with these headers of the request is 304 (RFC 9110, 13.2.2)."""
        if if_none_match:
            tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
            return "*" in tags or etag.removeprefix("W/") in tags
        if not if_modified_since or self.modified is None:
            return False
        try:
            return self.modified <= parsedate_to_datetime(if_modified_since).timestamp()
        except (ValueError, TypeError, OverflowError):
            return False


class Sources:
    """The files that pages are made of; a database with its log."""

    def __init__(self, files: Sequence[Path], version: str) -> None:
        """`version`: of the configuration; of the program is the moment of its start."""
        self._files = files
        self._started = time.time()
        self._version = f"{version} {self._started}"

    def freshness(self, now: float) -> Freshness:
        """As it is now, at `now` seconds since 1970."""
        seen, latest = [self._version, str(int(now // AGE_SECONDS))], self._started
        for file in self._files:
            try:
                found = file.stat()
            except OSError:
                seen.append("-")
                continue
            seen.append(f"{found.st_mtime_ns} {found.st_size} {found.st_ino}")
            latest = max(latest, found.st_mtime)
        modified = int(max(latest, now // AGE_SECONDS * AGE_SECONDS))
        return Freshness("\n".join(seen), modified if modified < now - SETTLED_SECONDS else None)
