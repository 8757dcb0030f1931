"""What patchsync wrote last as patch-groups, and in which lines that differs from before.

The record is the file `groups.json`. Who finds patch-groups as it was written then knows its
version without reading it; and who knows a version of before need only look at what changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import dropwhile
from typing import Any, NamedTuple

from patchsync.analysis.group_file import Look, Looks, looks_of
from patchsync.analysis.groups import Group, line_hash
from patchsync.config import Config
from patchsync.store.files import replace_file
from patchsync.store.json_file import read_record
from patchsync.store.layout import OWN_FOLDER

_BITS = 128
# Characters of changed lines that the record keeps: some hundred updates of a few lines each
_MOST_KEPT = 64 * 1024
# What somebody wrote longer ago than that, nobody writes again within the same time of files
_SETTLED = 2 * 10**9  # nanoseconds


class LinesChanged(NamedTuple):
    """The lines that are in patch-groups and were not in a version of before, and those gone."""

    # Each with its hash (`line_hash`)
    new: list[tuple[int, Group]]
    gone: set[int]


def fingerprint(lines: Iterable[bytes]) -> str:
    """What tells one content of patch-groups from another: its version. Their order has no part."""
    return _as_text(sum(map(_number, lines)))


def fingerprint_after(before: str, gone: Iterable[bytes], new: Iterable[bytes]) -> str:
    """That of the content in which some lines of another one are gone, and others are new."""
    return _as_text(int(before, 16) + sum(map(_number, new)) - sum(map(_number, gone)))


def settled(looks: Looks) -> Looks | None:
    """How files looked at this moment, if whoever writes them from now on changes that."""
    latest = max((look.changed for look in looks), default=0)
    return looks if latest < time.time_ns() - _SETTLED else None


class GroupsRecord:
    """The record of a configuration's groups, as it is when it is read for the first time here.

    Whoever writes it holds the analysis' lock. The methods may raise StoreDamaged.
    """

    def __init__(self, config: Config) -> None:
        self._file = config.d_mbox / OWN_FOLDER / "groups.json"
        self._groups = config.patch_groups
        self._read: dict[str, Any] | None = None

    @property
    def ever_wrote(self) -> bool:
        """Whether we wrote any."""
        return bool(self._record.get("hashes"))

    def is_ours(self, content: bytes) -> bool:
        """Whether we wrote this last, or began to and were stopped."""
        hashes = self._record.get("hashes", [])
        former = blake2b(content, digest_size=20).hexdigest()  # of versions until 0.1
        return fingerprint(content.splitlines(keepends=True)) in hashes or former in hashes

    @property
    def version(self) -> str | None:
        """The version of patch-groups; None where only who reads it whole can tell."""
        looks = self.looks
        return self._record["version"] if looks and looks_of(self._groups) == looks else None

    @property
    def looks(self) -> Looks | None:
        """How the groups looked when they were written."""
        looks = self._record.get("looks")
        return tuple(Look(*look) for look in looks) if looks else None

    @property
    def lines(self) -> int:
        """How many there were."""
        return int(self._record.get("lines", 0))

    def changed_since(self, version: str | None) -> LinesChanged | None:
        """How patch-groups differs from this version; None where only who reads it can tell.

        What is returned is the truth if `version` is the same before and after.
        """
        now = self.version
        if version is None or now is None:
            return None
        steps = list(
            dropwhile(lambda step: step["before"] != version, self._record.get("changes", []))
        )
        if not steps and version != now:
            return None
        new: set[str] = set()
        gone: set[str] = set()
        for step in steps:
            new, gone = (
                (new - set(step["gone"])) | (set(step["new"]) - gone),
                (gone - set(step["new"])) | (set(step["gone"]) - new),
            )
        return LinesChanged(
            [(line_hash(line.encode()), _group(line)) for line in sorted(new)],
            {line_hash(line.encode()) for line in gone},
        )

    @contextmanager
    def writing(self, version: str) -> Iterator[None]:
        """Write it within: whatever stops us, the one of before and this one are ours."""
        hashes = [*self._record.get("hashes", []), version]
        self._keep(self._record | {"hashes": hashes})
        yield

    def wrote(
        self,
        version: str,
        looks: Looks | None,
        lines: int,
        changes: tuple[Iterable[bytes], Iterable[bytes]] | None = None,
    ) -> None:
        """Note that this is what is there, and that it is ours.

        `changes`: the lines that are gone and those that are new, since the version of before,
        where that is known.
        """
        kept: list[dict[str, Any]] = []
        if changes:
            gone, new = ([line.decode() for line in some] for some in changes)
            kept = [*self._record.get("changes", [])]
            kept.append({"before": self._record["version"], "gone": gone, "new": new})
            while sum(map(_length, kept)) > _MOST_KEPT:
                del kept[0]
        self._keep(
            {
                "hashes": [version],
                "version": version,
                "looks": [list(look) for look in looks] if looks else None,
                "lines": lines,
                "changes": kept,
            }
        )

    @property
    def _record(self) -> dict[str, Any]:
        if self._read is None:
            self._read = read_record(self._file) or {}
        return self._read

    def _keep(self, record: dict[str, Any]) -> None:
        if record == self._record:
            return
        replace_file(self._file, json.dumps(record).encode() + b"\n")
        self._read = record


def _number(line: bytes) -> int:
    return int.from_bytes(blake2b(line, digest_size=_BITS // 8).digest(), "big")


def _as_text(number: int) -> str:
    return f"{number % 2**_BITS:0{_BITS // 4}x}"


def _length(step: dict[str, Any]) -> int:
    return sum(len(line) for line in (*step["gone"], *step["new"]))


def _group(line: str) -> Group:
    """What a line of ours says."""
    message_ids, _, commits = f" {line.rstrip()}".partition(" => ")
    return Group(tuple(message_ids.split()), tuple(commits.split()))
