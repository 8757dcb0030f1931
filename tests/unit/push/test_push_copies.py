"""One patch mailed again and again: what that costs in checks, of which none can be taken back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from push_fakes import IDENTITY, US, FakePatchwork, FakeProject, name_of

from patchsync.config import Config, load
from patchsync.errors import AnswerLost, ServerUnavailable
from patchsync.patchwork.schemas import Check
from patchsync.push.annotations import ProjectFacts
from patchsync.push.checks import CheckSender
from patchsync.push.daily_checks import DAY
from patchsync.push.entries import CheckValue, Sink
from patchsync.push.kept_checks import FORMER_DESCRIPTION
from patchsync.push.ledger import Ledger
from patchsync.push.plan import plan

COPIES = 50
ARCHIVE = ProjectFacts(list_archive_url_format="https://lore.example.org/r/{}")
WITH_ARCHIVE = replace(IDENTITY, projects={1: replace(IDENTITY.projects[1], facts=ARCHIVE)})


class Mailed:
    """Groups of some patches, and the checks that Patchwork has of them."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self.config, self.ledger = config, ledger
        self.project = FakeProject(config.source.with_name("index"), range(1, COPIES + 1))
        self.patchwork = FakePatchwork(range(1, COPIES + 1))
        self.now = 1000.0

    def set_check(self, **keys: object) -> None:
        """Configure `[push.check]` otherwise."""
        table = self.config.push.check.model_copy(update=keys)
        push = self.config.push.model_copy(update={"check": table})
        self.config = self.config.model_copy(update={"push": push})

    def plan(self, *groups: Iterable[int]) -> None:
        lines = (" ".join(sorted(map(name_of, group))) for group in groups)
        self.config.patch_groups.write_text("".join(f"{line}\n" for line in lines))
        plan(self.config, self.ledger, cast("Any", [self.project]), WITH_ARCHIVE)

    def pending(self) -> list[int]:
        """As the service `push` looks for what it sends."""
        at_limit = self.ledger.daily_checks.at_limit(
            self.now, self.config.push.check.per_group_and_day
        )
        entries = self.ledger.pending(
            ["check"], [1], now=self.now, answer_seconds=1.0, unchecked=at_limit
        )
        return [entry.patch_id for entry in entries]

    def send(self) -> list[str]:
        """Send what is pending; what came of each patch."""
        sender = CheckSender(
            ledger=self.ledger,
            annotator=cast("Any", self.patchwork),
            user=US,
            context="pasta",
            answer_seconds=1.0,
            clock=lambda: self.now,
            per_group_and_day=self.config.push.check.per_group_and_day,
        )
        entries = self.ledger.entries(Sink.CHECK, self.pending()).values()
        outcomes = [sender.send_one("linux", entry) for entry in entries]
        return [outcome.text for outcome in outcomes if outcome]

    def push(self, *groups: Iterable[int]) -> int:
        """Plan and send; how many checks that wrote."""
        before = self.written
        self.plan(*groups)
        self.send()
        return self.written - before

    @property
    def written(self) -> int:
        return sum(map(len, self.patchwork.checks.values()))

    def checks(self, patch_id: int) -> list[str]:
        return [check.description for check in self.patchwork.checks.get(patch_id, [])]


@pytest.fixture
def mailed(tmp_path: Path) -> Iterator[Mailed]:
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "https://patchwork.example.org"\nprojects = [{ id = "linux" }]\n'
        '[push]\nsinks = ["check"]\ngroups = "groups"\n'
    )
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_complete()
        mailed = Mailed(load(file), ledger)
        mailed.set_check(per_group_and_day=10**6)
        yield mailed


def test_a_copy_costs_its_own_check_and_one_of_its_neighbour(mailed: Mailed) -> None:
    """However many there were before. (Where each check said `of N`, 200 copies cost 20,099.)"""
    costs = [mailed.push(range(1, number + 1)) for number in range(2, COPIES + 1)]
    assert set(costs) == {2}
    assert mailed.checks(20) == [
        "earlier revision: 19",
        "earlier revision: 19; later revision: 21",
    ]


def test_a_copy_of_any_date_costs_three_checks_at_most(mailed: Mailed) -> None:
    """Its Date is whatever its sender says: before all others, or between them."""
    for number in range(2, 31):
        mailed.project.dates[number] = f"20{30 - number // 2:02}/01/01"
        assert mailed.push(range(1, number + 1)) <= 3


