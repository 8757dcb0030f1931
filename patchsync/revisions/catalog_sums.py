"""How many patches, groups and days there are, as the catalog keeps them for charts."""

from __future__ import annotations

import time

from patchsync.revisions.catalog_file import DAY, bounded
from patchsync.store.sqlite_file import SqliteFile


class CatalogSums:
    """A view of the catalog's tally, which changes with what it counts."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def patches_per_day(
        self, project_id: int, days: int = 365, now: float | None = None
    ) -> list[tuple[int, int]]:
        """Of the last so many days: the day, since 1970 (UTC), and how many patches it has.

        By the dates of the mails; days without any are left out.
        """
        today = int((time.time() if now is None else now) // DAY)
        counts = self._tally("day", bounded(project_id))
        return [(day, number) for day, number in counts.items() if today - days < day <= today]

    def revisions_per_group(self) -> dict[int, int]:
        """How many groups have so many mails; a patch without others is a group of one."""
        groups = self._tally("revisions")
        together = sum(mails * number for mails, number in groups.items())
        alone = self._tally("mail").get(0, 0) - together
        if alone > 0:
            groups[1] = groups.get(1, 0) + alone
        return groups

    def days_to_upstream(self) -> dict[int, int]:
        """How many groups took so many days, from their first mail to their first commit.

        Only those of which a repository says when that was; none are below 0.
        """
        return self._tally("upstream")

    def _tally(self, sort: str, project: int = 0) -> dict[int, int]:
        """What was counted, by value, in ascending order."""
        return dict(
            self._file.rows(
                "SELECT value, number FROM tally WHERE sort = ? AND project = ? AND number > 0"
                " ORDER BY value",
                sort,
                project,
            )
        )
