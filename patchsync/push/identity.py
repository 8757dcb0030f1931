"""Who we are in Patchwork, and what we may annotate: asked for once, and kept in the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from patchsync.errors import Refused
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.schemas import ProjectEntry, User
from patchsync.push.annotations import ProjectFacts
from patchsync.push.ledger import Ledger
from patchsync.sync.projects import Project

NOTE = "identity"


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """A project that we maintain."""

    # As the configuration spells it
    key: str
    link_name: str
    facts: ProjectFacts


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The token's user, and the projects that it maintains, by id."""

    user: User
    projects: Mapping[int, Maintained]
    # Link names of configured projects that it does not
    others: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """Link names of all configured projects, as they were then."""
        return {project.link_name for project in self.projects.values()}.union(self.others)


def ask_identity(annotator: Annotator, sites: list[Project]) -> Identity:
    """Ask Patchwork who the token's user is.

    Raises:
        Refused: it is nobody's, or its user maintains none of the projects.
    """
    found = {site.key: annotator.project(str(site.paths.project_id)) for site in sites}
    ours = {key: project for key, project in found.items() if annotator.maintains(project)}
    if not ours:
        names = ", ".join(project.link_name for project in found.values())
        raise Refused(
            f"the token's user maintains none of {names}, which Patchwork wants for any annotation"
        )
    return Identity(
        user=annotator.me(next(iter(ours.values()))),
        projects={project.id: _maintained(key, project) for key, project in ours.items()},
        others=tuple(found[key].link_name for key in found.keys() - ours.keys()),
    )


def note_identity(ledger: Ledger, identity: Identity, token: str = "") -> None:
    """Keep it; `token` marks the token that it goes with, and does not give it away."""
    ledger.write_notes({NOTE: json.dumps(asdict(identity) | {"token": token})})


def noted_identity(ledger: Ledger, token: str | None = None) -> Identity | None:
    """What was kept for this token, or for any; None where nothing was."""
    text = ledger.note(NOTE)
    if text is None:
        return None
    kept = json.loads(text)
    if token is not None and kept.get("token") != token:
        return None
    return Identity(
        user=User(**kept["user"]),
        projects={
            int(number): Maintained(**(each | {"facts": ProjectFacts(**each["facts"])}))
            for number, each in kept["projects"].items()
        },
        others=tuple(kept["others"]),
    )


def _maintained(key: str, project: ProjectEntry) -> Maintained:
    return Maintained(
        key=key,
        link_name=project.link_name,
        facts=ProjectFacts(
            commit_url_format=project.commit_url_format,
            list_archive_url_format=project.list_archive_url_format,
        ),
    )
