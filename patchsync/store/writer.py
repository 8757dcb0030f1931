"""The one way into the store: mails and what was seen, applied under the lock.

Each mail is on disk before its line is in the index, so the store is readable at every instant.
A writer that is killed leaves a store that the next one goes on with; one that is overtaken writes
no line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from patchsync.errors import GiveUp, ServerRestored
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.files import storing, sync_file_system
from patchsync.store.gone import read_gone, write_gone
from patchsync.store.layout import (
    LARGEST_ID,
    ContainerPaths,
    IndexEntry,
    format_line,
    is_date,
    mail_name,
    message_id_fault,
)
from patchsync.store.lock import LOCK_WAIT, Fence, store_lock
from patchsync.store.mails import append_lines, cut_torn_line, md5_of, write_mail
from patchsync.store.quarantine import (
    Quarantined,
    read_quarantine,
    take_over_former,
    tried,
    write_quarantine,
)
from patchsync.store.side_index import SideIndex


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What became of a `FetchResult`, in numbers of patches."""

    # Mails that are new in the store.
    stored: int
    # Mails whose patch the store had already; they stay as they were.
    known: int
    # Patches that are quarantined now and were reported by it.
    quarantined: int
    # Held patches that turned out to be gone.
    gone: int
    # Gone ones that were listed again.
    back: int

    def __bool__(self) -> bool:
        """Whether it changed or told anything."""
        return any((self.stored, self.known, self.quarantined, self.gone, self.back))

    def __str__(self) -> str:
        """As a log has it: how many there are of each."""
        numbers = (
            (self.stored, "stored"),
            (self.known, "known already"),
            (self.quarantined, "quarantined"),
            (self.gone, "gone"),
            (self.back, "back"),
        )
        return ", ".join(f"{number} {what}" for number, what in numbers if number)


@dataclass(kw_only=True)
class Written:
    """What `write` took in for the next `commit`: the mails' files are there, not yet durably."""

    # Mails that are new, by patchwork id
    entries: dict[int, IndexEntry] = field(default_factory=dict)
    # How many mails were known already
    known: int = 0
    # (patchwork id, why its mail cannot be stored)
    quarantined: list[tuple[int, str]] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    # (patchwork id, message-id) that the server listed
    listed: list[tuple[int, str]] = field(default_factory=list)


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


