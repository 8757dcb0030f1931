"""What somebody can cause in Patchwork who only mails patches to the list: docs/push.md says it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import requests

from standin.process import StandinProcess
from tests.support.grouping import analysed, groups, together
from tests.support.inprocess import Workers
from tests.support.pushing import Pushing, placed_store

ALL = '[push]\nanswer_seconds = 1\nsinks = ["check", "relation", "state"]\n'


@pytest.fixture
def pushing(
    synced: Path, tmp_path: Path, shared_standin: StandinProcess, workers: Workers
) -> Pushing:
    """In step, and grouped by what is alike."""
    pushing = Pushing(installation=placed_store(synced, tmp_path, shared_standin, ALL, workers))
    analysed(pushing.installation)
    return pushing


def author_of(pushing: Pushing, patch_id: int) -> str:
    address: str = pushing.patch(patch_id)["submitter"]["email"]
    return address


def two_of_one_author(pushing: Pushing) -> tuple[int, int]:
    """Patches that are alone, of one author and about as long: the older first."""
    alone = [min(group) for group in groups(pushing.installation) if len(group) == 1]
    lines = {
        number: sum(line.startswith(("+", "-")) for line in mail_of(pushing, number).splitlines())
        for number in sorted(set(alone) & set(pushing.ids()))
    }
    pairs = [
        (first, second)
        for first, second in combinations(lines, 2)
        if author_of(pushing, first) == author_of(pushing, second)
    ]
    return min(pairs, key=lambda pair: abs(lines[pair[0]] - lines[pair[1]]))


def mail_of(pushing: Pushing, patch_id: int) -> str:
    return requests.get(f"{pushing.standin.url}/patch/{patch_id}/mbox/", timeout=10).text


def mailed_by_another(pushing: Pushing, *copied: int) -> int:
    """A patch of somebody else that says and does what these patches do, together; its id."""
    messages, diffs = [], []
    for number in copied:
        message, _, diff = mail_of(pushing, number).partition("\n\n")[2].partition("\n---\n")
        messages.append(message)
        diffs.append(diff[diff.index("diff --git") :].partition("\n-- \n")[0])
    author = author_of(pushing, copied[0])
    (new,) = pushing.standin.control.add("sample")
    while author_of(pushing, new) == author:
        (new,) = pushing.standin.control.add("sample")
    body = "\n".join([*messages, "---", *diffs, "-- ", ""])
    pushing.standin.control.rewrite(new, body)
    pushing.installation.sync()
    analysed(pushing.installation)
    return new


def test_a_copy(pushing: Pushing) -> None:
    """A later revision in relation and check, until it is marked; the state of the other stays."""
    patch, _ = two_of_one_author(pushing)
    copy = mailed_by_another(pushing, patch)
    assert together(pushing.installation, patch, copy)
    pushing.push()
    assert pushing.patch(patch)["state"] == pushing.patch(copy)["state"] == "new"
    assert pushing.checks(patch) == [("warning", f"later revision: {copy}")]
    assert frozenset({patch, copy}) in pushing.relations()
    marked = pushing.installation.patchsync("mark-false", str(patch), str(copy))
    assert marked.returncode == 0, marked.stderr
    analysed(pushing.installation)
    pushing.push()
    assert pushing.checks(patch)[-1] == ("pending", "withdrawn")
    assert not any(patch in relation for relation in pushing.relations())


def test_a_mail_that_is_like_two_patches(pushing: Pushing) -> None:
    """It brings them into one group; neither of the author's patches supersedes the other."""
    first, second = two_of_one_author(pushing)
    bridge = mailed_by_another(pushing, first, second)
    assert together(pushing.installation, first, second, bridge)
    pushing.push()
    assert [pushing.patch(number)["state"] for number in (first, second)] == ["new", "new"]
