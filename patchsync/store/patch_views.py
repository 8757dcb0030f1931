"""What a project's Patchwork was last seen to show of each patch: state, checks, series, delegate.

It is kept from the lists that are read for something else, so it is as old as they are. It may be
deleted at any time: the next audit of all pages fills it again. Not under the store's lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

from patchsync.patchwork.shown_patch import COLUMNS, LARGEST_ID, ShownPatch
from patchsync.store.layout import ContainerPaths
from patchsync.store.sqlite_file import CacheRemoved, Schema, SqliteFile

_SLOTS = 500  # ids looked up by one statement

# To join it with another file: `ATTACH` the file `ContainerPaths.patch_views` to read.
_SCHEMA = Schema(
    version=2,
    tables="""
CREATE TABLE IF NOT EXISTS view (
    patch_id INTEGER PRIMARY KEY, state TEXT, archived INTEGER, "check" TEXT,
    series_id INTEGER, series_name TEXT, series_version INTEGER, delegate TEXT, commit_ref TEXT,
    seen_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS view_state ON view (state, archived);
CREATE TABLE IF NOT EXISTS list (archive_format TEXT NOT NULL);
""",
    # A push reads hundreds of patches, and would wait for the disk at each. A kill does no harm;
    # what a power loss damages is made anew where it shows, and else mended by the next audit.
    pragmas={"synchronous": "OFF"},
)
_NAMES = ", ".join(f'"{name}"' for name in (*COLUMNS, "seen_at"))
# Lists do not come in the order in which they were asked for.
_RECORD = f"""
INSERT INTO view ({_NAMES}) VALUES ({", ".join("?" * (len(COLUMNS) + 1))})
ON CONFLICT (patch_id) DO UPDATE SET
    {", ".join(f'"{name}" = excluded."{name}"' for name in (*COLUMNS[1:], "seen_at"))}
WHERE excluded.seen_at >= view.seen_at
"""  # noqa: S608 - the names are ours


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredView(ShownPatch):
    """What was shown of a patch, and when."""

    # Seconds since 1970
    seen_at: float


class PatchViews:
    """The views of one project; a context that closes the file. It serves one thread.

    Reading where nothing was kept yet finds nothing, and makes nothing. All methods raise
    StoreUnavailable.
    """

    def __init__(self, paths: ContainerPaths, clock: Callable[[], float] = time.time) -> None:
        """Nothing is opened yet."""
        self._file = SqliteFile(paths.patch_views, _SCHEMA)
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file.close()

    def record(self, shown: Iterable[ShownPatch], seen_at: float) -> None:
        """Keep what was shown when it was asked for, in seconds since 1970; newer stays."""
        # Of a machine whose clock is ahead: nothing would be newer for long.
        seen_at = min(seen_at, self._clock())
        rows = [(*patch.to_row(), seen_at) for patch in shown]
        if not rows:
            return
        try:
            self._record(rows)
        except CacheRemoved:
            self._record(rows)

    def record_archive(self, archive_format: str | None) -> None:
        """Keep how the project says a mail of its list is addressed; None: it does not say."""
        if archive_format is None or archive_format == self.archive_format:
            return
        if not self._file.is_open or self._file.read_only:
            self._file.open()
        with self._file.transaction() as sql:
            sql.execute("DELETE FROM list")
            sql.execute("INSERT INTO list VALUES (?)", (archive_format,))

    @property
    def archive_format(self) -> str | None:
        """The address of a mail in the list's archive, with {} for its message-id, as kept."""
        if not self._is_there():
            return None
        found: str | None = self._file.value("SELECT archive_format FROM list")
        return found

    def of(self, patch_ids: Collection[int]) -> dict[int, StoredView]:
        """The views of these patches, by id; without those that were never seen."""
        if not self._is_there():
            return {}
        wanted = list(patch_ids)
        parts = (wanted[start : start + _SLOTS] for start in range(0, len(wanted), _SLOTS))
        views = map(_view, chain.from_iterable(map(self._rows, parts)))
        return {view.patch_id: view for view in views}

    def newest(
        self, states: Collection[str], *, before: int | None = None, limit: int = 250
    ) -> list[StoredView]:
        """Of the patches in one of these states and not archived those with the highest ids.

        In falling order of their ids; `before`: only those below that one.
        """
        if not states or not self._is_there():
            return []
        # Each by the index, in order; SQLite merges them, and reads no more than is asked for.
        arm = f"SELECT {_NAMES} FROM view WHERE state = ? AND archived IS {{}} AND patch_id < ?"  # noqa: S608
        arms = [arm.format(archived) for _ in states for archived in ("0", "NULL")]
        below = LARGEST_ID if before is None else before
        values = [value for state in states for value in (state, below) * 2]
        query = f"{' UNION ALL '.join(arms)} ORDER BY patch_id DESC LIMIT ?"
        return [_view(row) for row in self._file.rows(query, *values, limit)]

    def _rows(self, patch_ids: Sequence[int]) -> list[tuple[object, ...]]:
        slots = ", ".join("?" * len(patch_ids))
        query = f"SELECT {_NAMES} FROM view WHERE patch_id IN ({slots})"  # noqa: S608
        return self._file.rows(query, *patch_ids)

    def _record(self, rows: Sequence[tuple[object, ...]]) -> None:
        if not self._file.is_open or self._file.read_only:
            self._file.open()
        with self._file.transaction() as sql:
            sql.executemany(_RECORD, rows)

    def _is_there(self) -> bool:
        return self._file.is_open or self._file.open_to_read()


def _view(row: tuple[object, ...]) -> StoredView:
    view = dict(zip((*COLUMNS, "seen_at"), row, strict=True))
    if view["archived"] is not None:
        view["archived"] = bool(view["archived"])
    return StoredView(**view)  # type: ignore[arg-type]
