"""What is known of patches whose mail is not simply there: gone from Patchwork, or set aside.

Two small files of the store. `gone`: one patchwork id a line, sorted. `set-aside`: a JSON object
{id, reason, first, last, tries} a line, sorted by id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from patchsync.errors import StoreDamaged
from patchsync.store.files import read_file, replace_file
from patchsync.store.layout import LARGEST_ID

_ID = re.compile(r"[1-9][0-9]{0,18}")

# How long after the first, the second, and any later try a patch that was set aside is tried again.
_WAITS = (timedelta(hours=1), timedelta(days=1), timedelta(weeks=1))


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A patch whose mail could not be stored."""

    id: int
    reason: str
    first: datetime  # the first try, aware
    last: datetime  # the latest try, aware
    tries: int  # at least 1

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time to try it again: after an hour, a day, then each week."""
        return now >= self.last + _WAITS[min(self.tries, len(_WAITS)) - 1]


def due(entries: Iterable[SetAside], now: datetime) -> list[int]:
    """Return the ids that are to be tried again at `now`, sorted."""
    return sorted(entry.id for entry in entries if entry.is_due(now))


def tried(before: SetAside | None, patch_id: int, reason: str, now: datetime) -> SetAside:
    """Return the entry after a try that failed at `now` for `reason`.

    A report within the wait is the same try told twice (messages may be doubled): it does not
    count.
    """
    if before is None:
        return SetAside(id=patch_id, reason=reason, first=now, last=now, tries=1)
    if not before.is_due(now):
        return before
    return SetAside(
        id=patch_id, reason=reason, first=before.first, last=now, tries=before.tries + 1
    )


def read_gone(path: Path) -> frozenset[int]:
    """Return the ids in the file `gone`, none where it is absent; raises StoreDamaged."""
    gone = set()
    for number, line in _lines(path):
        if not _ID.fullmatch(line):
            raise StoreDamaged(f"{path}, line {number}: not a patchwork id; correct or remove it")
        gone.add(int(line))
    return frozenset(gone)


def write_gone(path: Path, gone: Iterable[int]) -> None:
    """Replace the file `gone`; under the store's lock. Raises StoreUnavailable."""
    replace_file(path, b"".join(b"%d\n" % patch_id for patch_id in sorted(gone)))


def read_set_aside(path: Path) -> dict[int, SetAside]:
    """Return the entries of `set-aside` by id, none where it is absent; raises StoreDamaged."""
    entries = {}
    for number, line in _lines(path):
        try:
            entry = _parse(json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreDamaged(
                f"{path}, line {number}: not an entry of a patch set aside; correct or remove it"
            ) from error
        entries[entry.id] = entry
    return entries


def write_set_aside(path: Path, entries: Mapping[int, SetAside]) -> None:
    """Replace the file `set-aside`; under the store's lock. Raises StoreUnavailable."""
    lines = [
        json.dumps(asdict(entries[patch_id]), default=datetime.isoformat) + "\n"
        for patch_id in sorted(entries)
    ]
    replace_file(path, "".join(lines).encode())


def _lines(path: Path) -> list[tuple[int, str]]:
    content = read_file(path) or b""
    try:
        return list(enumerate(content.decode().splitlines(), start=1))
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise StoreDamaged(f"{path}, line {number}: not UTF-8; correct or remove it") from error


def _parse(data: object) -> SetAside:
    if not isinstance(data, dict):
        raise TypeError("not an object")
    entry = SetAside(
        id=data["id"],
        reason=data["reason"],
        first=datetime.fromisoformat(data["first"]),
        last=datetime.fromisoformat(data["last"]),
        tries=data["tries"],
    )
    if type(entry.id) is not int or type(entry.tries) is not int or entry.tries < 1:
        raise ValueError("not numbers")
    if not 0 < entry.id <= LARGEST_ID:
        raise ValueError("not a patchwork id")
    if not isinstance(entry.reason, str) or entry.first.tzinfo is None or entry.last.tzinfo is None:
        raise ValueError("no reason, or a time without its zone")
    return entry
