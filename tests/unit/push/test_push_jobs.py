"""What is pending, cut into jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from patchsync.errors import GiveUp
from patchsync.push.entries import Entry, Sink
from patchsync.push.jobs import PER_JOB, Job, cut

KEYS = {1: "linux", 2: "netdev"}


def entry(
    sink: Sink, patch_id: int, project_id: int, *values: Iterable[int]
) -> Entry[frozenset[int]]:
    """`values`: the patches of the desired and of the observed relation."""
    desired, observed, *_ = [*map(frozenset, values), None, None]
    return Entry(sink, patch_id, project_id, desired, observed, False)


def test_checks_go_by_project_and_in_bounded_jobs() -> None:
    """Each patch is in one job, each job of one project."""
    pending = [entry(Sink.CHECK, n, 1 + n % 2) for n in range(3 * PER_JOB)]
    jobs = list(cut(pending, KEYS))
    assert all(len(job.patch_ids) <= PER_JOB for job in jobs)
    assert sorted(n for job in jobs for n in job.patch_ids) == list(range(3 * PER_JOB))
    assert all((job.key == "netdev") == bool(n % 2) for job in jobs for n in job.patch_ids)


def test_what_relations_link_is_one_job() -> None:
    """By what is desired and by what was observed, over projects."""
    pending = [
        entry(Sink.RELATION, 1, 1, [1, 2], [1, 5]),
        entry(Sink.RELATION, 6, 2, [5, 6]),
        entry(Sink.RELATION, 8, 2, [8, 9]),
    ]
    assert list(cut(pending, KEYS)) == [
        Job(key="linux", sink=Sink.RELATION, patch_ids=(1, 2, 5, 6)),
        Job(key="netdev", sink=Sink.RELATION, patch_ids=(8, 9)),
    ]


def test_many_relations_are_cut_in_one_go() -> None:
    """A first push has hundreds of thousands: each entry is looked at a few times, not by all."""
    looks = 0

    class Counted(Entry[Any]):
        @property
        def patch_id(self) -> int:  # type: ignore[override]
            nonlocal looks
            looks += 1
            return self[1]

    pairs = [(n, n + 1) for n in range(1, 4001, 2)]
    pending = [Counted(*entry(Sink.RELATION, each, 1, pair)) for pair in pairs for each in pair]
    assert len(list(cut(pending, KEYS))) == len(pairs)
    assert looks <= 5 * len(pending)


@pytest.mark.parametrize(("sink", "ids"), [("wall", [1]), ("check", ["x"]), ("check", None)])
def test_a_message_that_names_no_job_is_refused(sink: str, ids: Any) -> None:
    """With an error of the family, which says what a job is like."""
    with pytest.raises(GiveUp, match="'check'"):
        Job.from_message("sample", sink, ids)
    assert Job.from_message("sample", "check", [3]).sink is Sink.CHECK
