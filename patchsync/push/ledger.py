"""What should be in Patchwork from us, what is known to be, and what is on its way there.

An entry is what one sink has to say of one patch; its values are canonical JSON. Unsettled is an
entry that does not show what is wanted, or that was claimed and has no outcome yet.

The file may be deleted, patchsync being stopped: it is rebuilt from Patchwork, and until it is
complete nothing is sent from it. Times are seconds since 1970. All methods raise StoreUnavailable
when the disk or SQLite does not let them, and GiveUp when the file is damaged or of another
version.

One object serves one thread of one process: do not carry it across a fork.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Self

from patchsync.push.entries import (
    SLOTS,
    UNSETTLED,
    Claimed,
    Entry,
    Needless,
    Numbers,
    Sink,
    Trouble,
    Unsure,
    Wait,
    Wanted,
    slots,
    within,
)
from patchsync.push.ledger_file import LedgerFile
from patchsync.push.ownership import Hands

_ENTRY = "sink, patch_id, project_id, wanted, shown, remote_id, trouble, trouble_text, trouble_at"


class Ledger:
    """The ledger of one configuration and one Patchwork, in the SQLite file `path`."""

    def __init__(self, path: Path) -> None:
        self._file = LedgerFile(path)
        self.hands = Hands(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        self._file.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep what is written within whole, durably and at once; or, at an error, not at all."""
        with self._file.transaction():
            yield

    # What is wanted

    def want(self, rows: Iterable[Wanted]) -> int:
        """Take over what a plan wants, in one transaction; returns how many entries changed.

        A new value clears the trouble that there was with the old one. Nobody can claim while the
        rows are taken.
        """
        with self._file.transaction() as sql:
            before = sql.total_changes
            mine = iter(rows)
            while some := list(islice(mine, SLOTS)):
                self._want(sql, some)
            return sql.total_changes - before

    def _want(self, sql: sqlite3.Connection, rows: list[Wanted]) -> None:
        sql.executemany(
            """
            INSERT INTO entry (patch_id, project_id, sink, wanted) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET project_id = excluded.project_id,
                wanted = excluded.wanted,
                trouble = CASE WHEN wanted IS excluded.wanted THEN trouble END
            WHERE (wanted, project_id) IS NOT (excluded.wanted, excluded.project_id)
            """,
            (row for row in rows if row.value is not None),
        )
        # Most patches are alone: an entry that says nothing is not made for each.
        sql.executemany(
            """
            UPDATE entry SET project_id = ?, wanted = NULL,
                trouble = CASE WHEN wanted IS NULL THEN trouble END
            WHERE sink = ? AND patch_id = ? AND (wanted IS NOT NULL OR project_id IS NOT ?)
            """,
            (
                (row.project_id, row.sink, row.patch_id, row.project_id)
                for row in rows
                if row.value is None
            ),
        )

    def want_nothing(self) -> None:
        """No check and no relation of ours is wanted anywhere; all else stays as it is shown."""
        with self._file.transaction() as sql:
            sql.execute(
                """
                UPDATE entry SET wanted = NULL, trouble = NULL
                WHERE sink IN ('check', 'relation') AND wanted IS NOT NULL
                """
            )
            sql.execute(
                """
                UPDATE entry SET wanted = shown, trouble = NULL
                WHERE sink NOT IN ('check', 'relation') AND wanted IS NOT shown
                """
            )

    def commit_plan(
        self, rows: Iterable[Wanted], lines: bytes, notes: Mapping[str, str | None]
    ) -> int:
        """`want`, with the lines of patch-groups that it came from and notes, all or nothing.

        `lines`: what `lines` gives from then on.
        """
        with self._file.transaction() as sql:
            changed = self.want(rows)
            sql.execute("UPDATE planned SET lines = ? WHERE lines IS NOT ?", (lines, lines))
            self.write_notes(notes)
            return changed

    @property
    def lines(self) -> bytes:
        """As the last `commit_plan` gave it; empty before the first."""
        with self._file.using() as sql:
            lines: bytes = sql.execute("SELECT lines FROM planned").fetchone()[0]
            return lines

    @property
    def complete(self) -> bool:
        """Whether it knows all that Patchwork shows from us; it does not before `set_complete`."""
        with self._file.using() as sql:
            return bool(sql.execute("SELECT complete FROM planned").fetchone()[0])

    def set_complete(self) -> None:
        """Everything that Patchwork shows from us has been shown to the ledger."""
        with self._file.transaction() as sql:
            sql.execute("UPDATE planned SET complete = 1")

    def pending(
        self,
        sinks: Iterable[str],
        project_ids: Iterable[int] | None = None,
        limit: int | None = None,
        *,
        now: float,
        answer_seconds: float,
    ) -> list[Entry]:
        """What is unsettled and not claimed within `answer_seconds`; nothing unless complete.

        Costs as much as is unsettled, whatever the size.
        """
        where, values = within(sinks, project_ids)
        query = f"""
            SELECT {_ENTRY} FROM entry INDEXED BY unsettled WHERE {UNSETTLED} AND {where}
            AND (claim IS NULL OR claimed_at NOT BETWEEN ? AND ?)
            AND (SELECT complete FROM planned) LIMIT ?
        """  # noqa: S608
        times = (now - answer_seconds, now)
        with self._file.using() as sql:
            rows = sql.execute(query, (*values, *times, -1 if limit is None else limit))
            return list(map(Entry._make, rows))

    def entries(self, sink: str, patch_ids: Iterable[int]) -> dict[int, Entry]:
        """The entries that there are of these patches in a sink, by patch id."""
        found: dict[int, Entry] = {}
        with self._file.using() as sql:
            for marks, some in slots(patch_ids):
                query = f"SELECT {_ENTRY} FROM entry WHERE sink = ? AND patch_id IN ({marks})"  # noqa: S608
                found.update(
                    (row[1], Entry._make(row)) for row in sql.execute(query, (sink, *some))
                )
        return found

    def showing(self, sink: str) -> Iterator[Entry]:
        """All entries of a sink that show something, by patch id; may be written to meanwhile."""
        query = f"""
            SELECT {_ENTRY} FROM entry WHERE sink = ? AND patch_id > ? AND shown IS NOT NULL
            ORDER BY patch_id LIMIT {SLOTS}
        """  # noqa: S608
        last = -1
        while True:
            with self._file.using() as sql:
                some = list(map(Entry._make, sql.execute(query, (sink, last))))
            yield from some
            if len(some) < SLOTS:
                return
            last = some[-1].patch_id

    def numbers(self, project_ids: Iterable[int] | None = None) -> dict[str, Numbers]:
        """By sink; looks at all entries."""
        where, values = within(Sink, project_ids)
        query = f"""
            SELECT sink, count(wanted), count(shown), sum({UNSETTLED}), count(trouble)
            FROM entry WHERE {where} GROUP BY sink
        """  # noqa: S608
        with self._file.using() as sql:
            return {sink: Numbers(*row) for sink, *row in sql.execute(query, values)}

    # Sending

    def claim(
        self, patch_id: int, sink: str, value: str | None, now: float, answer_seconds: float
    ) -> Claimed | Unsure | Wait | Needless:
        """To be called before something is sent that must be there once; durable on return.

        Of several callers one gets Claimed. It must have its answer, or have given up waiting for
        it, within `answer_seconds`: by then another may find out that nothing came of it.
        """
        key = (sink, patch_id)
        with self._file.transaction() as sql:
            row = sql.execute(
                f"""
                SELECT claim, claimed, claimed_at FROM entry, planned
                WHERE sink = ? AND patch_id = ? AND wanted IS ? AND {UNSETTLED} AND complete
                """,  # noqa: S608
                (*key, value),
            ).fetchone()
            if row is None:
                return Needless()
            update = "UPDATE entry SET {} WHERE sink = ? AND patch_id = ?"
            earlier, claimed, at = row
            if earlier is None:
                token = secrets.randbits(62)
                columns = update.format("claim = ?, claimed = ?, claimed_at = ?")
                sql.execute(columns, (token, value, now, *key))
                return Claimed(token)
            if at > now:  # a clock was set back: the time in which nobody may send begins anew
                sql.execute(update.format("claimed_at = ?"), (now, *key))
                at = now
            left = at + answer_seconds - now
            return Wait(left) if left > 0 else Unsure(earlier, claimed, at)

    def show(
        self,
        patch_id: int,
        sink: str,
        value: str | None,
        at: float,
        *,
        remote_id: int | None = None,
        claim: int | None = None,
    ) -> bool:
        """Patchwork shows this from us; ends the trouble with it, and `claim`.

        Without `claim` a claim stays as it is. With one that is over by now nothing is noted and
        False returned: somebody else has looked since.
        """
        with self._file.transaction() as sql:
            if claim is not None and not self.release(patch_id, sink, claim):
                return False
            sql.execute(
                """
                INSERT INTO entry (sink, patch_id, shown, remote_id, shown_at)
                VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                    shown = excluded.shown, remote_id = excluded.remote_id,
                    shown_at = excluded.shown_at,
                    trouble = CASE WHEN wanted IS NOT excluded.shown THEN trouble END
                """,
                (sink, patch_id, value, remote_id, at),
            )
            return True

    def release(self, patch_id: int, sink: str, claim: int) -> bool:
        """It is certain that nothing came, nor will come, of the claim.

        False when it is over already: who wants to send claims anew, and is told.
        """
        with self._file.transaction() as sql:
            query = "UPDATE entry SET claim = NULL WHERE sink = ? AND patch_id = ? AND claim = ?"
            return sql.execute(query, (sink, patch_id, claim)).rowcount == 1

    # Trouble

    def trouble(
        self,
        patch_id: int,
        sink: str,
        kind: Trouble,
        text: str,
        value: str | None,
        at: float,
        *,
        claim: int | None = None,
    ) -> bool:
        """`value` could not be shown, and nothing was written; ends `claim`.

        False, and nothing is noted, when another value is wanted by now.
        """
        with self._file.transaction() as sql:
            if claim is not None:
                self.release(patch_id, sink, claim)
            query = """
                UPDATE entry SET trouble = ?, trouble_text = ?, trouble_at = ?
                WHERE sink = ? AND patch_id = ? AND project_id IS NOT NULL AND wanted IS ?
            """
            changed = sql.execute(query, (kind, text, at, sink, patch_id, value))
            return changed.rowcount == 1

    def troubles(self, limit: int, project_ids: Iterable[int] | None = None) -> list[Entry]:
        """The entries in trouble, of all projects or of some, the latest first."""
        where, values = within(Sink, project_ids)
        query = f"""
            SELECT {_ENTRY} FROM entry INDEXED BY troubled WHERE trouble IS NOT NULL AND {where}
            ORDER BY trouble_at DESC LIMIT ?
        """  # noqa: S608
        with self._file.using() as sql:
            return list(map(Entry._make, sql.execute(query, (*values, limit))))

    def retry(self, patch_ids: Iterable[int] | None = None) -> int:
        """Forget the trouble with these patches, or with all; returns how many entries had some."""
        clear = "UPDATE entry SET trouble = NULL WHERE trouble IS NOT NULL"
        with self._file.transaction() as sql:
            if patch_ids is None:
                return sql.execute(clear).rowcount
            where, values = within(Sink, None)
            return sum(
                sql.execute(
                    f"{clear} AND {where} AND patch_id IN ({marks})", (*values, *some)
                ).rowcount
                for marks, some in slots(patch_ids)
            )

    # Notes

    def note(self, name: str) -> str | None:
        """What was noted under this name, None when nothing was."""
        with self._file.using() as sql:
            row = sql.execute("SELECT text FROM note WHERE name = ?", (name,)).fetchone()
            return None if row is None else str(row[0])

    def write_notes(self, notes: Mapping[str, str | None]) -> None:
        """Note texts under their names; None removes what there was."""
        with self._file.transaction() as sql:
            for name, text in notes.items():
                if text is None:
                    sql.execute("DELETE FROM note WHERE name = ?", (name,))
                else:
                    sql.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, text))
