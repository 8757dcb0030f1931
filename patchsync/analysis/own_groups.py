"""Knowing a patch-groups that we wrote from one that somebody else did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from patchsync.config import Config
from patchsync.store.files import replace_file
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.record import read_record


class OwnGroups:
    """A note in `file` of what we wrote last, by its fingerprint; and while we write, of both."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def wrote(self, found: str) -> bool:
        """Whether this fingerprint is of what we wrote, also if we were stopped while we did."""
        return found in self._hashes()

    @property
    def ever(self) -> bool:
        """Whether we wrote any."""
        return bool(self._hashes())

    def note(self, found: str) -> None:
        """Note that this is ours."""
        self._keep(found)

    @contextmanager
    def writing(self, now: str) -> Iterator[None]:
        """Write it within: whatever stops us, the one of before and the new one are ours."""
        self._keep(*self._hashes(), now)
        yield
        self._keep(now)

    def _hashes(self) -> list[str]:
        hashes: list[str] = (read_record(self._file) or {}).get("hashes", [])
        return hashes

    def _keep(self, *hashes: str) -> None:
        replace_file(self._file, json.dumps({"hashes": hashes}).encode() + b"\n")


def own_groups(config: Config) -> OwnGroups:
    """The note of a configuration."""
    return OwnGroups(config.d_mbox / OWN_FOLDER / "groups.json")


def fingerprint(content: bytes) -> str:
    """What tells one content of patch-groups from another."""
    return blake2b(content, digest_size=20).hexdigest()