class StoreWriter:
    """The writer of one project's store, from `__enter__`, which makes all earlier ones stale.

    One object serves one thread of one process. `lock_wait`: seconds to wait for the store's own
    lock. Raises LockHeld, StoreUnavailable, StoreDamaged.
    """

    def __init__(
        self,
        paths: ContainerPaths,
        *,
        lock_wait: float = LOCK_WAIT,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._paths = paths
        self._lock_wait = lock_wait
        self._now = now
        self._fence = Fence(paths.fence)
        self._side_index = SideIndex(paths.index, paths.side_index)
        self._token = 0

    @property
    def token(self) -> int:
        """The fencing token of this writer."""
        return self._token

    def __enter__(self) -> Self:
        try:
            self._side_index.prepare(self._lock_wait)
            with store_lock(self._paths.lock, self._lock_wait):
                self._token = self._fence.take()
                self._open_end()
        except BaseException:
            self._side_index.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._side_index.close()

    def apply(self, result: FetchResult) -> Stored:
        """Store the mails of `result` that are new, and note what it says of other patches.

        Raises StaleWriter when another writer came since, ServerRestored when a patch has another
        message-id than the store knows, LockHeld, StoreUnavailable and StoreDamaged. The first two
        leave the index and the notes untouched; after any of them the same result may be applied
        again.
        """
        written = Written()
        self.write(result, written)
        return self.commit(written)

    def write(self, result: FetchResult, written: Written) -> None:
        """Write the files of the mails of `result` that are new, and add all of it to `written`.

        It counts with the `commit` that follows, which may be another writer's: so what is stored
        at once need not be in memory at once. A mail without a line in the index does no harm.

        Raises StaleWriter, ServerRestored and StoreUnavailable as `apply` does.
        """
        _demand_patch_ids(result)
        self._fence.check(self._token)
        told = [*result.listed, *((mail.patch_id, mail.message_id) for mail in result.mails)]
        known = self._refuse_restored(told)
        folder = str(self._paths.mails)
        for mail in result.mails:
            if mail.patch_id in known or mail.patch_id in written.entries:
                written.known += 1
                continue
            fault = message_id_fault(mail.message_id)
            if fault is None and not is_date(mail.date):
                fault = f"its date {mail.date!r} is not YYYY/MM/DD"
            entry = IndexEntry(mail.patch_id, mail.date, mail.message_id, md5_of(mail.content))
            path = f"{folder}/{mail_name(entry.date, entry.md5)}"
            if fault is None and not write_mail(path, mail.content, self._token):
                fault = "another mail has the same md5"
            if fault is None:
                written.entries[entry.patch_id] = entry
            else:
                written.quarantined.append((entry.patch_id, fault))
        written.quarantined += result.quarantined
        written.gone.update(result.gone)
        written.listed += result.listed

    def commit(self, written: Written) -> Stored:
        """Make durable what was written, have the index name it, and note the rest.

        Raises what `apply` does; it may be committed again, by this writer or by another.
        """
        self._fence.check(self._token)
        if written.entries:
            with storing(self._paths.mails):
                sync_file_system(self._paths.mails)
        entries = written.entries.values()
        told = [*written.listed, *((entry.patch_id, entry.message_id) for entry in entries)]
        self._side_index.prepare(self._lock_wait)
        with store_lock(self._paths.lock, self._lock_wait):
            self._fence.check(self._token)
            self._open_end()
            self._refuse_restored(told)
            stored = self._append(written.entries)
            quarantined = self._note_quarantined(written.quarantined)
            gone, back = self._note_gone(written)
        return Stored(
            stored=stored,
            known=written.known + len(entries) - stored,
            quarantined=quarantined,
            gone=gone,
            back=back,
        )

    def _open_end(self) -> None:
        """Bring the side index and the end of the index to the same place, behind a newline."""
        take_over_former(self._paths.quarantine)
        self._side_index.catch_up()
        _, mtime_ns = self._side_index.position
        cut_torn_line(self._paths.index, mtime_ns)

    def _refuse_restored(self, told: Sequence[tuple[int, str]]) -> dict[int, str]:
        """Refuse (patchwork id, message-id) that contradict the index, or each other.

        Returns those of the patches that are in the index.
        """
        known = self._side_index.message_ids(patch_id for patch_id, _ in told)
        expected = dict(known)
        for patch_id, message_id in told:
            if expected.setdefault(patch_id, message_id) != message_id:
                raise ServerRestored(
                    f"{self._paths.index}: patch {patch_id} is {expected[patch_id]} here, but"
                    f" {message_id!r} at the server; was its database restored from a backup?"
                )
        return known

    def _append(self, written: dict[int, IndexEntry]) -> int:
        known = self._side_index.message_ids(written)
        new = [entry for patch_id, entry in written.items() if patch_id not in known]
        if new:
            append_lines(self._paths.index, b"".join(map(format_line, new)))
            self._side_index.catch_up(synced=True)
        return len(new)

    def _note_quarantined(self, reported: list[tuple[int, str]]) -> int:
        """Update the quarantine: the patches reported, less those that the store has."""
        before = read_quarantine(self._paths.quarantine)
        after: dict[int, Quarantined] = dict(before)
        now = self._now()
        for patch_id, reason in reported:
            after[patch_id] = tried(before.get(patch_id), patch_id, reason, now)
        for patch_id in self._side_index.message_ids(after):
            del after[patch_id]
        if after != before:
            write_quarantine(self._paths.quarantine, after)
        return len({patch_id for patch_id, _ in reported} & after.keys())

    def _note_gone(self, written: Written) -> tuple[int, int]:
        """Update the gone patches; return how many joined and how many left.

        What is listed is there. Of what is gone, only patches that the store has are noted; one
        that was quarantined is forgotten, as nothing of it is held.
        """
        listed = {patch_id for patch_id, _ in written.listed}
        gone = written.gone - listed
        if not gone and not listed:
            return 0, 0
        before = read_gone(self._paths.gone)
        after = (before - listed) | self._side_index.message_ids(gone).keys()
        if after != before:
            write_gone(self._paths.gone, after)
        quarantined = read_quarantine(self._paths.quarantine)
        forgotten = quarantined.keys() & gone
        if forgotten:
            kept = {i: entry for i, entry in quarantined.items() if i not in forgotten}
            write_quarantine(self._paths.quarantine, kept)
        return len(after - before) + len(forgotten), len(before - after)


def _demand_patch_ids(result: FetchResult) -> None:
    ids = [mail.patch_id for mail in result.mails]
    ids += [patch_id for patch_id, _ in result.quarantined + result.listed]
    ids += result.gone
    if wrong := [patch_id for patch_id in ids if not 0 < patch_id <= LARGEST_ID]:
        raise GiveUp(f"{wrong[0]} is not a patchwork id")
