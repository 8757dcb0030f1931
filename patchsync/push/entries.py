"""The ledger's tables, and their rows as the rest of push sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

VERSION = 1  # of the tables below
SLOTS = 500  # ids looked up by one statement

# What is to be sent, or to be read back: another value is wanted than is shown, and no trouble but
# a 409 is in the way; or a claim has no outcome. A query must repeat it to use the index.
UNSETTLED = """
project_id IS NOT NULL AND (claim IS NOT NULL
    OR (wanted IS NOT shown AND (trouble IS NULL OR trouble = 'changed')))
"""

TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entry (
    sink TEXT NOT NULL, patch_id INTEGER NOT NULL, project_id INTEGER,
    wanted TEXT,
    shown TEXT, remote_id INTEGER, shown_at REAL,
    claim INTEGER, claimed TEXT, claimed_at REAL,
    trouble TEXT, trouble_text TEXT, trouble_at REAL,
    PRIMARY KEY (sink, patch_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsettled ON entry (sink, project_id, patch_id) WHERE {UNSETTLED};
CREATE INDEX IF NOT EXISTS troubled ON entry (trouble_at, trouble) WHERE trouble IS NOT NULL;
CREATE TABLE IF NOT EXISTS made (patch_id INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS hands_off (
    sink TEXT NOT NULL, patch_id INTEGER NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (sink, patch_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS planned (complete INTEGER NOT NULL, lines BLOB NOT NULL);
INSERT INTO planned SELECT 0, x'' WHERE NOT EXISTS (SELECT * FROM planned);
PRAGMA user_version = {VERSION};
COMMIT;
"""  # noqa: S608


class Sink(StrEnum):
    """Where in Patchwork something of ours is shown."""

    CHECK = "check"
    RELATION = "relation"
    STATE = "state"
    COMMENT = "comment"


class Trouble(StrEnum):
    """Why a wanted value could not be shown. All but `CHANGED` hold that value back."""

    MISTAKE = "mistake"  # 400
    NO_RIGHT = "no_right"  # 403
    GONE = "gone"  # 404
    CHANGED = "changed"  # 409
    REPORT = "report"  # a person's decision is in the way


class Wanted(NamedTuple):
    """What a plan wants; None: nothing of ours should be there."""

    patch_id: int
    project_id: int
    sink: str
    value: str | None


class Entry(NamedTuple):
    """All that is known of one patch in one sink, but for its claim."""

    sink: str
    patch_id: int
    # None: no plan ever said anything of it
    project_id: int | None
    wanted: str | None
    shown: str | None
    # Patchwork's, of the check
    remote_id: int | None
    trouble: str | None
    # Of the latest trouble, also when that is over
    trouble_text: str | None
    trouble_at: float | None


class HandsOff(NamedTuple):
    """A patch that a person changed after us: we leave it alone."""

    sink: str
    patch_id: int
    reason: str
    at: float


class Numbers(NamedTuple):
    """How many entries of a sink want something, show something, are unsettled, in trouble."""

    wanted: int
    shown: int
    pending: int
    trouble: int


@dataclass(frozen=True)
class Claimed:
    """The caller, and nobody else, may send the value; then `show`, `release` or `trouble`."""

    claim: int


@dataclass(frozen=True)
class Unsure:
    """`value` was claimed at `at` and may have been sent: read back, then `show` or `release`."""

    claim: int
    value: str | None
    at: float


@dataclass(frozen=True)
class Wait:
    """Somebody claimed it not long ago: nobody may send for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Needless:
    """There is nothing to send: another value is wanted by now, or it is shown, or held back."""


def within(sinks: Iterable[str], project_ids: Iterable[int] | None) -> tuple[str, list[object]]:
    """A condition for these sinks and projects, with its values."""
    some: list[object] = [str(sink) for sink in sinks]
    where = f"sink IN ({','.join('?' * len(some))})"
    if project_ids is None:
        return where, some
    projects = list(project_ids)
    return f"{where} AND project_id IN ({','.join('?' * len(projects))})", [*some, *projects]


def slots(patch_ids: Iterable[int]) -> Iterator[tuple[str, list[int]]]:
    """The ids in pieces that one statement takes, each with its placeholders."""
    left = iter(patch_ids)
    while some := list(islice(left, SLOTS)):
        yield ",".join("?" * len(some)), some
