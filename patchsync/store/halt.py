"""Whether a project is halted: nothing is synced until somebody has looked at it."""

from __future__ import annotations

from patchsync.store.files import read_file, replace_file, storing
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import LOCK_WAIT, store_lock


def halt(paths: ContainerPaths, reason: str, wait: float = LOCK_WAIT) -> None:
    """Have this project not synced until it is released; the file `halted` says why.

    The first reason stays. Raises LockHeld, StoreUnavailable.
    """
    with store_lock(paths.lock, wait):
        if halted(paths) is None:
            replace_file(paths.halted, reason.strip().encode(errors="replace") + b"\n")


def release(paths: ContainerPaths, wait: float = LOCK_WAIT) -> str | None:
    """End the halt, as who removes the file does. Returns why there was one; None without one.

    Raises LockHeld, StoreUnavailable.
    """
    with store_lock(paths.lock, wait):
        reason = halted(paths)
        with storing(paths.halted):
            paths.halted.unlink(missing_ok=True)
    return reason


def halted(paths: ContainerPaths) -> str | None:
    """Return why this project is halted, never an empty text; None when it is not.

    Raises StoreUnavailable.
    """
    content = read_file(paths.halted)
    if content is None:
        return None
    return content.decode(errors="replace").strip() or "no reason is given"
