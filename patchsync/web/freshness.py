"""Whether what a browser has is still so: told by the files that pages are made of, unread."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

# Pages tell how old something is, in hours and days.
AGE_SECONDS = 3600
# HTTP's dates have whole seconds: what changed just now may change again within the same one.
SETTLED_SECONDS = 2
# Of databases that are read, and of the store's lock
NO_CONTENT = ("-shm", "lock")


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
    """The files that pages are made of: what we keep beside the store, a database with its log."""

    def __init__(self, folder: Path, version: str) -> None:
        """`version`: of the configuration; of the program is the moment of its start."""
        self._folder = folder
        self._started = time.time()
        self._version = f"{version} {self._started}"

    def freshness(self, now: float) -> Freshness:
        """As it is now, at `now` seconds since 1970."""
        seen, latest = [self._version, str(int(now // AGE_SECONDS))], self._started
        for name, found in sorted(self._files()):
            seen.append(f"{name} {found.st_mtime_ns} {found.st_size} {found.st_ino}")
            latest = max(latest, found.st_mtime)
        modified = int(max(latest, now // AGE_SECONDS * AGE_SECONDS))
        return Freshness("\n".join(seen), modified if modified < now - SETTLED_SECONDS else None)

    def _files(self, folder: Path | None = None) -> Iterator[tuple[str, os.stat_result]]:
        """The files of the folder, and of those in it: of the catalog, and of each project."""
        with suppress(OSError), os.scandir(folder or self._folder) as entries:
            for entry in entries:
                if folder is None and entry.is_dir():
                    yield from self._files(Path(entry.path))
                elif not entry.name.endswith(NO_CONTENT):
                    with suppress(OSError):  # A log ends when its database is closed.
                        yield entry.path, entry.stat()
