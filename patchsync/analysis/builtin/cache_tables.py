"""The tables in which the builtin engine keeps what it knows between its runs."""

from __future__ import annotations

from patchsync.store.sqlite_file import Schema

# What is counted, of which table: to count a million rows for each update takes long.
_TALLIES = {
    "mails": ("patch", "NOT {row}.is_commit"),
    "not patches": ("other", "1"),
    "undecided": ("undecided", "1"),
}


def _tally() -> str:
    """The table of what is counted, and the triggers that count."""
    statements = ["CREATE TABLE tally (what TEXT PRIMARY KEY, number INTEGER NOT NULL)"]
    for what, (table, when) in _TALLIES.items():
        statements.append(f"INSERT INTO tally VALUES ('{what}', 0)")  # noqa: S608
        for event, row, step in (("INSERT", "new", "+ 1"), ("DELETE", "old", "- 1")):
            count = f"UPDATE tally SET number = number {step} WHERE what = '{what}'"  # noqa: S608
            statements.append(
                f"CREATE TRIGGER tally_{table}_{event} AFTER {event} ON {table}"
                f" WHEN {when.format(row=row)} BEGIN {count}; END"
            )
    return ";\n".join(statements)


SCHEMA = Schema(
    # Also of how mails are read and compared: raised whenever that changes.
    version=6,
    pragmas={"cache_size": -64 * 1024},  # KiB
    tables="""
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE patch (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
    is_commit INTEGER NOT NULL, date REAL NOT NULL, is_revert INTEGER NOT NULL,
    source TEXT NOT NULL, component INTEGER, grp INTEGER
);
CREATE INDEX patch_component ON patch (component);
CREATE INDEX patch_grp ON patch (grp);
CREATE INDEX patch_is_commit ON patch (is_commit);
-- Mails that are no patch, and why
CREATE TABLE other (name TEXT PRIMARY KEY, source TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX other_unread ON other (name) WHERE source = '';
CREATE TABLE shape (number INTEGER PRIMARY KEY, message BLOB NOT NULL, files BLOB NOT NULL);
CREATE TABLE file (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE touch (
    file INTEGER NOT NULL, number INTEGER NOT NULL, is_commit INTEGER NOT NULL,
    lines INTEGER NOT NULL, PRIMARY KEY (file, number)
) WITHOUT ROWID;
CREATE INDEX touch_number ON touch (number);
-- Hunks by file and heading, and renamed files; `lines` and `message` are the whole patch's
CREATE TABLE part (
    part INTEGER NOT NULL, number INTEGER NOT NULL, is_commit INTEGER NOT NULL,
    lines INTEGER NOT NULL, message INTEGER NOT NULL, file INTEGER NOT NULL,
    deletions INTEGER, insertions INTEGER, PRIMARY KEY (part, number)
) WITHOUT ROWID;
CREATE INDEX part_number ON part (number);
-- Hashes that mails say they were picked from
CREATE TABLE picked (hash TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (hash, number))
    WITHOUT ROWID;
-- Pairs that are alike enough; of mails in components with false positives how alike they are
CREATE TABLE link (low INTEGER NOT NULL, high INTEGER NOT NULL, alike REAL,
    PRIMARY KEY (low, high)) WITHOUT ROWID;
CREATE INDEX link_high ON link (high);
-- Pairs of which only a person could tell
CREATE TABLE undecided (low INTEGER NOT NULL, high INTEGER NOT NULL, PRIMARY KEY (low, high))
    WITHOUT ROWID;
-- False positives, as they were when the groups were made
CREATE TABLE mark (origin TEXT NOT NULL, destination TEXT NOT NULL, upstream INTEGER NOT NULL,
    PRIMARY KEY (upstream, origin, destination)) WITHOUT ROWID;
-- Of mails in components with false positives: which candidate, upstream or not, is the best one
-- beside those that are linked, and how alike it is; `reached`: of those up to this number, or NULL
-- where all were looked at
CREATE TABLE best (number INTEGER NOT NULL, upstream INTEGER NOT NULL, alike REAL NOT NULL,
    candidate INTEGER NOT NULL, reached INTEGER, PRIMARY KEY (number, upstream)) WITHOUT ROWID;
CREATE INDEX best_candidate ON best (candidate);
-- Whose component is to be grouped anew, and whose line in patch-groups is not written yet; which
-- lines that may be there still are to go
CREATE TABLE regroup (number INTEGER PRIMARY KEY);
CREATE TABLE unwritten (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE outdated (line BLOB PRIMARY KEY) WITHOUT ROWID;
"""
    + _tally(),
)
