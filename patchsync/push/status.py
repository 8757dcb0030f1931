"""Where push stands with a project, as the ledger tells; nobody is asked, nothing is made."""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from patchsync.config import Config
from patchsync.errors import PatchsyncError
from patchsync.push.entries import PatchTrouble, Sink, SinkCounts
from patchsync.push.identity import noted_identity
from patchsync.push.ledger import Ledger
from patchsync.push.ledger_file import ledger_path
from patchsync.sync.projects import Project

LATEST_TROUBLES = 5
NOT_MAINTAINED = (
    "the token's user does not maintain this project; an admin of the Patchwork can make it a "
    "maintainer, then run `patchsync push --retry` once"
)
LONGEST_TEXT = 300  # characters


@dataclass(frozen=True, kw_only=True)
class PushStatus:
    """Where push stands with a project; named as in `patchsync status --json`."""

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
    sinks: Mapping[str, SinkCounts] = field(default_factory=dict)
    # The latest first; what people decided otherwise, and that stays, by itself
    troubles: tuple[PatchTrouble, ...] = ()
    respected: tuple[PatchTrouble, ...] = ()
    # Pending checks that wait for the next day; see `daily_checks`
    waiting_checks: int = 0

    @property
    def pending(self) -> Counter[str]:
        """How many annotations are to be sent, by sink."""
        return Counter({sink: counts.pending for sink, counts in self.sinks.items()})

    def obstacle(self, key: str) -> str | None:
        """Why the service `push` leaves the project alone, and the remedy; None where it does not.

        `key`: the project, as the configuration spells it.
        """
        remedy = f"run `patchsync push --project {key}` once"
        if self.ledger_trouble:
            return self.ledger_trouble
        if self.maintained is False:
            return NOT_MAINTAINED
        if self.undone:
            return f"all of ours was withdrawn; to begin again {remedy}"
        if self.begun and not self.complete:
            return f"the ledger does not know yet all that Patchwork shows from us; {remedy}"
        if not self.confirmed:
            return f"nobody agreed to it yet; {remedy}"
        return None


def summary(counts: Mapping[str, int]) -> str:
    """How many annotations of which sinks, as `2 x check, 1 x relation`; `nothing` for none."""
    told = (f"{count} x {sink}" for sink, count in sorted(counts.items()) if count)
    return ", ".join(told) or "nothing"


def push_status(config: Config, project: Project) -> PushStatus:
    """Read where push stands with a project. Looks at all entries of the ledger."""
    path = ledger_path(config)
    sinks: dict[str, SinkCounts] = {sink: SinkCounts() for sink in config.push.sinks}
    # To open a ledger would make it.
    if not path.exists():
        return PushStatus(sinks=sinks)
    try:
        with Ledger(path) as ledger:
            return ledger_status(ledger, config, project.paths.project_id, project.name)
    except PatchsyncError as error:
        return PushStatus(begun=True, ledger_trouble=str(error), sinks=sinks)


def ledger_status(ledger: Ledger, config: Config, project_id: int, name: str) -> PushStatus:
    """As `push_status`, of a ledger that is open; `name`: the project's link name."""
    counts = ledger.counts([project_id])
    identity = noted_identity(ledger)
    # It may be configured since.
    asked = identity is not None and name in identity.names
    return PushStatus(
        begun=True,
        complete=ledger.complete,
        confirmed=project_id in ledger.agreed,
        undone=ledger.undone,
        maintained=project_id in identity.projects if identity and asked else None,
        sinks={str(sink): counts.get(sink, SinkCounts()) for sink in config.push.sinks},
        troubles=tuple(map(_shortened, ledger.troubles(LATEST_TROUBLES, [project_id]))),
        respected=tuple(
            map(_shortened, ledger.troubles(LATEST_TROUBLES, [project_id], respected=True))
        ),
        waiting_checks=_waiting_checks(ledger, config, project_id),
    )


def _waiting_checks(ledger: Ledger, config: Config, project_id: int) -> int:
    now = time.time()
    at_limit = ledger.daily_checks.at_limit(now, config.push.check.per_group_and_day)
    if not at_limit:
        return 0
    pending = partial(ledger.pending, [Sink.CHECK], [project_id], now=now, answer_seconds=0)
    return len(pending()) - len(pending(unchecked=at_limit))


def _shortened(trouble: PatchTrouble) -> PatchTrouble:
    text = textwrap.shorten(trouble.text, LONGEST_TEXT, placeholder=" ...")
    return replace(trouble, text=text)
