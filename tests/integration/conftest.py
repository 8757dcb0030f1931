"""Real Redis and real HTTP; tasks and commands run in the process of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from standin.process import StandinProcess
from tests.support.inprocess import Workers
from tests.support.installation import Installation, configured

PATCHES = 120


@pytest.fixture
def patchwork(shared_standin: StandinProcess) -> StandinProcess:
    """A stand-in Patchwork with two projects of generated patches."""
    shared_standin.control.reset(patches=PATCHES)
    return shared_standin


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess, workers: Workers) -> Installation:
    """A configuration for the stand-in's projects, with an empty store."""
    return configured(tmp_path, patchwork, workers=workers)
