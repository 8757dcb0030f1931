"""Checks, each once: whoever asks at the same time, and whatever becomes of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from push_fakes import US, FakePatchwork, answer_lost

from patchsync.errors import AnswerLost, ServerUnavailable
from patchsync.push.checks import CheckSender
from patchsync.push.entries import CheckValue, Desired, Sink
from patchsync.push.ledger import Ledger
from patchsync.push.sending import Outcome

SECONDS = 120.0


def value(text: str) -> CheckValue:
    return CheckValue(state="success", description=text, target_url="")


class Posting:
    """Checks of patch 1, at a time that a test sets."""

    def __init__(self, ledger: Ledger) -> None:
        self.now = 1000.0
        self.ledger = ledger
        self.patchwork = FakePatchwork([1])
        self._checks = CheckSender(
            ledger=ledger,
            annotator=cast("Any", self.patchwork),
            user=US,
            context="pasta",
            answer_seconds=SECONDS,
            clock=lambda: self.now,
        )

    def want(self, text: str | None) -> None:
        desired = None if text is None else value(text)
        self.ledger.set_desired([Desired(1, 1, Sink.CHECK, desired)])

    def send(self) -> Outcome | None:
        return self._checks.send_one("linux", self.ledger.entries(Sink.CHECK, [1])[1])

    def lose(self, *, arrived: bool) -> None:
        """Send, and lose the answer."""
        self.patchwork.lose = answer_lost(self.patchwork.writes + 1, arrived=arrived)
        with pytest.raises(AnswerLost):
            self.send()

    @property
    def rows(self) -> list[str]:
        return [check.description for check in self.patchwork.checks.get(1, [])]


@pytest.fixture
def posting(tmp_path: Path) -> Iterator[Posting]:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_complete()
        yield Posting(ledger)


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("after", ["same", "other", None])
def test_a_lost_answer(posting: Posting, arrived: bool, after: str | None) -> None:
    """Nothing is sent before its time is over; then what is there decides."""
    posting.want("same")
    posting.lose(arrived=arrived)
    posting.want(after)
    before = posting.rows
    for _ in range(3):
        posting.now += SECONDS / 4
        posting.send()
    assert posting.rows == before
    posting.now += SECONDS
    posting.send()
    posting.send()
    first = ["same"] if arrived else []
    expected = {"same": ["same"], "other": [*first, "other"], None: [*first, "withdrawn"]}[after]
    if after is None and not arrived:
        expected = []  # Nothing was there that could be withdrawn.
    assert posting.rows == expected


def test_a_claim_counts_from_when_it_is_sent(posting: Posting) -> None:
    """Not from before the long look for the one that was lost."""
    posting.want("text")
    posting.lose(arrived=False)
    posting.now += SECONDS + 1
    look = posting.patchwork.newest_check

    def slow(*arguments: Any) -> Any:
        posting.now += SECONDS
        return look(*arguments)

    posting.patchwork.newest_check = slow  # type: ignore[method-assign]
    posting.lose(arrived=False)
    posting.now += SECONDS / 2
    posting.send()
    assert posting.rows == []


def test_what_certainly_was_not_written_is_sent_at_once(posting: Posting) -> None:
    """ServerUnavailable leaves no claim behind."""
    posting.want("text")

    def refuse(number: int, before: bool) -> None:
        raise ServerUnavailable("429")

    posting.patchwork.lose = refuse
    with pytest.raises(ServerUnavailable):
        posting.send()
    posting.patchwork.lose = lambda number, before: None
    posting.send()
    assert posting.rows == ["text"]


def test_a_patch_that_is_gone(posting: Posting) -> None:
    """It is told once, and nothing of it is left that somebody would have to mend."""
    posting.patchwork.patch_ids.clear()
    posting.want("text")
    outcome = posting.send()
    assert outcome
    assert not outcome.trouble
    assert posting.ledger.entries(Sink.CHECK, [1]) == {}
    assert posting.ledger.troubles(9) == []
