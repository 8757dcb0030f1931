"""What all tests share: the machine's environment kept out, and the seed of random ones."""

from __future__ import annotations

import os
from random import Random

import pytest

# A seed that fails is tried again by PATCHSYNC_SEED; `make faults` takes another one each time.
SEED = int(os.environ.get("PATCHSYNC_SEED") or 1)


def pytest_report_header() -> str:
    """Said at the start of each run."""
    return f"PATCHSYNC_SEED={SEED}"


@pytest.fixture
def random(request: pytest.FixtureRequest) -> Random:
    """Chance, other for each test, the same in each run with the same seed."""
    print(f"PATCHSYNC_SEED={SEED}")
    return Random(f"{SEED} {request.node.nodeid}")
