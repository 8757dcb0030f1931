"""The patches that an import under way will bring, so that a sync beside it does not fetch them."""

from __future__ import annotations

from array import array

from patchsync.store.files import read_file, replace_file
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import is_locked


def expect(paths: ContainerPaths, ids: array[int]) -> None:
    """Note the patchwork ids, ascending; they count while the import's lock is held.

    Raises StoreUnavailable.
    """
    replace_file(paths.expected, ids.tobytes())


def expected(paths: ContainerPaths) -> array[int]:
    """The patchwork ids that an import will bring, ascending; none where none is under way.

    Raises StoreUnavailable.
    """
    ids = array("q")
    # Else it was killed, and what it left undone is fetched like anything else.
    if is_locked(paths.import_lock) and (content := read_file(paths.expected)):
        ids.frombytes(content[: len(content) // ids.itemsize * ids.itemsize])
    return ids
