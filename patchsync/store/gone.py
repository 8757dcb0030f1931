"""The patches that Patchwork does not list any more: the file `gone` of the store.

One patchwork id a line, sorted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from patchsync.errors import StoreDamaged
from patchsync.store.files import numbered_lines, replace_file

_ID = re.compile(r"[1-9][0-9]{0,18}")


def read_gone(path: Path) -> frozenset[int]:
    """Return the ids in the file `gone`, none where it is absent; raises StoreDamaged."""
    gone = set()
    for number, line in numbered_lines(path):
        if not _ID.fullmatch(line):
            raise StoreDamaged(f"{path}, line {number}: not a patchwork id; correct or remove it")
        gone.add(int(line))
    return frozenset(gone)


def write_gone(path: Path, gone: Iterable[int]) -> None:
    """Replace the file `gone`; under the store's lock. Raises StoreUnavailable."""
    replace_file(path, b"".join(b"%d\n" % patch_id for patch_id in sorted(gone)))
