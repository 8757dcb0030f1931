"""What should be in Patchwork from us, what is known to be, and what is on its way there.

An entry is what one sink has to say of one patch. Unsettled is an entry of which not what is
desired was observed, or that was claimed and has no outcome yet.

The file may be deleted, patchsync being stopped: it is rebuilt from Patchwork, and until it is
complete nothing is sent from it. Times are seconds since 1970. All methods raise StoreUnavailable
when the disk or SQLite does not let them, and GiveUp when the file is damaged or of another
version.

One object serves one thread of one process: do not carry it across a fork.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

from patchsync.push.daily_checks import DailyChecks
from patchsync.push.draft import Draft, DraftRow
from patchsync.push.entries import (
    Claimed,
    Desired,
    Entry,
    Needless,
    PatchTrouble,
    Sink,
    SinkCounts,
    SpeltEntry,
    TroubleKind,
    Unsure,
    V,
    Value,
    Wait,
    decode,
    encode,
)
from patchsync.push.ledger_file import UNSETTLED, LedgerFile
from patchsync.push.ownership import SET, Ownership, as_set
from patchsync.store.lock import store_lock

# Seconds to wait for another process' plan: a first one takes its time
PLAN_WAIT = 60.0

_HAS_SINK = "SELECT 1 FROM entry WHERE sink = ? LIMIT 1"
_ENTRY = "sink, patch_id, project_id, wanted, shown, remote_id IS NOT NULL"

# Names of notes
_AGREED = "confirmed"
_UNDONE = "undone"


class Ledger:
    """The ledger of one configuration and one Patchwork, in the SQLite file `path`."""

    def __init__(self, path: Path) -> None:
        self._file = LedgerFile(path)
        self.ownership = Ownership(self._file)
        self.daily_checks = DailyChecks(self._file)

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

    @contextmanager
    def noting(self) -> Iterator[None]:
        """As `transaction`, but not durably at once, for what came of a request.

        After a power loss it is as if we had been killed before: it is looked up.
        """
        with self._file.noting():
            yield

    # Plans

    def set_desired(self, rows: Iterable[Desired]) -> int:
        """Take over what a plan wants, in one transaction; returns how many entries changed.

        A new value clears the trouble that there was with the old one. Nobody can claim while the
        rows are taken. Where no state is desired any more the one that we set is: it is not
        withdrawn, and what is known of it not forgotten; with a claim on it, see `leave`.
        """
        with self._file.transaction(), self.draft() as draft:
            draft.add(
                DraftRow(row.sink, row.patch_id, row.project_id, encode(row.value)) for row in rows
            )
            return draft.take_over()

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Be the one process that plans; others may claim, send and note meanwhile.

        Raises LockHeld.
        """
        path = self._file.path
        with store_lock(path.with_name(f"{path.name}.plan"), PLAN_WAIT):
            yield

    def draft(self) -> Draft:
        """For what a plan wants, until it is taken over."""
        return Draft(self._file)

    def basis(self, *notes: str) -> tuple[object, ...]:
        """What a plan begins from, some notes too: where that is another by now it does not hold.

        Groups that were planned, and whether somebody had everything withdrawn.
        """
        return (self.lines, *map(self.note, (_UNDONE, *notes)))

    def finish_plan(self, lines: bytes, notes: Mapping[str, str | None]) -> None:
        """Keep, with notes, what `lines` gives from then on: of patch-groups, what was planned."""
        with self._file.transaction() as sql:
            sql.execute("UPDATE planned SET lines = ? WHERE lines IS NOT ?", (lines, lines))
            self.write_notes(notes)

    @property
    def lines(self) -> bytes:
        """As the last `finish_plan` gave it; empty before the first."""
        lines: bytes = self._file.value("SELECT lines FROM planned")
        return lines

    def count_annotated(self, sinks: Iterable[str]) -> int:
        """On how many patches something is desired in any of these sinks; looks at all."""
        query = f"""
            SELECT count(DISTINCT patch_id) FROM entry WHERE wanted IS NOT NULL AND sink IN {SET}
        """  # noqa: S608
        return int(self._file.value(query, as_set(sinks)))

    @property
    def complete(self) -> bool:
        """Whether it knows all that Patchwork shows from us; it does not before `set_complete`."""
        return bool(self._file.value("SELECT complete FROM planned"))

    def set_complete(self) -> None:
        """Note that all that Patchwork shows from us is in the ledger."""
        with self._file.transaction() as sql:
            sql.execute("UPDATE planned SET complete = 1")

    # Agreement

    @property
    def agreed(self) -> set[int]:
        """The ids of the projects to which somebody agreed to push."""
        return {int(number) for number in (self.note(_AGREED) or "").split()}

    @property
    def undone(self) -> bool:
        """Whether somebody had everything withdrawn, and nobody agreed to push since."""
        return self.note(_UNDONE) is not None

    def set_agreed(self, project_ids: Iterable[int]) -> None:
        """Note that somebody agreed to push to these projects, and to no others."""
        self.write_notes({_AGREED: " ".join(map(str, sorted(project_ids))), _UNDONE: None})

    def undo(self, at: float) -> None:
        """Desire no check and no relation of ours anywhere, and all else as it was observed.

        Nothing is planned again until somebody agrees to push again.
        """
        with self._file.transaction() as sql:
            sql.execute(
                """
                UPDATE entry SET trouble = NULL,
                    wanted = CASE WHEN sink NOT IN ('check', 'relation') THEN shown END
                WHERE wanted IS NOT CASE WHEN sink NOT IN ('check', 'relation') THEN shown END
                """
            )
            self.finish_plan(b"", {_AGREED: None, _UNDONE: str(at)})

    # Entries

    def pending(
        self,
        sinks: Iterable[str],
        project_ids: Iterable[int] | None = None,
        limit: int | None = None,
        *,
        now: float,
        answer_seconds: float,
        unchecked: Iterable[int] = (),
    ) -> list[Entry[Any]]:
        """What is unsettled and not claimed within `answer_seconds`; nothing unless complete.

        Costs as much as is unsettled, whatever the size. `unchecked`: the patches on which no
        check is to be posted now; what is to be withdrawn is, all the same.
        """
        where, values = _within(sinks, project_ids)
        where += f" AND (sink != 'check' OR wanted IS NULL OR patch_id NOT IN {SET})"
        values.append(as_set(unchecked))
        query = f"""
            SELECT {_ENTRY} FROM entry INDEXED BY unsettled WHERE {UNSETTLED} AND {where}
            AND (claim IS NULL OR claimed_at NOT BETWEEN ? AND ?)
            AND (SELECT complete FROM planned) LIMIT ?
        """  # noqa: S608
        times = (now - answer_seconds, now)
        rows = self._file.rows(query, *values, *times, -1 if limit is None else limit)
        return _entries(rows)

    def entries(self, sink: Sink, patch_ids: Iterable[int]) -> dict[int, Entry[Any]]:
        """The entries that there are of these patches in a sink, by patch id."""
        query = f"SELECT {_ENTRY} FROM entry WHERE sink = ? AND patch_id IN {SET}"  # noqa: S608
        rows = self._file.rows(query, sink, as_set(patch_ids))
        return {entry.patch_id: entry for entry in _entries(rows)}

    def troubles(
        self,
        limit: int,
        project_ids: Iterable[int] | None = None,
        *,
        respected: bool = False,
    ) -> list[PatchTrouble]:
        """What is in trouble, of all projects or of some, the latest first.

        `respected`: instead what people decided otherwise.
        """
        where, values = _within(Sink, project_ids)
        query = f"""
            SELECT patch_id, sink, trouble, trouble_text, trouble_at
            FROM entry INDEXED BY troubled WHERE trouble IS NOT NULL
            AND (trouble = 'report') = ? AND {where} ORDER BY trouble_at DESC LIMIT ?
        """  # noqa: S608
        return [
            PatchTrouble(patch_id=patch_id, sink=sink, kind=TroubleKind(kind), text=text, at=at)
            for patch_id, sink, kind, text, at in self._file.rows(query, respected, *values, limit)
        ]

    def counts(self, project_ids: Iterable[int] | None = None) -> dict[str, SinkCounts]:
        """How many entries, by sink, of all projects or of some; looks at all of them."""
        where, values = _within(Sink, project_ids)
        query = f"""
            SELECT sink, count(wanted), count(shown), sum({UNSETTLED}),
                count(nullif(trouble, 'report')), count(CASE trouble WHEN 'report' THEN 1 END)
            FROM entry WHERE {where} GROUP BY sink
        """  # noqa: S608
        names = ("wanted", "shown", "pending", "trouble", "respected")
        return {
            sink: SinkCounts(**dict(zip(names, counts, strict=True)))
            for sink, *counts in self._file.rows(query, *values)
        }

    def spelt_entries(self, patch_ids: Iterable[int]) -> Iterator[SpeltEntry]:
        """As `entries`, in all sinks, and as `encode` spells what they desire and observed."""
        sinks = [sink for sink in Sink if self._file.value(_HAS_SINK, sink)]
        if sinks:
            query = f"""
                SELECT sink, patch_id, project_id, wanted, shown FROM entry
                WHERE sink IN {SET} AND patch_id IN {SET}
            """  # noqa: S608
            values = as_set(sinks), as_set(patch_ids)
            yield from map(SpeltEntry._make, self._file.rows(query, *values))

    # Sending

    def claim(
        self, entry: Entry[V], now: float, answer_seconds: float
    ) -> Claimed | Unsure[V] | Wait | Needless:
        """Claim what an entry desires, durably, before it is sent: so it is there once.

        Of several callers one gets Claimed. It must have its answer, or have given up waiting for
        it, within `answer_seconds`: by then another may find out that nothing came of it.
        """
        key, value = (entry.sink, entry.patch_id), encode(entry.desired)
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
            return Wait(left) if left > 0 else Unsure(earlier, decode(entry.sink, claimed))

    def release(self, entry: Entry[Any], claim: int) -> bool:
        """End a claim of which it is certain that nothing came, nor will come.

        False when it is over already: who wants to send claims anew, and is told.
        """
        with self._file.transaction() as sql:
            query = "UPDATE entry SET claim = NULL WHERE sink = ? AND patch_id = ? AND claim = ?"
            return sql.execute(query, (entry.sink, entry.patch_id, claim)).rowcount == 1

    def leave(self, entry: Entry[Any], claim: int) -> None:
        """End a claim where nothing is desired, and desire what was observed: nothing is sent."""
        with self._file.transaction() as sql:
            if self.release(entry, claim):
                update = "UPDATE entry SET wanted = shown WHERE sink = ? AND patch_id = ?"
                sql.execute(f"{update} AND wanted IS NULL", (entry.sink, entry.patch_id))

    def observe(
        self, sink: Sink, patch_id: int, value: Value | None, at: float, *, sent_by_us: bool = False
    ) -> None:
        """Note that Patchwork shows this from us, which ends the trouble with it.

        A claim stays as it is. `sent_by_us`: see `Entry`.
        """
        with self._file.transaction() as sql:
            sql.execute(
                """
                INSERT INTO entry (sink, patch_id, shown, remote_id, shown_at)
                VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                    shown = excluded.shown, remote_id = excluded.remote_id,
                    shown_at = excluded.shown_at,
                    trouble = CASE WHEN wanted IS NOT excluded.shown THEN trouble END
                """,
                (sink, patch_id, encode(value), 0 if sent_by_us else None, at),
            )

    def arrived(self, entry: Entry[V], claim: int, value: V | None, at: float) -> bool:
        """Note that what was claimed is there, and end the claim.

        With a claim that is over by now nothing is noted and False returned: somebody else has
        looked since.
        """
        with self._file.noting():
            if not self.release(entry, claim):
                return False
            self.observe(entry.sink, entry.patch_id, value, at, sent_by_us=True)
            return True

    def set_trouble(
        self,
        entry: Entry[Any],
        kind: TroubleKind,
        text: str,
        at: float,
        *,
        claim: int | None = None,
    ) -> None:
        """Note why what an entry desires could not be shown, nothing being written; end `claim`.

        Nothing is noted when another value is desired by now.
        """
        with self._file.transaction() as sql:
            if claim is not None:
                self.release(entry, claim)
            sql.execute(
                """
                UPDATE entry SET trouble = ?, trouble_text = ?, trouble_at = ?
                WHERE sink = ? AND patch_id = ? AND project_id IS NOT NULL AND wanted IS ?
                """,
                (kind, text, at, entry.sink, entry.patch_id, encode(entry.desired)),
            )

    def retry(self, patch_ids: Iterable[int] | None = None) -> int:
        """Forget the trouble with these patches, or with all; returns how many entries had some."""
        clear = "UPDATE entry SET trouble = NULL WHERE trouble IS NOT NULL"
        with self._file.transaction() as sql:
            if patch_ids is None:
                return sql.execute(clear).rowcount
            sinks, ids = as_set(Sink), as_set(patch_ids)
            return sql.execute(
                f"{clear} AND sink IN {SET} AND patch_id IN {SET}", (sinks, ids)
            ).rowcount

    def reconsider(self, sink: Sink, patch_ids: Iterable[int]) -> None:
        """Forget that people decided otherwise of these patches."""
        with self._file.transaction() as sql:
            sql.execute(
                f"""
                UPDATE entry SET trouble = NULL
                WHERE sink = ? AND patch_id IN {SET} AND trouble = 'report'
                """,  # noqa: S608
                (sink, as_set(patch_ids)),
            )

    def forget(self, patch_ids: Iterable[int]) -> None:
        """Forget all of patches that are gone from Patchwork, what is desired of them too."""
        ids = as_set(patch_ids)
        with self._file.transaction() as sql:
            delete = f"DELETE FROM entry WHERE sink IN {SET} AND patch_id IN {SET}"  # noqa: S608
            sql.execute(delete, (as_set(Sink), ids))
            for table in ("named", "daily_check"):
                sql.execute(f"DELETE FROM {table} WHERE patch_id IN {SET}", (ids,))  # noqa: S608
            self.ownership.forget(ids)

    def drop(self, entry: Entry[Any]) -> None:
        """Forget one entry, unless something else is desired by now."""
        delete = "DELETE FROM entry WHERE sink = ? AND patch_id = ? AND wanted IS ?"
        with self._file.transaction() as sql:
            sql.execute(delete, (entry.sink, entry.patch_id, encode(entry.desired)))

    # Notes

    def note(self, name: str) -> str | None:
        """What was noted under this name, None when nothing was."""
        text: str | None = self._file.value("SELECT text FROM note WHERE name = ?", name)
        return text

    def write_notes(self, notes: Mapping[str, str | None]) -> None:
        """Note texts under their names; None removes what there was."""
        with self._file.transaction() as sql:
            for name, text in notes.items():
                if text is None:
                    sql.execute("DELETE FROM note WHERE name = ?", (name,))
                else:
                    sql.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, text))


def _entries(rows: Iterable[tuple[Any, ...]]) -> list[Entry[Any]]:
    """The entries in the columns `_ENTRY`."""
    # All patches of a relation have one value: decoded for each, memory grows with its square.
    value_of = cache(decode)
    return [
        Entry(
            Sink(sink),
            patch_id,
            project_id,
            value_of(sink, desired),
            value_of(sink, shown),
            bool(ours),
        )
        for sink, patch_id, project_id, desired, shown, ours in rows
    ]


def _within(sinks: Iterable[str], project_ids: Iterable[int] | None) -> tuple[str, list[str]]:
    """A condition for these sinks and projects, with its values."""
    if project_ids is None:
        return f"sink IN {SET}", [as_set(sinks)]
    return f"sink IN {SET} AND project_id IN {SET}", [as_set(sinks), as_set(project_ids)]
