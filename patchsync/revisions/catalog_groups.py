"""Taking PaStA's patch-groups into the catalog: which mails are one patch, and its commits."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from patchsync.analysis.groups import Changes, Group, format_group, line_hash
from patchsync.analysis.groups_record import LinesChanged
from patchsync.analysis.settings import AnalysisSettings
from patchsync.revisions.catalog_file import pieces, slots
from patchsync.revisions.catalog_mails import SUM_UP_MAILS
from patchsync.store.sqlite_file import SqliteFile

_VERSION = "version"  # a note: of patch-groups, as far as it is known
_REPO = "repo"  # a note: the repository that was asked for commits
_COMMITS = 2000  # looked up in one transaction
_SUM_UP_COMMITS = """
UPDATE line SET landed = (
    SELECT min(committed) FROM member JOIN upstream ON upstream.hash = member.name
    WHERE member.line = ?1 AND is_commit
) WHERE id = ?1
"""


def take_groups(file: SqliteFile, groups: Changes | None, done: array[int]) -> None:
    """Have the groups that changed as they are; all of them, or none.

    `groups`: of the file, made with `done`; None where there is no file.
    """

    def gone() -> set[int]:
        return groups.gone(done) if groups else set(done)

    _take(file, groups or (), gone, None)


def take_changes(file: SqliteFile, changed: LinesChanged, version: str | None) -> None:
    """Have the groups as this version has them: these lines changed since `version_taken`."""
    _take(file, changed.new, lambda: changed.gone, version)


def _take(
    file: SqliteFile,
    new: Iterable[tuple[int, Group]],
    gone: Callable[[], set[int]],
    version: str | None,
) -> None:
    """`gone` is called once all that are new came."""
    with file.transaction() as sql:
        lines: array[int] = array("q")
        for line, group in new:
            lines.append(line)
            if len(group.message_ids) + len(group.commits) > 1:
                _enter(file, line, group)
        # In order: a million of them are put away one behind the other.
        sql.executemany("INSERT OR IGNORE INTO named VALUES (?)", ((at,) for at in sorted(lines)))
        for line in gone():
            # Those that are in another line by now are not among them.
            sql.execute(
                "DELETE FROM upstream WHERE hash IN"
                " (SELECT name FROM member WHERE line = ? AND is_commit)",
                (line,),
            )
            for table, column in (("member", "line"), ("line", "id"), ("named", "line")):
                sql.execute(f"DELETE FROM {table} WHERE {column} = ?", (line,))  # noqa: S608
        note_version(file, version)


def note_version(file: SqliteFile, version: str | None) -> None:
    """Keep that what is in are the groups of this version."""
    with file.transaction() as sql:
        sql.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (_VERSION, version))


def version_taken(file: SqliteFile) -> str | None:
    """Which version of patch-groups is in (`GroupsRecord.version`); None where that is unknown."""
    version: str | None = file.value("SELECT value FROM note WHERE name = ?", _VERSION)
    return version


def _enter(file: SqliteFile, line: int, group: Group) -> None:
    with file.transaction() as sql:
        for is_commit, names in enumerate(group):
            rows = ((name, line, is_commit) for name in names)
            sql.executemany("INSERT OR REPLACE INTO member VALUES (?, ?, ?)", rows)
        sql.executemany(
            "INSERT OR IGNORE INTO upstream (hash, asked) VALUES (?, 0)",
            ((name,) for name in group.commits),
        )
        sql.execute("INSERT OR IGNORE INTO line VALUES (?, 0, NULL, NULL)", (line,))
        sql.execute(SUM_UP_MAILS, (line,))
        sql.execute(_SUM_UP_COMMITS, (line,))


def lines_done(file: SqliteFile) -> array[int]:
    """The hashes of the lines that are in, ascending."""
    with file.reporting():
        rows = file.sql.execute("SELECT line FROM named ORDER BY line")
        return array("q", (line for (line,) in rows))


def not_named(file: SqliteFile, alone: Iterable[str]) -> set[str]:
    """Those of the mails, all of them in no group with others, that patch-groups does not name."""
    # There is no table of those that are alone, which most are; but their lines are known.
    hashes = {line_hash(format_group([name], [])): name for name in alone}
    for some in pieces(list(hashes)):
        query = f"SELECT line FROM named WHERE line IN {slots(some)}"  # noqa: S608
        for (line,) in file.rows(query, *some):
            del hashes[line]
    return set(hashes.values())


def take_commits(file: SqliteFile, settings: AnalysisSettings) -> None:
    """Have the times of the commits that the groups name, where there is a repository.

    Raises ConfigError where that cannot be opened.
    """
    repo = str(settings.repo or "")
    with file.transaction() as sql:
        if (file.value("SELECT value FROM note WHERE name = ?", _REPO) or "") != repo:
            # What another one did not have this one may.
            sql.execute("UPDATE upstream SET authored = NULL, committed = NULL, asked = 0")
            sql.execute("UPDATE line SET landed = NULL WHERE landed IS NOT NULL")
            sql.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (_REPO, repo))
    if settings.repo is None:
        return
    # libgit2 is loaded where there is a repository only.
    from patchsync.analysis.commits import open_repository, read_times

    repository = open_repository(settings.repo)
    while some := file.rows("SELECT hash FROM upstream WHERE NOT asked LIMIT ?", _COMMITS):
        with file.transaction() as sql:
            rows = [(*(read_times(repository, name) or (None, None)), name) for (name,) in some]
            sql.executemany(
                "UPDATE upstream SET authored = ?, committed = ?, asked = 1 WHERE hash = ?", rows
            )
            lines = {file.value("SELECT line FROM member WHERE name = ?", name) for (name,) in some}
            sql.executemany(_SUM_UP_COMMITS, ((line,) for line in lines))
