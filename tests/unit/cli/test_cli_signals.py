"""How a command is asked to end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator

import pytest

from patchsync.cli.signals import end_as_by_ctrl_c

NUMBERS = (signal.SIGTERM, signal.SIGHUP)
CHANGED = (*NUMBERS, signal.SIGALRM)


class InterruptedWhenCollected:
    """A signal comes just when Python collects it."""

    def __del__(self) -> None:
        """Python drops what is raised here."""
        signal.raise_signal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Handlers as nobody set them, even where the tests run under nohup; afterwards as before."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in CHANGED}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_it_ends_as_by_ctrl_c(number: signal.Signals) -> None:
    """What it started is stopped."""
    end_as_by_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_under_nohup_it_goes_on() -> None:
    """A hangup that is ignored stays so."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_as_by_ctrl_c()
    signal.raise_signal(signal.SIGHUP)


def test_an_end_that_was_asked_for_does_not_get_lost() -> None:
    """Wherever Python was just then."""
    end_as_by_ctrl_c()
    collected = InterruptedWhenCollected()
    with pytest.raises(KeyboardInterrupt):
        del collected
        time.sleep(60)
