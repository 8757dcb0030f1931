"""How many checks the revisions of one patch got today: each stays for ever, and whoever mails
copies of a patch causes some.
"""

from __future__ import annotations

from patchsync.store.sqlite_file import SqliteFile

DAY = 86400  # seconds

_OF_GROUP = """
    SELECT sum(checks) FROM daily_check WHERE day = ?2 AND patch_id IN (
        SELECT ?1 UNION
        SELECT patch_id FROM named WHERE line = (SELECT line FROM named WHERE patch_id = ?1))
"""
_COUNT = """
    INSERT INTO daily_check VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE
    SET checks = CASE WHEN day = ?2 THEN checks + 1 ELSE 1 END, day = ?2
"""
_AT_LIMIT = """
    SELECT patch_id FROM named WHERE line IN (
        SELECT line FROM daily_check JOIN named USING (patch_id)
        WHERE day = ? GROUP BY line HAVING sum(checks) >= ?)
"""


class DailyChecks:
    """The part of a ledger that counts checks by group and day; raises as the ledger.

    Patches of one line of patch-groups are a group. `now` is in seconds since 1970.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def take(self, patch_id: int, now: float, limit: int) -> bool:
        """Count a check of a patch; False, and nothing counted, where its group had its share."""
        values = patch_id, int(now // DAY)
        with self._file.transaction() as sql:
            if (sql.execute(_OF_GROUP, values).fetchone()[0] or 0) >= limit:
                return False
            sql.execute(_COUNT, values)
            return True

    def give_back(self, patch_id: int, now: float) -> None:
        """Note that a check that was counted today was not written."""
        with self._file.transaction() as sql:
            give = "UPDATE daily_check SET checks = checks - 1 WHERE patch_id = ? AND day = ?"
            sql.execute(give, (patch_id, int(now // DAY)))

    def at_limit(self, now: float, limit: int) -> set[int]:
        """The patches whose group gets no more checks today."""
        return {row[0] for row in self._file.rows(_AT_LIMIT, int(now // DAY), limit)}


def until_tomorrow(limit: int) -> str:
    """Until when checks wait, and why."""
    return (
        f"until 00:00 UTC: the revisions of one patch get {limit} checks a day, which is "
        "[push.check] per_group_and_day"
    )
