"""How `patchsync sync` waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from patchsync.cli.sync import POLL_SECONDS, _pause


@pytest.mark.parametrize(
    ("in_flight", "took", "pause"),
    [
        ((0,), 0.002, 0.02),
        ((0, 0), 0.004, 0.04),
        # Many projects, or a large store: no core is spent on looking.
        ((0,), 0.5, POLL_SECONDS),
        # Pages take their time anyway, and what fetches them wants the cores.
        ((0, 3), 0.002, POLL_SECONDS),
    ],
)
def test_it_looks_often_only_where_that_is_cheap(
    in_flight: tuple[int, ...], took: float, pause: float
) -> None:
    """A sync with nothing new is not kept waiting by its own looks."""
    drivers = [SimpleNamespace(in_flight=number) for number in in_flight]
    assert _pause(cast("Any", drivers), took) == pytest.approx(pause)
