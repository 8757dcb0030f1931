"""Mails that an analysis could not get through: what each did, and which are quarantined for it.

A mail, or a commit, that ended the process which worked on it has one try more. The second time it
is quarantined: from then on it is in no group, as a mail without a patch, until somebody has all
analysed anew. The file `analysis.quarantine` has them; whoever writes it holds the analysis' lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from patchsync.config import Config
from patchsync.errors import StoreDamaged
from patchsync.store.files import replace_file, storing
from patchsync.store.json_file import read_record
from patchsync.store.layout import OWN_FOLDER

TRIES = 2


@dataclass(frozen=True, kw_only=True)
class FailedMail:
    """A mail, by its message-id, or a commit, by its hash, that could not be analysed."""

    name: str
    reason: str  # of the latest try
    first: datetime  # the first try, aware
    last: datetime  # the latest try, aware
    tries: int  # at least 1

    @property
    def is_quarantined(self) -> bool:
        """Whether it is not tried again."""
        return self.tries >= TRIES


class AnalysisQuarantine:
    """The file of one configuration's analysis."""

    def __init__(self, config: Config) -> None:
        """Nothing is read yet."""
        self._file = config.d_mbox / OWN_FOLDER / "analysis.quarantine"

    def read(self) -> dict[str, FailedMail]:
        """All that failed, by name. Raises StoreDamaged, StoreUnavailable."""
        record = read_record(self._file) or {}
        try:
            return {name: _parse(name, entry) for name, entry in record.items()}
        except (ValueError, TypeError, KeyError) as error:
            raise StoreDamaged(
                f"{self._file}: not the mails that are quarantined; remove the file"
            ) from error

    def quarantined(self) -> list[FailedMail]:
        """Those that are not tried again, by name. Raises as `read`."""
        return [failed for _, failed in sorted(self.read().items()) if failed.is_quarantined]

    def note(self, name: str, reason: str) -> FailedMail:
        """Note one more try that failed. Raises as `read`."""
        failed, now = self.read(), datetime.now(UTC)
        before = failed.get(name)
        failed[name] = (
            FailedMail(name=name, reason=reason, first=now, last=now, tries=1)
            if before is None
            else replace(before, reason=reason, last=now, tries=before.tries + 1)
        )
        self._write(failed)
        return failed[name]

    def forgive(self) -> None:
        """Forget what failed once: by now it went through. Raises as `read`."""
        failed = self.read()
        kept = {name: mail for name, mail in failed.items() if mail.is_quarantined}
        if kept != failed:
            self._write(kept)

    def clear(self) -> None:
        """Forget all of them: each is tried again. Raises StoreUnavailable."""
        with storing(self._file):
            self._file.unlink(missing_ok=True)

    def _write(self, failed: Mapping[str, FailedMail]) -> None:
        content = {name: asdict(failed[name]) for name in sorted(failed)}
        text = json.dumps(content, indent=2, default=datetime.isoformat)
        replace_file(self._file, text.encode() + b"\n")


def names_of(failed: Iterable[FailedMail], *, quarantined: bool) -> frozenset[str]:
    """The names of those that are quarantined, or of the others."""
    return frozenset(mail.name for mail in failed if mail.is_quarantined is quarantined)


def _parse(name: str, entry: Mapping[str, object]) -> FailedMail:
    mail = FailedMail(
        name=name,
        reason=str(entry["reason"]),
        first=datetime.fromisoformat(str(entry["first"])),
        last=datetime.fromisoformat(str(entry["last"])),
        tries=int(str(entry["tries"])),
    )
    if mail.first.tzinfo is None or mail.last.tzinfo is None:
        raise ValueError("a time without its zone")
    return mail
