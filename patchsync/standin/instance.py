"""One running stand-in: its state, its mailing lists, its faults, what it counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from patchsync.standin.faults import Faults
from patchsync.standin.sample import Postman
from patchsync.standin.state import PatchworkState
from patchsync.standin.stats import Stats

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


def add_accounts(state: PatchworkState) -> None:
    """The accounts of every stand-in, once its projects are there.

    One maintains all projects, one maintains none, and one the second project only.
    """
    projects = list(state.projects.values())
    state.add_user("pasta-bot", TOKEN, projects)
    state.add_user("nobody", NOBODY_TOKEN, [])
    state.add_user("neighbour", NEIGHBOUR_TOKEN, projects[1:2])
