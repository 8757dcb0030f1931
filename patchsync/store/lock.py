"""One writer per store: a fencing token decides; `redis_lock` only keeps others from waiting.

The Redis lock expires, Redis may be flushed, and a process may be paused for longer than any lock
lasts. So each writer takes a token, the store's own highest plus one, and before it writes it
checks under an OS file lock that nobody has taken a higher one since.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patchsync.errors import LockHeld, StaleWriter, StoreDamaged
from patchsync.store.files import make_folder, read_file, replace_file, storing

LOCK_WAIT = 30.0  # seconds; the index of a million lines is read anew in less
_POLL = 0.01  # seconds between two tries


@contextmanager
def store_lock(path: Path, wait: float = LOCK_WAIT) -> Iterator[None]:
    """Hold the store's own lock: an flock on `path`, which ends with the process at the latest.

    Raises LockHeld when another one keeps it for longer than `wait` seconds, and StoreUnavailable.
    The store must be on a file system of this machine; flock over a network is not relied upon.
    """
    deadline = time.monotonic() + wait
    fd = _open_lock(path)
    try:
        while not _try_lock(fd, path):
            if time.monotonic() >= deadline:
                raise LockHeld(f"{path}: another process has held this lock for {wait:g} s")
            time.sleep(_POLL)
            os.close(fd)
            fd = _open_lock(path)
        yield
    finally:
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Whether somebody holds `store_lock` on `path`. Raises StoreUnavailable."""
    with storing(path):
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that those who only look do not hold each other for the owner.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False


def _open_lock(path: Path) -> int:
    with storing(path):
        make_folder(path.parent)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _try_lock(fd: int, path: Path) -> bool:
    """Lock `fd` unless somebody else has it, or the file was deleted and made anew meanwhile."""
    with storing(path):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(fd), path.stat())
        except (BlockingIOError, FileNotFoundError):
            return False


class Fence:
    """The store's highest fencing token, in a small file. The methods go under the store's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def highest(self) -> int:
        """The token that was taken last, 0 if none was; raises StoreDamaged, StoreUnavailable."""
        content = read_file(self._path)
        if content is None:
            return 0
        text = content.strip()
        if not text.isdigit():
            raise StoreDamaged(f"{self._path}, line 1: not a fencing token; remove the file")
        return int(text)

    def take(self) -> int:
        """Take the next token, durably: from now on all earlier ones are stale."""
        token = self.highest + 1
        replace_file(self._path, b"%d\n" % token)
        return token

    def check(self, token: int) -> None:
        """Raise StaleWriter unless `token` is still the highest."""
        if (highest := self.highest) != token:
            raise StaleWriter(
                f"{self._path}: this writer has token {token}, but {highest} was taken since"
            )
