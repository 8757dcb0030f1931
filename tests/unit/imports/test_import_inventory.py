"""The inventory of an mbox: what was found, and what is in doubt."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from patchsync.imports.inventory import Inventory
from patchsync.imports.scan import ScannedMail


def scanned(patch_id: int, **changes: Any) -> ScannedMail:
    """A mail that its id determines, but for `changes`; those of ascending ids are in order."""
    fields: dict[str, Any] = {
        "start": 100 * patch_id,
        "length": 100,
        "patch_id": patch_id,
        "seconds": 10 * patch_id,
        "message_id": f"<{patch_id}@example.org>",
        "date": "2019/04/29",
        "fault": None,
    }
    return ScannedMail(**{**fields, **changes})


def filled(inventory: Inventory, mails: Iterable[ScannedMail]) -> Inventory:
    for _ in inventory.fill(mails):
        pass
    return inventory


def doubted(inventory: Inventory) -> list[int]:
    """The places of the mails that are in doubt."""
    return [mail.number for mail in inventory.mails() if mail.doubt]


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Inventory]:
    with Inventory(tmp_path / "import" / "inventory") as inventory:
        yield inventory


def test_it_holds_what_was_found_in_its_order(inventory: Inventory) -> None:
    """The order of the mbox, not of the ids; each id once."""
    filled(
        inventory,
        [scanned(5, start=0), scanned(3, start=100, message_id=None, date=None, fault="broken")],
    )
    assert [mail.patch_id for mail in inventory.mails()] == [5, 3]
    assert [*inventory.mails()][1][1:7] == (100, 100, 3, None, None, "broken")
    assert list(inventory.ids()) == [3, 5]
    assert len(inventory) == 2
    assert inventory.claims(range(2000)) == {5: "<5@example.org>", 3: None}


def test_it_is_complete_only_with_all_mails(tmp_path: Path) -> None:
    """Killed before that, it is as if nothing was found; then it stays."""
    file = tmp_path / "inventory"
    with Inventory(file) as inventory:
        filling = inventory.fill(scanned(number) for number in range(1, 3000))
        assert next(filling) > 0
        assert not inventory.complete
    with Inventory(file) as inventory:
        assert not inventory.complete
        assert [*inventory.fill(map(scanned, range(1, 1502)))] == [1000, 1501]
        assert inventory.complete
    with Inventory(file) as inventory:
        assert inventory.complete
        assert len(inventory) == 1501
        inventory.remove()
    assert not [*tmp_path.iterdir()]


def test_what_nothing_speaks_against_is_not_in_doubt(inventory: Inventory) -> None:
    """Equal dates are in order, and faults have no message-id in common."""
    mails = [scanned(1, seconds=7), scanned(3, seconds=7), scanned(2, seconds=8)]
    mails += [scanned(4, seconds=9, message_id=None), scanned(6, seconds=9, message_id=None)]
    filled(inventory, mails).doubt_contradictions()
    assert doubted(inventory) == []


@pytest.mark.parametrize(
    ("mails", "doubts"),
    [
        ([*map(scanned, (1, 2, 3, 4)), scanned(2, seconds=45), scanned(6)], [0, 1, 3, 4]),
        (
            [*map(scanned, (1, 2, 3, 4)), scanned(5, message_id="<2@example.org>"), scanned(6)],
            [0, 1, 3, 4],
        ),
        ([*map(scanned, (1, 2, 3)), scanned(4, seconds=5), *map(scanned, (5, 6))], [1, 2, 3]),
    ],
    ids=["id twice", "message-id twice", "out of order"],
)
def test_what_contradicts_itself_is_in_doubt(
    inventory: Inventory, mails: list[ScannedMail], doubts: list[int]
) -> None:
    """All that claim the same, and the mail before each, which it may have cut short."""
    filled(inventory, mails).doubt_contradictions()
    assert doubted(inventory) == doubts
    ids = {mails[place].patch_id for place in range(len(mails)) if place not in doubts}
    assert set(inventory.certain_ids()) == ids


def test_what_is_told_is_in_doubt(inventory: Inventory) -> None:
    """With its reason, the first that there was; and anew after they are forgotten."""
    filled(inventory, map(scanned, (1, 2, 3, 4, 5)))
    inventory.doubt_ids([4], "not there")
    inventory.doubt_ids([4], "something else")
    inventory.doubt_end("cut off")
    reasons = [mail.doubt for mail in inventory.mails()]
    assert reasons == [
        None,
        None,
        "a mail may begin in it that is none: not there",
        "not there",
        "cut off",
    ]
    inventory.forget_doubts()
    inventory.doubt_ids([1], "not there")
    assert doubted(inventory) == [0]


def test_an_empty_inventory_has_no_end_to_doubt(inventory: Inventory) -> None:
    """An mbox may hold no mail."""
    filled(inventory, []).doubt_end("cut off")
    assert (len(inventory), doubted(inventory)) == (0, [])


def test_a_damaged_inventory_is_made_anew(tmp_path: Path) -> None:
    """The archive has it all."""
    file = tmp_path / "inventory"
    file.write_bytes(b"no database" * 1000)
    with Inventory(file) as inventory:
        assert not inventory.complete
        assert len(filled(inventory, [scanned(1)])) == 1
    with Inventory(file) as inventory:
        assert inventory.complete


def test_the_inventory_of_an_older_patchsync_is_made_anew(tmp_path: Path) -> None:
    """It marked itself complete by its version."""
    file = tmp_path / "inventory"
    with closing(sqlite3.connect(file)) as older:
        older.executescript("CREATE TABLE mail (number INTEGER); PRAGMA user_version = 1;")
    with Inventory(file) as inventory:
        assert not inventory.complete
        assert len(inventory) == 0
