"""Knowing a patch-groups that we wrote from one that somebody else did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from patchsync.store.files import replace_file
from patchsync.store.record import read_record


class OwnGroups:
    """A note in `file` of what we wrote last, by its hash; and while we write, of both."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def wrote(self, content: bytes) -> bool:
        """Whether this is what we wrote, also if we were stopped while we did."""
        return fingerprint(content) in (read_record(self._file) or {}).get("hashes", [])

    def note(self, content: bytes) -> None:
        """Note that this is ours."""
        self._keep(fingerprint(content))

    @contextmanager
    def writing(self, content: bytes) -> Iterator[None]:
        """Write it within: whatever stops us, the one of before and the new one are ours."""
        before = (read_record(self._file) or {}).get("hashes", [])
        self._keep(*before, fingerprint(content))
        yield
        self._keep(fingerprint(content))

    def _keep(self, *hashes: str) -> None:
        replace_file(self._file, json.dumps({"hashes": hashes}).encode() + b"\n")


def fingerprint(content: bytes) -> str:
    """What tells one content of patch-groups from another."""
    return blake2b(content, digest_size=20).hexdigest()
