"""A ledger that was lost learns from Patchwork what is ours, and waits for what is on its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from push_fakes import IDENTITY, FakePatchwork

from patchsync.config.push_tables import PushTable
from patchsync.push import rebuild
from patchsync.push.entries import Sink
from patchsync.push.ledger import Ledger
from patchsync.push.rebuild import Rebuild

ANSWER_SECONDS = 90.0
CHECK = {"state": "success", "target_url": "", "context": "pasta", "description": "it is there"}


class Clock:
    """Time that passes when somebody sleeps; at 30 s a request that was under way arrives."""

    def __init__(self, patchwork: FakePatchwork) -> None:
        self.now = 1000.0
        self._patchwork = patchwork

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= 1030.0 and 2 not in self._patchwork.checks:
            self._patchwork.post_check("linux", 2, **CHECK)

    def time(self) -> float:
        return self.now


def rebuilt(ledger: Ledger, patchwork: FakePatchwork, clock: Callable[[], float]) -> list[str]:
    """Rebuild, and return what it told meanwhile."""
    rebuild = Rebuild(
        ledger=ledger,
        annotator=cast("Any", patchwork),
        identity=IDENTITY,
        push=PushTable(answer_seconds=ANSWER_SECONDS),
        clock=clock,
    )
    return list(rebuild.run())


def test_it_waits_for_lost_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that the lost ledger had claimed comes late: it is known, so it is posted once."""
    patchwork = FakePatchwork(range(1, 4))
    patchwork.post_check("linux", 1, **CHECK)
    clock = Clock(patchwork)
    monkeypatch.setattr(rebuild, "time", clock)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert any("lost answers" in text for text in rebuilt(ledger, patchwork, clock.time))
        assert clock.now == 1000.0 + ANSWER_SECONDS
        assert ledger.complete
        entries = ledger.entries(Sink.CHECK, range(1, 4))
        assert {number for number, entry in entries.items() if entry.observed} == {1, 2}


def test_who_never_was_there_waits_for_nothing(tmp_path: Path) -> None:
    """The first push to a Patchwork begins at once."""
    patchwork = FakePatchwork(range(1, 4))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert not any("lost answers" in text for text in rebuilt(ledger, patchwork, time.time))
        assert ledger.complete
