"""The sample Patchwork's patches are to PaStA's rules what real ones are."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest

from patchsync.analysis.mail import parse_mail
from patchsync.analysis.patch import Patch
from patchsync.analysis.rating import lines_ratio, rate, shape_of
from patchsync.analysis.settings import Thresholds
from standin.records import Project
from standin.sample import Postman
from standin.state import PatchworkState

LIMITS = Thresholds()


@pytest.fixture(scope="module")
def state() -> PatchworkState:
    """200 patches of one project."""
    state = PatchworkState()
    project = Project(
        id=1, name="sample", link_name="sample", list_id="sample", list_email="sample@example.org"
    )
    Postman(state).deliver(state.add_project(project), 200)
    return state


def are_one(left: Patch, right: Patch) -> bool:
    """Whether PaStA accepts the pair."""
    shapes = shape_of(left), shape_of(right)
    if lines_ratio(left.lines, right.lines) < LIMITS.diff_lines_ratio:
        return False
    return rate(*shapes, LIMITS).total(LIMITS) >= LIMITS.autoaccept


def test_versions_are_one_and_what_touches_the_same_file_is_not(state: PatchworkState) -> None:
    """Most versions of a patch are found; two patches that are not one are never joined."""
    mails = state.in_order()
    parsed = [parse_mail([mail.mbox]) for mail in mails]
    subjects = [re.sub(r"^\[[^]]*\] ", "", mail.name) for mail in mails]
    found: dict[bool, list[bool]] = {True: [], False: []}
    for left, right in combinations(range(len(mails)), 2):
        if parsed[left].affected & parsed[right].affected:
            versions = subjects[left] == subjects[right]
            found[versions].append(are_one(parsed[left], parsed[right]))
    assert len(found[True]) > 50
    assert sum(found[True]) > 0.8 * len(found[True])
    assert len(found[False]) > 300
    assert not any(found[False])


def test_a_version_on_demand_is_always_found(state: PatchworkState) -> None:
    """Message and diff differ a little; subject and files are those of before, without end."""
    postman = Postman(state, seed=2)
    for patch in postman.deliver(state.projects[1], 40):
        versions = [patch]
        for _ in range(3):
            last = versions[-1]
            revised = postman.revise(last.id)
            versions += [new for new in revised if new.number == last.number]
        assert len({mail.msgid for mail in versions}) == 4
        parsed = [parse_mail([mail.mbox]) for mail in versions]
        for before, after in pairwise(parsed):
            assert before.affected == after.affected
            assert before.message[0] == after.message[0]
            assert before.files != after.files
            assert before.message != after.message
            assert are_one(before, after)
