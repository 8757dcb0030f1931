"""What brings patch-groups up to date: one interface, two engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Stopped(Exception):
    """What a `Tell` raises that wants an update to end here; what was done is kept."""


# What is being done, how much of it is done, and how much there is.
Tell = Callable[[str, int, int], None]


class Updated(NamedTuple):
    """What an update did."""

    # Lines of patch-groups that are new or other ones; 0: there is nothing to push.
    groups: int
    mails: int
    commits: int
    # For people, in one line
    story: str


class Engine(Protocol):
    """Brings patch-groups up to date with the store."""

    def update(self, tell: Tell) -> Updated:
        """Take in what is new; what was done before it was stopped is not done again.

        Raises:
            LockHeld: another update is under way.
            GiveUp: patch-groups was written by somebody else, or the configuration is wrong.
        """
        ...
