"""Durable writes on a disk that may be full or read-only, with errors that say what to do."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from patchsync.errors import StoreDamaged, StoreNotWritable, StoreUnavailable

REMEDY = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the quota is used up; raise it or free some space",
    errno.EFBIG: "the file would exceed the limit of this process; raise it (ulimit -f)",
    errno.EROFS: "the file system is read-only; mount it writable",
    errno.ENOTDIR: "a file is where a folder should be; see [store] mbox",
    errno.EACCES: "no permission; let the user that runs patchsync read and write there",
    errno.EPERM: "no permission; let the user that runs patchsync read and write there",
}


@contextmanager
def storing(path: Path | str) -> Iterator[None]:
    """Report what the system refuses at `path` as StoreUnavailable; with the remedy, if known."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        remedy = REMEDY.get(error.errno or 0)
        if remedy:
            raise StoreNotWritable(f"{where}: {remedy}") from error
        raise StoreUnavailable(f"{where}: {error.strerror or error}") from error


def may_write(folder: Path) -> bool:
    """Whether this user may make files in `folder`, or where it is not there, make it."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return os.access(nearest, os.W_OK | os.X_OK, effective_ids=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power loss; raises OSError."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(folder: Path) -> None:
    """Make all that was written to the file system of `folder` durable, in one go; raises OSError.

    One syncfs for a batch of small files is far cheaper than an fsync for each.
    """
    if sys.platform != "linux":
        os.sync()
        return
    import ctypes  # Who only reads does without.

    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each with a durable name; raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Replace `path` by `content` durably, so that a reader sees the old or the new bytes, whole.

    To be called under the store's lock: the new file is written under one fixed name beside it.
    Raises StoreUnavailable.
    """
    fresh = path.with_name(path.name + ".new")
    with storing(path):
        make_folder(path.parent)
        try:
            with fresh.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
            raise
        sync_folder(path.parent)


def read_file(path: Path) -> bytes | None:
    """Return the bytes of `path`, None where there is no such file; raises StoreUnavailable."""
    with storing(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a small text file with their numbers, from 1; none where it is absent.

    Raises StoreDamaged, StoreNotWritable, StoreUnavailable.
    """
    content = read_file(path) or b""
    try:
        return list(enumerate(content.decode().splitlines(), start=1))
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise StoreDamaged(f"{path}, line {number}: not UTF-8; correct or remove it") from error
