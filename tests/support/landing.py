"""A repository that took patches in: each of some mails as a commit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email import message_from_bytes
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path

from pygit2 import Index, IndexEntry, Repository, Signature, init_repository
from pygit2.enums import FileMode

DAY = 86400
MAINTAINER = ("Mia Maintainer", "mia@example.org")
BRANCH = "refs/heads/master"
# Between the hunks of a file, so that git does not join them
GAP = "\n" * 8


def land(folder: Path, mails: Iterable[tuple[bytes, float]]) -> str:
    """Make a bare repository with a commit of each mail; returns the range that has them.

    `mails`: with the days from its date to its commit. The commit before it makes the files as
    they were.
    """
    repository = init_repository(folder, bare=True)
    first = _commit(repository, {}, "Begin\n", MAINTAINER, 0)
    for content, days in mails:
        mail = message_from_bytes(content)
        body = str(mail.get_payload())
        at = parsedate_to_datetime(mail["Date"]).timestamp() + days * DAY
        title = re.sub(r"^\[[^]]*\] *", "", str(mail["Subject"]))
        text, _, _ = body.partition("\n---\n")
        message = f"{title}\n\n{text}\n"
        _commit(repository, _files(body, "-"), "Grow\n", MAINTAINER, at - 1)
        _commit(repository, _files(body, "+"), message, parseaddr(mail["From"]), at)
    return f"{first}..{BRANCH.rpartition('/')[2]}"


def _files(body: str, side: str) -> dict[str, str]:
    """What a diff has of each file on its side, `-` or `+`."""
    files: dict[str, str] = {}
    name = ""
    for line in body.splitlines():
        if line.startswith("+++ b/"):
            name = line.removeprefix("+++ b/")
            files[name] = ""
        elif name and line.startswith("@@ "):
            # git tells of a hunk the last line before it that begins a function.
            files[name] += f"{line.rpartition('@@ ')[2]}{GAP}"
        elif name and line.startswith((" ", side)) and not line.startswith(side * 3):
            files[name] += f"{line[1:]}\n"
    return files


def _commit(
    repository: Repository,
    files: Mapping[str, str],
    message: str,
    author: tuple[str, str],
    at: float,
) -> str:
    index = Index()
    for name, text in files.items():
        index.add(IndexEntry(name, repository.create_blob(text.encode()), FileMode.BLOB))
    parents = [repository.references[BRANCH].target] if BRANCH in repository.references else []
    return str(
        repository.create_commit(
            BRANCH,
            Signature(*author, int(at), 0),
            Signature(*MAINTAINER, int(at), 0),
            message,
            index.write_tree(repository),
            parents,
        )
    )