def test_an_update_rewrites_no_check(mailed: Mailed) -> None:
    """Those in the former words stay, whatever `of N` and link they have, until they are wrong."""
    shown(mailed, 1, "warning", "revision 1 of 3", url_of(3))
    shown(mailed, 2, "warning", "revision 2 of 3; earlier: 1", url_of(3))
    shown(mailed, 3, "success", "revision 3 of 3; earlier: 2, 1", url_of(3))
    assert mailed.push([1, 2, 3]) == 0
    assert mailed.push([1, 2, 3, 4]) == 2
    assert mailed.checks(3) == ["earlier revision: 2; later revision: 4"]
    assert mailed.checks(4) == ["earlier revision: 3"]
    # Before all others comes one that `earlier: 1` does not name.
    mailed.project.dates[5] = "2023/01/01"
    assert mailed.push([1, 2, 3, 4, 5]) == 3
    assert mailed.checks(2) == ["earlier revision: 1; later revision: 3"]


def shown(mailed: Mailed, number: int, state: str, text: str, url: str) -> None:
    """Have the ledger know that a patch shows this check from us."""
    value = CheckValue(state=state, description=text, target_url=url)
    mailed.ledger.observe(Sink.CHECK, number, value, 5.0, sent_by_us=True)


def url_of(number: int) -> str:
    return f"https://lore.example.org/r/{number}@example.org"


def test_words_of_the_configuration_are_written_whatever_they_cost(mailed: Mailed) -> None:
    """Who counts all revisions in the text has each check say the number that is true."""
    mailed.set_check(description=FORMER_DESCRIPTION)
    mailed.push([1, 2, 3])
    assert mailed.push([1, 2, 3, 4]) == 4
    assert mailed.checks(1) == ["revision 1 of 3", "revision 1 of 4"]


def test_a_group_gets_so_many_checks_a_day(mailed: Mailed) -> None:
    """The rest waits for the next day, and is not looked at before; other groups do not wait."""
    mailed.set_check(per_group_and_day=5)
    assert mailed.push(range(1, 9), [20, 21]) == 7
    assert mailed.checks(20) and mailed.checks(21)
    assert mailed.pending() == []
    # Nor where the group has another number by a mail that became part of it.
    assert mailed.push([*range(1, 9), 30, 20, 21]) == 0
    assert len(mailed.send()) == 0
    mailed.now += DAY
    assert len(mailed.pending()) == 6
    mailed.send()
    assert (mailed.written, mailed.pending()) == (12, [])
    mailed.now += DAY
    mailed.send()
    assert (mailed.written, mailed.pending()) == (13, [])


def test_it_is_said_why_a_check_waits(mailed: Mailed) -> None:
    """With the key to change, and no trouble is noted."""
    mailed.set_check(per_group_and_day=1)
    mailed.plan([1, 2])
    said = mailed.send()
    assert said[1].startswith("waits until 00:00 UTC")
    assert "[push.check] per_group_and_day" in said[1]
    assert mailed.ledger.troubles(9) == []


def test_what_is_withdrawn_does_not_wait(mailed: Mailed) -> None:
    """Nor counts."""
    mailed.set_check(per_group_and_day=3)
    mailed.push([1, 2, 3])
    mailed.plan([1], [2], [3])
    assert mailed.send() == ["pending: withdrawn"] * 3
    assert mailed.pending() == []


@pytest.mark.parametrize("error", [ServerUnavailable("503"), AnswerLost("cut")])
def test_what_was_not_written_does_not_count(
    mailed: Mailed, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A server that is away does not use up a group's day."""
    mailed.set_check(per_group_and_day=2)
    numbers = count()
    post = mailed.patchwork.post_check

    def refuse(key: str, patch_id: int, **content: Any) -> Check:
        if next(numbers) < 5:
            raise error
        return post(key, patch_id, **content)

    monkeypatch.setattr(mailed.patchwork, "post_check", refuse)
    mailed.plan([1, 2])
    for _ in range(5):
        with pytest.raises(type(error)):
            mailed.send()
        mailed.now += 10
    mailed.send()
    assert mailed.written == 2


def test_what_is_refused_does_not_count(mailed: Mailed) -> None:
    """A patch that is gone leaves its group's share to the others."""
    mailed.set_check(per_group_and_day=2)
    mailed.patchwork.patch_ids.discard(1)
    mailed.push([1, 2, 3])
    assert mailed.checks(2) and mailed.checks(3)


def test_a_ledger_of_an_earlier_version_is_taken_on(mailed: Mailed) -> None:
    """What it has no tables for is made when it is opened."""
    mailed.push([1, 2])
    mailed.ledger.close()
    with closing(sqlite3.connect(mailed.config.source.with_name("ledger.sqlite"))) as sql, sql:
        sql.execute("DROP TABLE daily_check")
    assert mailed.pending() == []
    assert mailed.push([1, 2, 3]) == 2
