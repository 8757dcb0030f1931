"""Patches of the stand-in that are revisions of one another, and their groups in the store."""

from __future__ import annotations

import requests

from patchsync.analysis.groups import read_groups
from patchsync.errors import TryAgainLater
from standin.process import StandinProcess
from tests.support.installation import Installation
from tests.support.pushing import PROJECTS


def message_ids(installation: Installation) -> dict[int, str]:
    """Of all patches in the store."""
    lines = [line.split(" ") for project in PROJECTS for line in installation.lines(project)]
    return {int(number): name for _, name, _, number in lines}


def groups(installation: Installation) -> set[frozenset[int]]:
    """The patch ids of each group; none while there is no file."""
    ids: dict[str, set[int]] = {}
    for number, name in message_ids(installation).items():
        ids.setdefault(name, set()).add(number)
    try:
        found = [each.message_ids for each in read_groups(installation.config.patch_groups)]
    except TryAgainLater:
        return set()
    return {frozenset().union(*(ids[name] for name in names)) for names in found}


def together(installation: Installation, *patches: int) -> bool:
    """Whether patches are in one group."""
    return any(set(patches) <= group for group in groups(installation))


def revise(standin: StandinProcess, patch_id: int) -> int:
    """A new patch of `sample` that says and does the same; its id."""
    (new,) = standin.control.add("sample")
    mail = requests.get(f"{standin.url}/patch/{patch_id}/mbox/", timeout=10).text
    standin.control.rewrite(new, mail.partition("\n\n")[2])
    return new


def probe(installation: Installation) -> None:
    """Have the fleet look for new patches."""
    done = installation.patchsync("enqueue", "fetch.probe", "sample")
    assert done.returncode == 0, done.stderr


def analysed(installation: Installation, *arguments: str) -> str:
    """`patchsync analyse`, which must succeed; returns what it said."""
    done = installation.patchsync("analyse", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout
