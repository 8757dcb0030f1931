"""PaStA's false positives: pairs that somebody looked at and that are not one patch.

A line is a mail and what it is not, with one space between: other mails in `mbox-patch-stack`,
commits in `mbox-upstream`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from patchsync.errors import GiveUp, StoreDamaged
from patchsync.store.files import read_file, replace_file
from patchsync.store.layout import message_id_fault
from patchsync.store.lock import store_lock

OF_MAILS = "mbox-patch-stack"
OF_COMMITS = "mbox-upstream"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

# Of one file: what each mail is not, by message-ids and commits' hashes.
FalsePositives = Mapping[str, frozenset[str]]


def read_false_positives(file: Path) -> FalsePositives:
    """The false positives of a file; none where there is no such file.

    Several lines of one mail add up. PaStA keeps the last one alone, by which the others, that
    somebody meant, would be joined again.

    Raises:
        StoreDamaged: a line is something else; the message names file and line.
    """
    pairs: dict[str, frozenset[str]] = {}
    for number, line in enumerate((read_file(file) or b"").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            origin, *others = line.decode().rstrip("\r").split(" ")
        except UnicodeDecodeError:
            raise _damaged(file, number, "it is not UTF-8") from None
        if not others:
            raise _damaged(file, number, f"nothing follows {origin[:100]!r}")
        for name in (origin, *others):
            if fault := message_id_fault(name):
                raise _damaged(file, number, fault)
        pairs[origin] = pairs.get(origin, frozenset()).union(others)
    return pairs


def is_commit(name: str) -> bool:
    """Whether this is a commit's hash, and not a message-id."""
    return bool(_COMMIT.fullmatch(name))


def is_marked(folder: Path, left: str, right: str) -> bool:
    """Whether the false positives in `folder` say all that `mark_false` would add.

    Raises:
        GiveUp, StoreDamaged: as `mark_false`.
    """
    name, pairs = _to_mark(left, right)
    return _has_all(read_false_positives(folder / name), pairs)


def mark_false(folder: Path, left: str, right: str) -> bool:
    """Note durably that a mail is not the other mail or commit; False where that stood there.

    Two mails are noted in both directions: PaStA looks at a pair from either side.

    Raises:
        GiveUp: they are two commits, or the same.
        StoreDamaged: the file holds something else; it stays as it is.
        LockHeld: somebody else writes there.
    """
    name, pairs = _to_mark(left, right)
    with store_lock(folder / ".lock"):
        marked = dict(read_false_positives(folder / name))
        if _has_all(marked, pairs):
            return False
        for origin, other in pairs:
            marked[origin] = marked.get(origin, frozenset()) | {other}
        lines = [f"{origin} {' '.join(sorted(marked[origin]))}\n" for origin in sorted(marked)]
        replace_file(folder / name, "".join(lines).encode())
    return True


def _to_mark(left: str, right: str) -> tuple[str, list[tuple[str, str]]]:
    """The name of the file, and the pairs that are to stand in it."""
    for name in (left, right):
        if fault := message_id_fault(name):
            raise GiveUp(f"{name!r}: {fault}")
    if left == right:
        raise GiveUp(f"both are {left}")
    mails = [name for name in (left, right) if not is_commit(name)]
    if not mails:
        raise GiveUp(f"{left} and {right} are commits; PaStA compares mails with those")
    if len(mails) == 2:
        return OF_MAILS, [(left, right), (right, left)]
    [mail] = mails
    return OF_COMMITS, [(mail, right if mail == left else left)]


def _has_all(marked: FalsePositives, pairs: list[tuple[str, str]]) -> bool:
    return all(other in marked.get(origin, ()) for origin, other in pairs)


def _damaged(file: Path, number: int, fault: str) -> StoreDamaged:
    return StoreDamaged(f"{file}, line {number}: no false positive of PaStA's: {fault}; correct it")
