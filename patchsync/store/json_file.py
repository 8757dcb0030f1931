"""Small records of a project, such as how its last round went, as JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patchsync.errors import StoreDamaged
from patchsync.store.files import read_file, replace_file
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import LOCK_WAIT, store_lock


def write_record(
    paths: ContainerPaths, file: Path, record: Mapping[str, object], wait: float = LOCK_WAIT
) -> None:
    """Keep `record`, of JSON values, in `file`: `paths.round`, `.audit` or `.requests`.

    Raises LockHeld, StoreUnavailable.
    """
    content = json.dumps(dict(record), indent=2) + "\n"
    with store_lock(paths.lock, wait):
        replace_file(file, content.encode())


def read_record(file: Path) -> dict[str, Any] | None:
    """Return what `write_record` kept in `file`, None at first; StoreDamaged when foreign."""
    content = read_file(file)
    if content is None:
        return None
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StoreDamaged(f"{file}: not JSON; remove the file") from error
    if not isinstance(record, dict):
        raise StoreDamaged(f"{file}: not a record; remove the file")
    return record
