"""Whose relations are: the patches that we placed there, and those that a person keeps apart."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

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
        """Note that a person took these out of a relation: we place them in none."""
        rows = (("relation", patch_id, _REASON, at) for patch_id in patch_ids)
        with self._file.transaction() as sql:
            sql.executemany("INSERT OR IGNORE INTO hands_off VALUES (?, ?, ?, ?)", rows)

    def left_alone(self) -> set[int]:
        """All patches that a person took out of a relation, and put into none since."""
        query = "SELECT patch_id FROM hands_off WHERE sink = 'relation'"
        return {row[0] for row in self._file.rows(query)}

    def forget_left_alone(self, patch_ids: Iterable[int]) -> None:
        """Note that a person put these into a relation, or left them to us again."""
        delete = "DELETE FROM hands_off WHERE sink = 'relation' AND patch_id = ?"
        with self._file.transaction() as sql:
            sql.executemany(delete, ((patch_id,) for patch_id in patch_ids))

    def note_parted(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Note that a person parted each two of these: we do not bring them together again."""
        with self._file.transaction() as sql:
            sql.executemany("INSERT OR IGNORE INTO parted VALUES (min(?1, ?2), max(?1, ?2))", pairs)

    def parted(self, patch_ids: Collection[int]) -> set[tuple[int, int]]:
        """The pairs that a person parted, of which both are of these; the lower id first."""
        query = f"SELECT * FROM parted WHERE low IN {SET} AND high IN {SET}"  # noqa: S608
        return set(self._file.rows(query, as_set(patch_ids), as_set(patch_ids)))

    def take_back(self, patch_id: int, members: Collection[int]) -> None:
        """Note that somebody leaves a patch to us again, and the relation that it is in, if any."""
        with self._file.transaction() as sql:
            self.forget_left_alone([patch_id])
            sql.execute("DELETE FROM parted WHERE low = ?", (patch_id,))
            sql.execute("DELETE FROM parted WHERE high = ?", (patch_id,))
            self.note_placed(members if len(members) > 1 else ())

    def forget(self, ids: str) -> None:
        """Forget patches (`as_set`) that are gone from Patchwork."""
        with self._file.transaction() as sql:
            for column in ("made.patch_id", "hands_off.patch_id", "parted.low", "parted.high"):
                table, name = column.split(".")
                sql.execute(f"DELETE FROM {table} WHERE {name} IN {SET}", (ids,))  # noqa: S608

    def with_parted(self, patch_ids: Collection[int]) -> set[int]:
        """Which of these a person parted from any."""
        query = f"""
            SELECT low FROM parted WHERE low IN {SET} UNION
            SELECT high FROM parted INDEXED BY parted_high WHERE high IN {SET}
        """  # noqa: S608
        return {row[0] for row in self._file.rows(query, as_set(patch_ids), as_set(patch_ids))}

    def forget_parted(self, members: Collection[int]) -> None:
        """Note that a person related these: that some of them were parted holds no more."""
        delete = f"DELETE FROM parted WHERE low IN {SET} AND high IN {SET}"  # noqa: S608
        with self._file.transaction() as sql:
            sql.execute(delete, (as_set(members), as_set(members)))


def as_set(values: Iterable[int | str]) -> str:
    """Any number of values as one parameter, in place of `SET`."""
    return json.dumps(list(values))
