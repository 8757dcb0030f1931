"""What push stands at with a project, as the ledger tells; nobody is asked, nothing is made."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from patchsync.config import Config
from patchsync.errors import PatchsyncError
from patchsync.push.entries import Entry
from patchsync.push.identity import Identity, noted_identity
from patchsync.push.ledger import Ledger
from patchsync.push.service import UNDONE, agreed, ledger_path
from patchsync.sync.projects import Project

LATEST_TROUBLES = 5
LONGEST_TEXT = 300  # characters


@dataclass(frozen=True, kw_only=True)
class SinkStatus:
    """How many patches of a project, in one sink."""

    # Something of ours should be there
    wanted: int = 0
    # Something of ours is there
    shown: int = 0
    # To be sent, or to be read back
    pending: int = 0
    # Patchwork refused, or a person's decision is in the way
    trouble: int = 0


@dataclass(frozen=True, kw_only=True)
class PatchTrouble:
    """Why something could not be shown of a patch."""

    patch_id: int
    sink: str
    # One of `ledger_tables.Trouble`
    kind: str
    text: str
    # Seconds since 1970
    at: float | None


@dataclass(frozen=True, kw_only=True)
class PushStatus:
    """What push stands at with a project."""

    # Why the ledger cannot be read; None where it can, or where there is none yet
    ledger_trouble: str | None = None
    # Whether there is a ledger, and whether it knows all that Patchwork shows from us
    begun: bool = False
    complete: bool = False
    # Whether somebody agreed to push to this project, and had all withdrawn since
    confirmed: bool = False
    undone: bool = False
    # Whether the token's user maintains the project; None where nobody asked yet
    maintained: bool | None = None
    # Those that are switched on
    sinks: Mapping[str, SinkStatus] = field(default_factory=dict)
    # The latest first
    troubles: tuple[PatchTrouble, ...] = ()


def push_status(config: Config, site: Project) -> PushStatus:
    """Read what push stands at with a project. Looks at all entries of the ledger."""
    project_id = site.paths.project_id
    path = ledger_path(config)
    sinks: dict[str, SinkStatus] = {sink: SinkStatus() for sink in config.push.sinks}
    # To open a ledger would make it.
    if not path.exists():
        return PushStatus(sinks=sinks)
    try:
        with Ledger(path) as ledger:
            numbers = ledger.numbers([project_id])
            identity = noted_identity(ledger)
            return PushStatus(
                begun=True,
                complete=ledger.complete,
                confirmed=project_id in agreed(ledger),
                undone=ledger.note(UNDONE) is not None,
                maintained=_maintained(identity, site) if identity else None,
                sinks=sinks
                | {
                    sink: SinkStatus(**numbers[sink]._asdict())
                    for sink in sinks.keys() & numbers.keys()
                },
                troubles=tuple(map(_trouble, ledger.troubles(LATEST_TROUBLES, [project_id]))),
            )
    except PatchsyncError as error:
        return PushStatus(begun=True, ledger_trouble=str(error), sinks=sinks)


def _maintained(identity: Identity, site: Project) -> bool | None:
    if site.name not in identity.names:  # It is configured since.
        return None
    return site.paths.project_id in identity.projects


def _trouble(entry: Entry) -> PatchTrouble:
    return PatchTrouble(
        patch_id=entry.patch_id,
        sink=entry.sink,
        kind=entry.trouble or "",
        text=textwrap.shorten(entry.trouble_text or "", LONGEST_TEXT, placeholder=" ..."),
        at=entry.trouble_at,
    )
