"""Patches whose mail cannot be stored, and when each is tried again.

The file `quarantine` of the store: a JSON object {id, reason, first, last, tries} a line, sorted by
id. Before November 2026 it was called `set-aside`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from patchsync.errors import StoreDamaged
from patchsync.store.files import numbered_lines, read_file, replace_file, storing
from patchsync.store.layout import LARGEST_ID

FORMER_NAME = "set-aside"
# How long after the first, the second, and any later try a quarantined patch is tried again.
_WAITS = (timedelta(hours=1), timedelta(days=1), timedelta(weeks=1))


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A patch whose mail could not be stored."""

    id: int
    reason: str
    first: datetime  # the first try, aware
    last: datetime  # the latest try, aware
    tries: int  # at least 1

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time to try it again: after an hour, a day, then each week.

        Also where the last try lies ahead: a clock was set back.
        """
        return not self.last <= now < self.last + _WAITS[min(self.tries, len(_WAITS)) - 1]


def due(entries: Iterable[Quarantined], now: datetime) -> list[int]:
    """Return the ids that are to be tried again at `now`, sorted."""
    return sorted(entry.id for entry in entries if entry.is_due(now))


def tried(before: Quarantined | None, patch_id: int, reason: str, now: datetime) -> Quarantined:
    """Return the entry after a try that failed at `now` for `reason`.

    A report within the wait is the same try told twice (messages may be doubled): it does not
    count.
    """
    if before is None:
        return Quarantined(id=patch_id, reason=reason, first=now, last=now, tries=1)
    if not before.is_due(now):
        return before
    return Quarantined(
        id=patch_id, reason=reason, first=before.first, last=now, tries=before.tries + 1
    )


def read_quarantine(path: Path) -> dict[int, Quarantined]:
    """Return the entries of `quarantine` by id, none where it is absent; raises StoreDamaged.

    Those that an older patchsync left under the former name count too, until one is written.
    """
    return _read(path.with_name(FORMER_NAME)) | _read(path)


def take_over_former(path: Path) -> None:
    """Give what an older patchsync left its name of today; under the store's lock.

    Raises StoreUnavailable.
    """
    former = path.with_name(FORMER_NAME)
    if read_file(former) is not None:
        write_quarantine(path, read_quarantine(path))
        with storing(former):
            former.unlink()


def write_quarantine(path: Path, entries: Mapping[int, Quarantined]) -> None:
    """Replace the file `quarantine`; under the store's lock. Raises StoreUnavailable."""
    lines = [
        json.dumps(asdict(entries[patch_id]), default=datetime.isoformat) + "\n"
        for patch_id in sorted(entries)
    ]
    replace_file(path, "".join(lines).encode())


def _parse(data: object) -> Quarantined:
    if not isinstance(data, dict):
        raise TypeError("not an object")
    entry = Quarantined(
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


def _read(path: Path) -> dict[int, Quarantined]:
    entries = {}
    for number, line in numbered_lines(path):
        try:
            entry = _parse(json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreDamaged(
                f"{path}, line {number}: not an entry of a quarantined patch; correct or remove it"
            ) from error
        entries[entry.id] = entry
    return entries
