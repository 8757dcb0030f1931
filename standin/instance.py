"""One running stand-in: its state, its mailing lists, its faults, what it counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from standin import archive, long_list
from standin.faults import Faults
from standin.records import Project
from standin.sample import Postman
from standin.state import PatchworkState
from standin.stats import Stats

TOKEN = "sample-token"  # noqa: S105  a token of the sample server only, printed by its --help
NOBODY_TOKEN = "nobody-token"  # noqa: S105
NEIGHBOUR_TOKEN = "neighbour-token"  # noqa: S105


@dataclass(kw_only=True)
class Standin:
    """All that one running stand-in consists of."""

    state: PatchworkState
    postman: Postman
    faults: Faults = field(default_factory=Faults)
    stats: Stats = field(default_factory=Stats)

    def reset(self, patches: int, seed: int) -> None:
        """Become a server that was just started with so many generated patches, on this address."""
        new = generated(patches, seed)
        self.state, self.postman = new.state, new.postman
        self.faults.clear()
        self.stats.reset()


def generated(patches: int, seed: int, long: int = 0) -> Standin:
    """Two projects of generated patches: two thirds in `sample`, one third in `neighbour`.

    `long`: so many in a third one of this name, which is there at once (`long_list`).
    """
    state = PatchworkState()
    postman = Postman(state, seed)
    sample, neighbour = (add_project(state, name) for name in ("sample", "neighbour"))
    postman.fill([(sample, patches - patches // 3), (neighbour, patches // 3)])
    if long:
        long_list.fill(state, add_project(state, "long"), long)
    add_accounts(state)
    return Standin(state=state, postman=postman)


def archived(file: Path, patches_json: Path, seed: int) -> Standin:
    """The mails of a dumparchive as one project, and `neighbour` without any; see `archive.load`.

    Raises:
        UnreadableArchive: it is not one, or the files do not go together.
    """
    state = PatchworkState()
    postman = Postman(state, seed)
    archive.load(state, file, patches_json)
    add_project(state, "neighbour")
    add_accounts(state)
    return Standin(state=state, postman=postman)


def add_project(state: PatchworkState, link_name: str) -> Project:
    """A project without patches."""
    return state.add_project(
        Project(
            id=max(state.projects, default=0) + 1,
            name=link_name,
            link_name=link_name,
            list_id=f"{link_name}.lists.example.org",
            list_email=f"{link_name}@lists.example.org",
        )
    )


def add_accounts(state: PatchworkState) -> None:
    """The accounts of every stand-in, once its projects are there.

    One maintains all projects, one maintains none, and one the second project only.
    """
    projects = list(state.projects.values())
    state.add_user("pasta-bot", TOKEN, projects)
    state.add_user("nobody", NOBODY_TOKEN, [])
    state.add_user("neighbour", NEIGHBOUR_TOKEN, projects[1:2])
