"""What the store has of a project, counted."""

from __future__ import annotations

from dataclasses import dataclass

from patchsync.store.quarantine import Quarantined
from patchsync.sync.id_set import IdSet
from patchsync.sync.projects import Project


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What the store has of a project."""

    stored: int = 0
    # Of what is known
    highest: int | None = None
    # Ids of stored patches that the server does not list any more
    gone: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    # Stored or quarantined, and not gone: what should equal the server's count
    known: int = 0


def holdings(project: Project) -> Holdings:
    """Count what the store has of a project."""
    with project.open() as container:
        stored, highest = container.count, container.highest
        gone, quarantined = container.gone(), container.quarantined()
        if highest in gone or (highest or 0) < max(quarantined, default=0):
            # The index alone does not tell: gone and quarantined count too.
            highest = IdSet(container.held(), gone).highest
    return Holdings(
        stored=stored,
        highest=highest,
        gone=len(gone),
        quarantined=tuple(quarantined.values()),
        known=stored + len(quarantined) - len(gone),
    )
