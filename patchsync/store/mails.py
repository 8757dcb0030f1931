"""Mails on disk and lines at the end of the index: what the writer does to PaStA's own files."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from patchsync.errors import StoreDamaged
from patchsync.store.files import make_folder, storing, sync_folder

_LONGEST_TORN = 1 << 16  # bytes; what is longer was never one write of ours that a crash cut off


def md5_of(content: bytes) -> str:
    """The name of a mail's file: the md5 of its bytes."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def write_mail(path: Path | str, content: bytes, token: int) -> bool:
    """Write a mail to the file `path`, which is named by its md5; not yet durably.

    What a killed writer left there half written is replaced. Returns False, and writes nothing,
    when the file holds another mail with the same md5, which is no accident. Raises
    StoreUnavailable.
    """
    with storing(path):
        try:
            _write_new(path, content)
            return True
        except FileExistsError:
            path = Path(path)
            there = path.read_bytes()
        if there == content:
            return True
        if md5_of(there) == path.name:
            return False
        fresh = path.with_name(f"{path.name}.{token}")  # no other writer has this token
        try:
            fresh.write_bytes(content)
            fresh.replace(path)
        except OSError:
            with suppress(OSError):  # else each try on a full disk leaves one more behind
                fresh.unlink()
            raise
        return True


def _write_new(path: Path | str, content: bytes) -> None:
    """Make the file `path` and its folder; raises OSError."""
    # Of ten thousands of mails in a row, Python's own files would take half the time.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o666)
    except FileNotFoundError:  # the first mail of its day
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, flags, 0o666)
    try:
        left = memoryview(content)
        while left:  # A disk that is filling up takes a part.
            left = left[os.write(fd, left) :]
    finally:
        os.close(fd)


def append_lines(index: Path, lines: bytes) -> None:
    """Append whole lines to the index by one write, durably; all of them or, on an error, none.

    Who reads without the store's lock, as PaStA does, may for the microseconds of that write find
    the last line unfinished: the kernel lets a file grow page by page.

    To be called under the store's lock. Raises StoreUnavailable.
    """
    with storing(index):
        make_folder(index.parent)
        fd = os.open(index, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            before = os.fstat(fd)
            try:
                if os.write(fd, lines) != len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(index))
                os.fsync(fd)
            except OSError:
                with suppress(OSError):  # else the next writer cuts it
                    _cut(fd, before.st_size, before.st_mtime_ns)
                raise
            if before.st_size == 0:
                sync_folder(index.parent)
        finally:
            os.close(fd)


def cut_torn_line(index: Path, mtime_ns: int) -> bool:
    """Cut what stands behind the last newline of the index; tell whether there was something.

    A crash or a power loss leaves it there. `mtime_ns` is the time of change that the index gets
    then, so that the side index does not take the cut for an edit. To be called under the store's
    lock. Raises StoreUnavailable, or StoreDamaged when that is too much to be one torn line.
    """
    with storing(index):
        try:
            fd = os.open(index, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            size = os.fstat(fd).st_size
            if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
                return False
            start = max(0, size - _LONGEST_TORN)
            end = os.pread(fd, size - start, start).rfind(b"\n")
            if end < 0 and start > 0:
                raise StoreDamaged(
                    f"{index}, last line: {size - start} bytes and more without a newline; this is"
                    " not PaStA's index"
                )
            _cut(fd, start + end + 1, mtime_ns)
            return True
        finally:
            os.close(fd)


def _cut(fd: int, size: int, mtime_ns: int) -> None:
    os.ftruncate(fd, size)
    with suppress(PermissionError):  # not the owner: then the side index is built anew once
        os.utime(fd, ns=(mtime_ns, mtime_ns))
