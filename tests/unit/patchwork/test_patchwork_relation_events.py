"""What Patchwork's events show of who made a relation."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from patchsync.patchwork.relation_events import placed_by_us
from patchsync.patchwork.schemas import RelationEvent

OURS, ADAS = 3, 4
NOON = datetime(2026, 1, 1, 12)

# (patch, actor, seconds after noon), in order; the newest of a patch comes last.
Happened = tuple[int, int | None, float]
RELATED = [(2, None, 0.0), (3, None, 0.5), (1, OURS, 1.0)]


def ours(members: list[int], happened: list[Happened]) -> bool:
    newest = {
        patch_id: RelationEvent(
            id=number,
            project_id=1,
            project_link_name="linux",
            patch_id=patch_id,
            actor_id=actor,
            date=NOON + timedelta(seconds=seconds),
        )
        for number, (patch_id, actor, seconds) in enumerate(happened, 1)
    }
    return placed_by_us(members, newest, OURS)


@pytest.mark.parametrize(
    ("members", "happened"),
    [
        ([1, 2, 3], RELATED),
        ([1, 2], RELATED),
        ([1, 2, 3, 4], [*RELATED, (4, OURS, 900.0)]),
        # A slow server, and another request of ours in between
        (
            [1, 2, 3],
            [(2, None, 0.0), (8, None, 0.1), (3, None, 1.5), (9, OURS, 2.0), (1, OURS, 3.0)],
        ),
        # What was before does not count: each patch went out of that
        ([1, 2], [(1, ADAS, 0.0), (2, ADAS, 1.0), (2, None, 50.0), (1, OURS, 50.1)]),
    ],
)
def test_what_we_made_shows(members: list[int], happened: list[Happened]) -> None:
    """Each patch came in by our request, or was named right before."""
    assert ours(members, happened)


@pytest.mark.parametrize(
    ("members", "happened"),
    [
        # Nothing is known of a patch
        ([1, 2, 3, 4], RELATED),
        ([1, 2], []),
        # A person put a patch in, by itself or by naming it
        ([1, 2, 3, 4], [*RELATED, (4, ADAS, 900.0)]),
        ([1, 2, 3, 4], [*RELATED, (4, None, 900.0)]),
        # A person made it, and we put a patch in later
        ([1, 2, 3], [(2, None, 0.0), (1, ADAS, 0.1), (3, OURS, 0.2)]),
        # A person named patches long before we came
        ([1, 2], [(2, None, 0.0), (1, OURS, 60.0)]),
        # Only named patches are left, of which nobody knows who named them
        ([2, 3], RELATED),
    ],
)
def test_what_does_not_show_to_be_ours_is_a_persons(
    members: list[int], happened: list[Happened]
) -> None:
    """One patch that we cannot tell of is enough."""
    assert not ours(members, happened)
