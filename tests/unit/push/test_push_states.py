"""States, set once, also by who was killed or got no answer; what a person chose since stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from push_fakes import IDENTITY, US, FakePatchwork, answer_lost

from patchsync.errors import AnswerLost, ServerUnavailable
from patchsync.push.entries import Desired, Entry, Sink, StateValue
from patchsync.push.ledger import Ledger
from patchsync.push.relation.audit import audit
from patchsync.push.sending import Outcome
from patchsync.push.states import StateSender

SECONDS = 120.0
SOMEBODY = 7


class Setting:
    """The state of patch 1, at a time that a test sets."""

    def __init__(self, ledger: Ledger) -> None:
        self.now = 1000.0
        self.ledger = ledger
        self.patchwork = FakePatchwork([1])
        self._states = StateSender(
            ledger=ledger,
            annotator=cast("Any", self.patchwork),
            user=US,
            only_from=("new",),
            answer_seconds=SECONDS,
            clock=lambda: self.now,
        )

    def want(self, state: str | None) -> None:
        value = StateValue(state=state, commit_ref=None) if state else None
        self.ledger.set_desired([Desired(1, 1, Sink.STATE, value)])

    def send(self) -> Outcome | None:
        return self._states.send_one("linux", self.ledger.entries(Sink.STATE, [1])[1])

    def lose(self, *, arrived: bool) -> None:
        """Send, and lose the answer."""
        self.patchwork.lose = answer_lost(self.patchwork.writes + 1, arrived=arrived)
        with pytest.raises(AnswerLost):
            self.send()

    def pending(self) -> list[Entry[Any]]:
        return self.ledger.pending(["state"], now=self.now, answer_seconds=SECONDS)

    @property
    def state(self) -> str:
        return self.patchwork.states.get(1, "new")


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_complete()
        yield Setting(ledger)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_answer_is_looked_up(setting: Setting, arrived: bool) -> None:
    """Nothing is sent before it is over; the state is ours either way, and may change again."""
    setting.want("superseded")
    setting.lose(arrived=arrived)
    setting.now += SECONDS - 1
    assert setting.send()
    assert setting.patchwork.writes == 1
    setting.now += 1
    setting.send()
    assert setting.state == "superseded"
    assert setting.patchwork.writes == (1 if arrived else 2)
    setting.want("accepted")
    setting.send()
    assert setting.state == "accepted"


@pytest.mark.parametrize("chosen", ["new", "rejected", "superseded"])
def test_what_a_person_chose_after_a_lost_answer_stays(setting: Setting, chosen: str) -> None:
    """Also one that we might change: it was chosen after ours, whatever more is known."""
    setting.want("superseded")
    setting.lose(arrived=True)
    setting.patchwork.choose(1, chosen, SOMEBODY)
    setting.now += SECONDS
    setting.send()
    assert setting.state == chosen
    if chosen != "superseded":
        setting.want("accepted")
        audit(setting.ledger, cast("Any", setting.patchwork), 1, IDENTITY.projects[1], 1, ("new",))
        outcome = setting.send()
        assert outcome is not None
        assert (outcome.respected, outcome.trouble) == (True, False)
        audit(setting.ledger, cast("Any", setting.patchwork), 1, IDENTITY.projects[1], 1, ("new",))
    assert setting.pending() == []
    assert setting.state == chosen
    assert setting.patchwork.writes == 1


def test_what_a_person_chose_before_a_request_that_never_arrived(setting: Setting) -> None:
    """From a state that we may change it is set, whoever chose that."""
    setting.patchwork.choose(1, "new", SOMEBODY)
    setting.want("superseded")
    setting.lose(arrived=False)
    setting.now += SECONDS
    setting.send()
    assert setting.state == "superseded"


@pytest.mark.parametrize("chosen", [None, "superseded"])
def test_a_state_that_we_set_once_before_is_no_sign_of_arrival(
    setting: Setting, chosen: str | None
) -> None:
    """Only our last change may be the one that was sent; whatever a person chose in between."""
    for state in ("superseded", "accepted"):
        setting.want(state)
        setting.send()
    if chosen:
        setting.patchwork.choose(1, chosen, SOMEBODY)
        setting.patchwork.choose(1, "accepted", SOMEBODY)
    setting.want("superseded")
    setting.lose(arrived=False)
    setting.now += SECONDS
    setting.send()
    assert setting.state == "superseded"
    setting.want("accepted")
    setting.send()
    assert setting.state == "accepted"


def test_whose_a_state_is_stays_known_while_none_is_desired(setting: Setting) -> None:
    """As a group that is taken apart, and put together again: what a person chose then stays."""
    setting.want("superseded")
    setting.send()
    setting.want(None)
    assert setting.pending() == []
    setting.want("accepted")
    setting.send()
    assert setting.state == "accepted"
    setting.patchwork.choose(1, "new", SOMEBODY)
    for state in (None, "accepted", None, "superseded"):
        setting.want(state)
        setting.send()
        assert setting.state == "new"
    assert setting.patchwork.writes == 2


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("before", ["accepted", None])
def test_no_state_is_desired_any_more_while_an_answer_is_lost(
    setting: Setting, before: str | None, arrived: bool
) -> None:
    """It is looked up, and nothing is sent; what is there by then is ours."""
    if before:
        setting.want(before)
        setting.send()
    setting.want("superseded")
    setting.lose(arrived=arrived)
    setting.want(None)
    writes = setting.patchwork.writes
    setting.now += SECONDS
    setting.send()
    assert setting.pending() == []
    assert setting.state == ("superseded" if arrived else before or "new")
    assert setting.patchwork.writes == writes
    setting.want("rejected")
    setting.send()
    assert setting.state == "rejected"


def test_what_was_certainly_not_sent_is_sent_at_once(setting: Setting) -> None:
    """The claim ends with it."""
    setting.want("superseded")

    def refuse(number: int, before: bool) -> None:
        if before and number == 1:
            raise ServerUnavailable("connection refused")

    setting.patchwork.lose = refuse
    with pytest.raises(ServerUnavailable):
        setting.send()
    setting.send()
    assert setting.state == "superseded"


def test_two_do_not_set_one_state(setting: Setting) -> None:
    """Whoever comes second, while the first is at it, waits."""
    setting.want("superseded")
    entry = setting.ledger.entries(Sink.STATE, [1])[1]
    setting.ledger.claim(entry, setting.now, SECONDS)
    outcome = setting.send()
    assert outcome is not None
    assert not outcome.written
    assert setting.state == "new"
