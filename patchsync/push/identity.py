"""Who we are in Patchwork, and what we may annotate: asked for once, and kept in the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from patchsync.errors import Refused
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.schemas import User
from patchsync.push.annotations import ProjectFacts
from patchsync.push.ledger import Ledger
from patchsync.sync.projects import Project

_NOTE = "identity"


@dataclass(frozen=True, kw_only=True)
class MaintainedProject:
    """A project that we maintain."""

    # As the configuration spells it
    key: str
    link_name: str
    facts: ProjectFacts


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The token's user, and the projects that it maintains, by id."""

    user: User
    projects: Mapping[int, MaintainedProject]
    # Link names of configured projects that it does not
    others: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """Link names of all configured projects, as they were then."""
        return {project.link_name for project in self.projects.values()}.union(self.others)

    @property
    def keys(self) -> dict[int, str]:
        """How the configuration spells the projects, by id."""
        return {number: project.key for number, project in self.projects.items()}


_IDENTITY = TypeAdapter(Identity)


def ask_identity(annotator: Annotator, projects: Iterable[Project]) -> Identity:
    """Ask Patchwork who the token's user is.

    Raises:
        Refused: it is nobody's, or its user maintains none of the projects.
    """
    answers = {each.key: annotator.project(str(each.paths.project_id)) for each in projects}
    ours = {key: answer for key, answer in answers.items() if annotator.maintains(answer)}
    if not ours:
        names = ", ".join(answer.link_name for answer in answers.values())
        raise Refused(
            f"the token's user maintains none of {names}, which Patchwork wants for any annotation"
        )
    return Identity(
        user=annotator.me(next(iter(ours.values()))),
        projects={
            answer.id: MaintainedProject(
                key=key,
                link_name=answer.link_name,
                facts=ProjectFacts(
                    commit_url_format=answer.commit_url_format,
                    list_archive_url_format=answer.list_archive_url_format,
                ),
            )
            for key, answer in ours.items()
        },
        others=tuple(answer.link_name for key, answer in answers.items() if key not in ours),
    )


def identity_json(identity: Identity) -> dict[str, Any]:
    """What it consists of, for JSON."""
    content: dict[str, Any] = _IDENTITY.dump_python(identity, mode="json")
    return content


def note_identity(ledger: Ledger, identity: Identity, token: str = "") -> None:
    """Keep it; `token` marks the token that it goes with, and does not give it away."""
    ledger.write_notes({_NOTE: json.dumps(identity_json(identity) | {"token": token})})


def noted_identity(ledger: Ledger, token: str | None = None) -> Identity | None:
    """What was kept for this token, or for any; None where nothing was."""
    text = ledger.note(_NOTE)
    if text is None or (token is not None and json.loads(text).get("token") != token):
        return None
    return _IDENTITY.validate_json(text)
