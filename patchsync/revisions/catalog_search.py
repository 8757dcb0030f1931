"""Which mails are on a page: a project's patches by time, or those that have some words."""

from __future__ import annotations

import re
import sqlite3
from typing import Any
from unicodedata import normalize

from patchsync.revisions.catalog_file import LAST_DATE, first_number, has_full_text_search
from patchsync.store.sqlite_file import SqliteFile

# Of a search as many words are looked for.
MOST_WORDS = 8
# A word of as many letters finds longer ones that begin with it, where there is none as it stands.
SHORTEST_BEGINNING = 3
_LAST = first_number(LAST_DATE)
_WORD = re.compile(r"\w+")


def find_listed(file: SqliteFile, project: int, search: str, before: int, limit: int) -> list[int]:
    """Numbers of mails that are listed patches of a project, the newest first, below `before`.

    `search`: words that subject, author or names of files have, all of them; empty: any.
    """
    words = _WORD.findall(normalize("NFC", search))[:MOST_WORDS]
    if not search.strip():
        rows = file.rows(
            "SELECT DISTINCT mail FROM patch WHERE project = ? AND NOT gone AND mail < ?"
            " ORDER BY mail DESC LIMIT ?",
            project,
            before,
            limit,
        )
    elif not words:
        rows = []
    elif has_full_text_search():
        rows = _searched(file, project, words, before, limit)
    else:
        rows = _looked_through(file, project, words, before, limit)
    return [number for (number,) in rows]


def _searched(
    file: SqliteFile, project: int, words: list[str], before: int, limit: int
) -> list[tuple[Any, ...]]:
    """By FTS5, which finds the newest first, and no more than a page of them.

    Words that nobody wrote are beginnings of words: to look for those first takes long, where many
    begin so.
    """
    query = """
        SELECT rowid FROM search WHERE search MATCH ? AND rowid < ? AND EXISTS (
            SELECT * FROM patch WHERE project = ? AND mail = search.rowid AND NOT gone
        ) ORDER BY rowid DESC LIMIT ?
    """
    whole = _match(project, [f'"{word}"' for word in words])
    begun = _match(project, [f'"{w}"{"*" * (len(w) >= SHORTEST_BEGINNING)}' for w in words])
    with file.reporting():
        try:
            found = file.sql.execute(query, (whole, _LAST, project, 1)).fetchone()
            match = whole if found else begun
            return file.sql.execute(query, (match, before, project, limit)).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            # What Python takes for one word and SQLite for several, as in a script of today
            return []


def _match(project: int, words: list[str]) -> str:
    return f'project : "p{project}" AND {{subject author file}} : ({" AND ".join(words)})'


def _looked_through(
    file: SqliteFile, project: int, words: list[str], before: int, limit: int
) -> list[tuple[Any, ...]]:
    """Where there is no FTS5: each mail is looked at until there are enough."""
    text = "subject || ' ' || author_name || ' ' || author_address || ' ' || mail.files"
    each = " AND ".join(f"instr(lower({text}), ?)" for _ in words)
    return file.rows(
        f"SELECT DISTINCT mail.id FROM patch CROSS JOIN mail ON mail.id = patch.mail"  # noqa: S608
        f" WHERE project = ? AND NOT gone AND mail < ? AND {each}"
        " ORDER BY mail DESC LIMIT ?",
        project,
        before,
        *(word.lower() for word in words),
        limit,
    )
