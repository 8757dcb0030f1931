"""The SQLite file of what the builtin engine keeps between its runs.

All of it follows from the store, the repository and the thresholds: it may be deleted at any time,
and is made anew when it is damaged, or when this version reads or compares in another way. Whoever
writes it holds the analysis' lock.
"""

from __future__ import annotations

from patchsync.store.sqlite_file import Schema

_TABLES = """
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL);
-- A mail by its message-id, or a commit by its hash. Numbers are never used again.
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
CREATE TABLE shape (number INTEGER PRIMARY KEY, message BLOB NOT NULL, files BLOB NOT NULL);
CREATE TABLE file (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE touch (
    file INTEGER NOT NULL, number INTEGER NOT NULL, is_commit INTEGER NOT NULL,
    lines INTEGER NOT NULL, PRIMARY KEY (file, number)
) WITHOUT ROWID;
CREATE INDEX touch_number ON touch (number);
-- Hashes that mails say they were picked from
CREATE TABLE picked (hash TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (hash, number))
    WITHOUT ROWID;
-- Pairs that are alike enough
CREATE TABLE link (low INTEGER NOT NULL, high INTEGER NOT NULL, PRIMARY KEY (low, high))
    WITHOUT ROWID;
CREATE INDEX link_high ON link (high);
-- Pairs of which only a person could tell
CREATE TABLE undecided (low INTEGER NOT NULL, high INTEGER NOT NULL, PRIMARY KEY (low, high))
    WITHOUT ROWID;
-- False positives, as they were when the groups were made
CREATE TABLE mark (origin TEXT NOT NULL, destination TEXT NOT NULL, upstream INTEGER NOT NULL,
    PRIMARY KEY (upstream, origin, destination)) WITHOUT ROWID;
-- Of mails in components with false positives: how alike the best candidate is, upstream or not
CREATE TABLE best (number INTEGER NOT NULL, upstream INTEGER NOT NULL, alike REAL NOT NULL,
    PRIMARY KEY (number, upstream)) WITHOUT ROWID;
-- Whose component is to be grouped anew, and whose line in patch-groups is not written yet
CREATE TABLE regroup (number INTEGER PRIMARY KEY);
CREATE TABLE unwritten (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
SCHEMA = Schema(
    # Also of how mails are read and compared: raised whenever that changes.
    version=1,
    tables=_TABLES,
    pragmas={"cache_size": -64 * 1024},  # KiB
)
