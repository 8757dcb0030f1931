"""A Patchwork project's mails as PaStA sees them: its MailContainer interface over our store."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from patchsync.errors import StoreDamaged
from patchsync.store.files import may_write, storing
from patchsync.store.gone import read_gone
from patchsync.store.layout import ContainerPaths, IndexEntry, Layout
from patchsync.store.lock import LOCK_WAIT, store_lock
from patchsync.store.quarantine import Quarantined, read_quarantine
from patchsync.store.side_index import SideIndex

if TYPE_CHECKING:
    from patchsync.patchwork.mbox import Mail
    from patchsync.store.writer import Stored, StoreWriter


class News(NamedTuple):
    """Entries of the index that somebody has not seen yet."""

    # For the next time
    mark: str
    # They are all: the index is not the one that grew since.
    complete: bool
    entries: Iterator[IndexEntry]


class MboxPatchwork:
    """The mails of one Patchwork project in PaStA's store, read from the side index.

    What PaStA's MailContainer offers has its name and meaning here. What is added comes with
    `write_index` into the index and only then shows. Use it as a context manager, or `close` it;
    one object serves one thread of one process.

    `listaddr` is the list's address, `d_mbox` PaStA's MBOX folder, `project_id` Patchwork's
    number, `lock_wait` how many seconds to wait for the store's lock. All methods may raise
    StoreUnavailable; those that read the index also StoreDamaged and LockHeld.
    """

    def __init__(
        self,
        listaddr: str,
        d_mbox: str | Path,
        project_id: int,
        layout: Layout = "raw",
        *,
        lock_wait: float = LOCK_WAIT,
    ) -> None:
        self.paths = ContainerPaths(
            d_mbox=Path(d_mbox), listaddr=listaddr, project_id=project_id, layout=layout
        )
        self._lock_wait = lock_wait
        self._pending: list[Mail] = []
        self._side_index = SideIndex(self.paths.index, self.paths.side_index)
        try:
            self.load_index()
        except BaseException:
            self.close()
            raise

    @property
    def listaddr(self) -> str:
        """The list's address, by which PaStA tells containers apart."""
        return self.paths.listaddr

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the side index."""
        self._side_index.close()

    # PaStA's MailContainer

    def load_index(self) -> None:
        """Take in what this or any other process appended to the index since."""
        if self._side_index.is_current():
            return
        if not self.paths.index.exists() or not may_write(self.paths.lock.parent):
            # Nothing that a lock would keep apart, or nobody who may take it.
            self._side_index.catch_up()
            return
        self._side_index.prepare(self._lock_wait)
        with store_lock(self.paths.lock, self._lock_wait):
            self._side_index.catch_up()

    def update(self) -> None:
        """Take in what the fleet fetched meanwhile; it never goes to the network itself."""
        self.load_index()

    def add(self, mail: Mail) -> None:
        """Note a mail for the next `write_index`."""
        self._pending.append(mail)

    def write_index(self) -> Stored:
        """Make what was added durable, by appending to the index, which is never rewritten.

        It becomes the store's writer for that moment: any other one is stale then and starts anew.
        """
        from patchsync.patchwork.fetch_result import FetchResult

        with self.writer() as writer:
            stored = writer.apply(FetchResult(mails=tuple(self._pending)))
        self._pending.clear()
        self.load_index()
        return stored

    def get_ids(self, time_window: tuple[datetime, datetime] | None = None) -> set[str]:
        """The message-ids, of all or of those with an index date from the first to the second.

        As in PaStA, a date is a naive datetime at midnight, and both ends belong to the window.
        """
        dated = self._side_index.dated_message_ids()
        if time_window is None:
            return {message_id for _, message_id in dated}
        since, until = time_window

        @cache
        def inside(date: str) -> bool:
            return since <= datetime.strptime(date, "%Y/%m/%d") <= until

        return {message_id for date, message_id in dated if inside(date)}

    def __contains__(self, message_id: object) -> bool:
        return isinstance(message_id, str) and bool(self._side_index.entries_of(message_id))

    def __getitem__(self, message_id: str) -> list[bytes]:
        """The raw mails with this message-id, in the order of the index.

        Raises KeyError when there is none, StoreDamaged when the file of one is missing.
        """
        entries = self._side_index.entries_of(message_id)
        if not entries:
            raise KeyError(message_id)
        return [self._mail(entry) for entry in entries]

    def get_patchwork_ids(self, message_id: str) -> set[int]:
        """The patchwork ids of this message-id, none when it is unknown."""
        return {entry.patch_id for entry in self._side_index.entries_of(message_id)}

    # What the comparison with Patchwork needs

    @property
    def count(self) -> int:
        """Number of stored patches, that is of different patchwork ids."""
        return self._side_index.count

    @property
    def highest(self) -> int | None:
        """The highest stored patchwork id, None when the store is empty."""
        return self._side_index.highest

    def ids(self) -> array[int]:
        """All stored patchwork ids, ascending, as array('q')."""
        return self._side_index.ids()

    def held(self) -> array[int]:
        """Patchwork ids that need no fetching, stored or quarantined: ascending, as array('q')."""
        # First: a patch that leaves it meanwhile is stored by then.
        quarantined = self.quarantined()
        held = self.ids()
        for patch_id in sorted(quarantined):
            place = bisect_left(held, patch_id)
            if place == len(held) or held[place] != patch_id:
                held.insert(place, patch_id)
        return held

    def gone(self) -> frozenset[int]:
        """Stored patchwork ids that Patchwork does not list any more."""
        return read_gone(self.paths.gone)

    def quarantined(self) -> dict[int, Quarantined]:
        """Patches whose mail could not be stored, by patchwork id; see `quarantine.due`."""
        entries = read_quarantine(self.paths.quarantine)
        # A writer that was killed may have left one there that it stored.
        stored = self._side_index.message_ids(entries)
        return {patch_id: entry for patch_id, entry in entries.items() if patch_id not in stored}

    def message_id_of(self, patch_id: int) -> str | None:
        """The message-id of a stored patch, None when it is not stored."""
        entry = self.entry(patch_id)
        return None if entry is None else entry.message_id

    def message_ids(self, patch_ids: Iterable[int]) -> dict[int, str]:
        """Those of `patch_ids` that are stored, with their message-ids."""
        return self._side_index.message_ids(patch_ids)

    def entry(self, patch_id: int) -> IndexEntry | None:
        """The index entry of a stored patch, None when it is not stored."""
        return self._side_index.entry(patch_id)

    def entries_of(self, message_id: str) -> list[IndexEntry]:
        """All index entries with this message-id, in the order of the index."""
        return self._side_index.entries_of(message_id)

    def entries_of_all(self, message_ids: Iterable[str]) -> Iterator[IndexEntry]:
        """As `entries_of`, of many message-ids; those of each in the order of the index."""
        return self._side_index.entries_of_all(message_ids)

    def news(self, mark: str | None) -> News:
        """What came into the index since an earlier call gave this mark; None: all of it."""
        built, last = self._side_index.reading()
        known, _, number = (mark or "").partition(" ")
        complete = known != built or not number.isdecimal()
        after = 0 if complete else int(number)
        return News(f"{built} {last}", complete, self._side_index.entries_after(after))

    def writer(self) -> StoreWriter:
        """Return a writer for this store, to be entered."""
        from patchsync.store.writer import StoreWriter  # Who only reads does not load it.

        return StoreWriter(self.paths, lock_wait=self._lock_wait)

    def _mail(self, entry: IndexEntry) -> bytes:
        path = self.paths.mail(entry.date, entry.md5)
        with storing(path):
            try:
                return path.read_bytes()
            except FileNotFoundError as error:
                raise StoreDamaged(
                    f"{path} is missing, the mail of patch {entry.patch_id} in {self.paths.index};"
                    " restore it, or remove that line to have it fetched again"
                ) from error
