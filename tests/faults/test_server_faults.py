"""A Patchwork that fails for a while: nothing wrong is stored, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from standin.process import StandinProcess
from tests.faults.conftest import HASTY, await_step, fleet_at_work
from tests.support.contents import Contents, assert_same_store
from tests.support.installation import Installation, configured, wait_until

FAULTS: dict[str, list[dict[str, Any]]] = {
    "500, 502, 503, 504, and 429 with Retry-After": [
        *({"kind": "status", "status": status, "times": 2} for status in (500, 502, 503, 504)),
        {"kind": "status", "status": 429, "times": 3, "retry_after": "1"},
    ],
    "timeouts, cut bodies, foreign answers": [
        {"kind": "hang", "times": 4},
        {"kind": "cut", "times": 3, "match": "patches"},
        {"kind": "cut", "times": 6, "match": "series-mbox"},
        {"kind": "cut", "times": 4, "match": "mbox"},
        {"kind": "wrong-mbox", "match": "series-mbox"},
        {"kind": "foreign-project", "match": "patches"},
        {"kind": "html", "times": 2, "match": "patches"},
    ],
}


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """As the usual one, and it does not wait for an answer for long."""
    return configured(tmp_path, patchwork, HASTY + "[patchwork]\nread_timeout = 0.5\n")


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_for_a_while(
    installation: Installation, quiet: Contents, faults: list[dict[str, Any]]
) -> None:
    """The fleet goes on by itself when it is over, and has the same store as after a quiet run."""
    control = installation.patchwork.control
    for fault in faults:
        control.fault(**fault)
    with fleet_at_work(installation):
        wait_until(lambda: not control.faults()["pending"], "all faults were met", 120)
        await_step(installation)
        assert_same_store(installation, quiet)
