"""Real fleets, undisturbed: Redis, workers and beat as processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from standin.process import StandinProcess
from tests.support.installation import Installation, configured

PATCHES = 120


@pytest.fixture
def patchwork(shared_standin: StandinProcess) -> StandinProcess:
    """A stand-in Patchwork with two projects of generated patches."""
    shared_standin.control.reset(patches=PATCHES)
    return shared_standin


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """A configuration for the stand-in's projects, with an empty store and a Redis of its own."""
    return configured(tmp_path, patchwork)
