"""Whose hand it was: what of Patchwork's is ours to change, and what a person changed after us."""

from __future__ import annotations

from collections.abc import Iterable

from patchsync.push.entries import HandsOff, slots
from patchsync.push.ledger_file import LedgerFile


class Hands:
    """A part of the ledger, see there."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def note_made(self, patch_ids: Iterable[int]) -> None:
        """We placed these patches into a relation."""
        with self._file.transaction() as sql:
            sql.executemany("INSERT OR IGNORE INTO made VALUES (?)", ((n,) for n in patch_ids))

    def forget_made(self, patch_ids: Iterable[int]) -> None:
        """These patches are in no relation by us any more."""
        with self._file.transaction() as sql:
            sql.executemany("DELETE FROM made WHERE patch_id = ?", ((n,) for n in patch_ids))

    def made(self, patch_ids: Iterable[int] | None = None) -> set[int]:
        """Which of these patches, or of all, we placed into a relation."""
        with self._file.using() as sql:
            if patch_ids is None:
                return {row[0] for row in sql.execute("SELECT patch_id FROM made")}
            found: set[int] = set()
            for marks, some in slots(patch_ids):
                query = f"SELECT patch_id FROM made WHERE patch_id IN ({marks})"  # noqa: S608
                found.update(row[0] for row in sql.execute(query, some))
            return found

    def keep_hands_off(self, found: Iterable[HandsOff]) -> None:
        """A person changed these after us; of a patch that is noted already the first stays."""
        with self._file.transaction() as sql:
            sql.executemany("INSERT OR IGNORE INTO hands_off VALUES (?, ?, ?, ?)", found)

    def hands_off(self, sink: str) -> dict[int, HandsOff]:
        """By patch id."""
        query = "SELECT sink, patch_id, reason, at FROM hands_off WHERE sink = ?"
        with self._file.using() as sql:
            return {row[1]: HandsOff._make(row) for row in sql.execute(query, (sink,))}
