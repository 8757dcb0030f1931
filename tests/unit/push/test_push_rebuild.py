"""A ledger that was lost learns from Patchwork what is ours, and waits for what is on its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from push_fakes import IDENTITY, FakePatchwork

from patchsync.push import rebuild as rebuilding
from patchsync.push.entries import Sink
from patchsync.push.ledger import Ledger
from patchsync.push.rebuild import Ours, rebuild

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


def test_it_waits_for_lost_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that the lost ledger had claimed comes late: it is known, so it is posted once."""
    patchwork = FakePatchwork(range(1, 4))
    patchwork.post_check("linux", 1, **CHECK)
    clock = Clock(patchwork)
    monkeypatch.setattr(rebuilding, "time", clock)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        told = rebuild(
            ledger,
            cast("Any", patchwork),
            IDENTITY,
            Ours(context="pasta", states=()),
            ANSWER_SECONDS,
            clock.time,
        )
        assert any("lost answers" in str(each) for each in list(told))
        assert clock.now == 1000.0 + ANSWER_SECONDS
        assert ledger.complete
        assert {entry.patch_id for entry in ledger.showing(Sink.CHECK)} == {1, 2}


def test_who_never_was_there_waits_for_nothing(tmp_path: Path) -> None:
    """The first push to a Patchwork begins at once."""
    patchwork = FakePatchwork(range(1, 4))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ours = Ours(context="pasta", states=())
        told = rebuild(ledger, cast("Any", patchwork), IDENTITY, ours, ANSWER_SECONDS)
        assert not any("lost answers" in str(each) for each in list(told))
        assert ledger.complete
