"""What an index worker does with a piece of an archive."""

from __future__ import annotations

import re

from patchsync.archive.spool import Piece, Spool
from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.layout import ContainerPaths
from patchsync.store.writer import Stored, StoreWriter
from patchsync.sync.projects import find_project
from patchsync.sync.store_result import LOCK_SECONDS

_ARCHIVE = re.compile(r"[0-9a-f]{64}")


def spool_of(paths: ContainerPaths, archive: str) -> Spool:
    """Where pieces of an archive wait for a project's index worker.

    `archive`: its identity, as messages name it.

    Raises:
        GiveUp: that is no identity.
    """
    if not _ARCHIVE.fullmatch(archive):
        raise GiveUp(f"{archive!r} does not name an archive; start `patchsync import`")
    return Spool(paths.imports / f"{archive}.spool")


def store_piece(config: Config, key: str, archive: str, piece: Piece) -> Stored | None:
    """Write a piece of an archive. To be called under the project's Redis lock.

    Returns None where it is not in the spool: it is stored, or its import was ended.

    Raises:
        ServerRestored: a message-id is not the one in the store.
        StaleWriter, LockHeld: another writer was there; the same piece may come again.
        StoreUnavailable: the disk is full, or not writable.
    """
    site = find_project(config, key)
    if site is None:
        return None
    spool = spool_of(site.paths, archive)
    contents = spool.read(piece)
    if contents is None:
        return None
    batch = FetchResult(mails=tuple(contents.mails), quarantined=tuple(contents.quarantined))
    with StoreWriter(site.paths, lock_wait=LOCK_SECONDS) as writer:
        stored = writer.apply(batch)
    spool.remove(piece)
    return stored
