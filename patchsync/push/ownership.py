"""Whose a relation's patches are: placed there by us, or left alone since a person changed them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from patchsync.store.sqlite_file import SqliteFile

SET = "(SELECT value FROM json_each(?))"  # for `as_set`
_REASON = "a person took it out of its relation"


class Ownership:
    """The part of a ledger that says whose a relation's patches are; raises as the ledger."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def note_placed(self, patch_ids: Iterable[int]) -> None:
        """Note that we placed these patches into a relation."""
        with self._file.transaction() as sql:
            sql.executemany("INSERT OR IGNORE INTO made VALUES (?)", ((n,) for n in patch_ids))

    def forget_placed(self, patch_ids: Iterable[int]) -> None:
        """Note that these patches are in no relation by us any more."""
        with self._file.transaction() as sql:
            sql.executemany("DELETE FROM made WHERE patch_id = ?", ((n,) for n in patch_ids))

    def placed_by_us(self, patch_ids: Iterable[int] | None = None) -> set[int]:
        """Which of these patches, or of all, we placed into a relation."""
        if patch_ids is None:
            return {row[0] for row in self._file.rows("SELECT patch_id FROM made")}
        query = f"SELECT patch_id FROM made WHERE patch_id IN {SET}"  # noqa: S608
        return {row[0] for row in self._file.rows(query, as_set(patch_ids))}

    def leave_alone(self, patch_ids: Iterable[int], at: float) -> None:
        """Note that a person took these out of a relation of ours: we place them in none."""
        rows = (("relation", patch_id, _REASON, at) for patch_id in patch_ids)
        with self._file.transaction() as sql:
            sql.executemany("INSERT OR IGNORE INTO hands_off VALUES (?, ?, ?, ?)", rows)

    def left_alone(self) -> set[int]:
        """All patches that a person took out of a relation of ours."""
        query = "SELECT patch_id FROM hands_off WHERE sink = 'relation'"
        return {row[0] for row in self._file.rows(query)}


def as_set(values: Iterable[int | str]) -> str:
    """Any number of values as one parameter, in place of `SET`."""
    return json.dumps(list(values))
