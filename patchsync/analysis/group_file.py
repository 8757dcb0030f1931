"""PaStA's `patch-groups` as a file: read and replaced as a whole, in parts where it is large.

What it says: `patchsync.analysis.groups`. The one file counts where it is; else its parts do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from glob import escape
from pathlib import Path

from patchsync.errors import TryAgainLater
from patchsync.store.files import read_file, replace_file, storing, sync_folder

# PaStA's SPLIT_LIMIT
LIMIT = 50 * 2**20  # bytes


def format_group(message_ids: Iterable[str], commits: Iterable[str]) -> bytes:
    """The line of a group, with its newline; one of the two may be empty."""
    fields = sorted(message_ids)
    if upstream := sorted(commits):
        fields += ["=>", *upstream]
    return " ".join(fields).encode() + b"\n"


def read_content(path: Path) -> bytes | None:
    """What the file `path` or its parts hold, None where there is neither.

    Raises:
        TryAgainLater: it was written meanwhile, or cannot be read.
    """
    whole = read_file(path)
    if whole is not None:
        return whole
    parts = [read_file(part) for part in _parts(path)]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        raise TryAgainLater(f"{path} was written while it was read")
    return b"".join(found) if found else None


def write_content(path: Path, content: bytes, limit: int = LIMIT) -> None:
    """Replace all by `content`, durably; in parts of at most `limit` bytes where it is larger.

    Whoever reads, also after a kill or a power loss in between, finds the old or the new content.
    To be called under a lock. Raises StoreUnavailable.
    """
    # From here on it counts, whatever the parts are.
    replace_file(path, content)
    names = []
    if len(content) > limit:
        for number, part in enumerate(_split(content, limit)):
            names.append(path.with_name(f"{path.name}.{number:03}"))
            replace_file(names[-1], part)
    with storing(path):
        for left in set(_parts(path)).difference(names):
            left.unlink()
        if names:
            # Before the parts count, those of before have to be gone for good.
            sync_folder(path.parent)
            path.unlink()
        sync_folder(path.parent)


def _parts(path: Path) -> list[Path]:
    with storing(path):
        return sorted(path.parent.glob(escape(path.name) + ".[0-9][0-9][0-9]"))


def _split(content: bytes, limit: int) -> Iterator[bytes]:
    """Whole lines, as many as fit; a line that is longer than `limit` is a part of its own."""
    start = 0
    while start < len(content):
        end = content.rfind(b"\n", start, start + limit) + 1
        if start + limit >= len(content):
            end = len(content)
        elif not end:
            end = content.find(b"\n", start) + 1 or len(content)
        yield content[start:end]
        start = end
