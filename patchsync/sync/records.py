"""How the last round and the last audit of a project went, as the store keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from patchsync.store.json_file import read_record
from patchsync.sync.projects import Project

_Record = TypeVar("_Record")


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """How a round went. Times are seconds since 1970."""

    at: float
    # The server's numbers
    highest: int | None
    count: int
    # How many we know: stored or quarantined, and not gone
    known: int
    in_sync: bool
    # Pages that differ, in one window, with those that were in flight
    pages: int
    # Requests of the comparison
    requests: int

    def summary(self) -> str:
        """One line for the log."""
        server = f"the server has {self.count} up to {self.highest}"
        if self.in_sync:
            return f"in step: {server}"
        return f"{server}, {self.known} known: {self.pages} pages to fetch"


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """How far an audit is, or how the last one ended. Times are seconds since 1970."""

    began: float
    at: float
    # Of how many pages how many were seen
    pages: int
    all_pages: int
    ended: bool
    # Up to the highest id at its beginning: every id and message-id listed is ours, and no other
    agreed: bool
    # When an audit last agreed
    last_agreed: float | None
    # The fields of `AuditProgress`
    state: dict[str, Any]
    # What was listed since then, by Redis' clock, it did not list again; None: it lists all
    listed_since: float | None = None

    def proves_for(self, since: float | None) -> bool:
        """Whether all that it goes by was listed since then; None: by the audit itself."""
        return self.listed_since is None or (since is not None and self.listed_since >= since)


def last_round(project: Project) -> RoundRecord | None:
    """The record of the last round; None before the first."""
    return parsed(RoundRecord, project.paths.round)


def last_audit(project: Project) -> AuditRecord | None:
    """The record of the audit that is under way, or of the last one; None before the first."""
    return parsed(AuditRecord, project.paths.audit)


def parsed(kind: Callable[..., _Record], file: Path) -> _Record | None:
    """Read a record; one of another version of patchsync is as none, for it is only a note."""
    try:
        return kind(**(read_record(file) or {}))
    except TypeError:
        return None
