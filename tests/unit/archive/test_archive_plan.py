"""The plan of an import: what was found, and what is in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patchsync.archive.plan import Plan
from patchsync.archive.scan import FoundMail
from patchsync.errors import StoreUnavailable


def found(patch_id: int, **changes: Any) -> FoundMail:
    """A mail that its id determines, but for `changes`; those of ascending ids are in order."""
    fields: dict[str, Any] = {
        "offset": 100 * patch_id,
        "length": 100,
        "patch_id": patch_id,
        "when": 10 * patch_id,
        "message_id": f"<{patch_id}@example.org>",
        "date": "2019/04/29",
        "fault": None,
    }
    return FoundMail(**{**fields, **changes})


def filled(plan: Plan, mails: Iterable[FoundMail]) -> Plan:
    for _ in plan.fill(mails):
        pass
    return plan


def doubted(plan: Plan) -> list[int]:
    """The places of the mails that are in doubt."""
    return [mail.number for mail in plan.mails() if mail.doubt]


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    with Plan(tmp_path / "import" / "plan") as plan:
        yield plan


def test_it_holds_what_was_found_in_its_order(plan: Plan) -> None:
    """The order of the mbox, not of the ids; each id once."""
    filled(
        plan, [found(5, offset=0), found(3, offset=100, message_id=None, date=None, fault="broken")]
    )
    assert [mail.patch_id for mail in plan.mails()] == [5, 3]
    assert [*plan.mails()][1][1:7] == (100, 100, 3, None, None, "broken")
    assert list(plan.ids()) == [3, 5]
    assert len(plan) == 2
    assert plan.claims(range(2000)) == {5: "<5@example.org>", 3: None}


def test_it_is_complete_only_with_all_mails(tmp_path: Path) -> None:
    """Killed before that, it is as if nothing was found; then it stays."""
    file = tmp_path / "plan"
    with Plan(file) as plan:
        filling = plan.fill(found(number) for number in range(1, 3000))
        assert next(filling) > 0
        assert not plan.complete
    with Plan(file) as plan:
        assert not plan.complete
        assert [*plan.fill(map(found, range(1, 1502)))] == [1000, 1501]
        assert plan.complete
    with Plan(file) as plan:
        assert plan.complete
        assert len(plan) == 1501
        plan.remove()
    assert not [*tmp_path.iterdir()]


def test_what_nothing_speaks_against_is_not_in_doubt(plan: Plan) -> None:
    """Equal dates are in order, and faults have no message-id in common."""
    mails = [found(1, when=7), found(3, when=7), found(2, when=8)]
    mails += [found(4, when=9, message_id=None), found(6, when=9, message_id=None)]
    filled(plan, mails).doubt_what_contradicts_itself()
    assert doubted(plan) == []


@pytest.mark.parametrize(
    ("mails", "doubts"),
    [
        ([*map(found, (1, 2, 3, 4)), found(2, when=45), found(6)], [0, 1, 3, 4]),
        (
            [*map(found, (1, 2, 3, 4)), found(5, message_id="<2@example.org>"), found(6)],
            [0, 1, 3, 4],
        ),
        ([*map(found, (1, 2, 3)), found(4, when=5), *map(found, (5, 6))], [1, 2, 3]),
    ],
    ids=["id twice", "message-id twice", "out of order"],
)
def test_what_contradicts_itself_is_in_doubt(
    plan: Plan, mails: list[FoundMail], doubts: list[int]
) -> None:
    """All that claim the same, and the mail before each, which it may have cut short."""
    filled(plan, mails).doubt_what_contradicts_itself()
    assert doubted(plan) == doubts
    ids = {mails[place].patch_id for place in range(len(mails)) if place not in doubts}
    assert set(plan.certain_ids()) == ids


def test_what_is_told_is_in_doubt(plan: Plan) -> None:
    """With its reason, the first that there was; and anew after they are forgotten."""
    filled(plan, map(found, (1, 2, 3, 4, 5)))
    plan.doubt_ids([4], "not there")
    plan.doubt_ids([4], "something else")
    plan.doubt_the_end("cut off")
    reasons = [mail.doubt for mail in plan.mails()]
    assert reasons == [
        None,
        None,
        "a mail may begin in it that is none: not there",
        "not there",
        "cut off",
    ]
    plan.forget_doubts()
    plan.doubt_ids([1], "not there")
    assert doubted(plan) == [0]


def test_an_empty_plan_has_no_end_to_doubt(plan: Plan) -> None:
    """An mbox may hold no mail."""
    filled(plan, []).doubt_the_end("cut off")
    assert (len(plan), doubted(plan)) == (0, [])


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    """With what to do."""
    file = tmp_path / "plan"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable, match=rf"{file}.*remove the file"), Plan(file) as plan:
        _ = plan.complete
