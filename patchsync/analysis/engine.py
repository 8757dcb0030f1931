"""What brings patch-groups up to date: one interface, two engines, `builtin` and `pasta`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

# Gets what is being done, how much of it is done, and how much there is.
OnProgress = Callable[[str, int, int], None]


class Stopped(Exception):
    """Raised by an `OnProgress` that wants an update to end here; what was done is kept."""


class Updated(NamedTuple):
    """What an update did."""

    # Lines of patch-groups that are new or changed, or else that are gone; 0: nothing to push
    groups: int
    # Mails and commits that were read
    mails: int
    commits: int
    # For people, in one line
    summary: str
    # What of the store it could not look at, which is as it was; None: nothing
    trouble: str | None = None


class Engine(Protocol):
    """Brings patch-groups up to date with the store."""

    def update(self, on_progress: OnProgress) -> Updated:
        """Take in what is new; what was done before it was stopped is not done again.

        Raises:
            LockHeld: another update is under way.
            GiveUp: patch-groups was written by somebody else, or the configuration is wrong.
        """
        ...
