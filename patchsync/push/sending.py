"""What came of one thing that was to be shown in Patchwork."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from patchsync.errors import ChangedThere, GoneThere, Mistake, NoRight, NotWritten
from patchsync.push.entries import Trouble

_TROUBLES: Mapping[type[NotWritten], Trouble] = {
    Mistake: Trouble.MISTAKE,
    NoRight: Trouble.NO_RIGHT,
    GoneThere: Trouble.GONE,
    ChangedThere: Trouble.CHANGED,
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """For people: what was done with a patch in a sink."""

    patch_id: int
    sink: str
    # What was written, or what is in the way
    text: str
    # Whether something was written
    written: bool = False
    # Whether somebody should know of it
    trouble: bool = False


def trouble_of(error: NotWritten) -> Trouble:
    """How the ledger calls what the server said."""
    return _TROUBLES[type(error)]
