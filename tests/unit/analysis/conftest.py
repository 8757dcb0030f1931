"""A PaStA that is no real one, as processes or in this one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_pasta import FakePasta, fake_pasta_with_patches, run_here

from patchsync.analysis.pasta import checkout


@pytest.fixture
def started_pasta(tmp_path: Path) -> FakePasta:
    """Three patches, two of which are one, and a mail without a patch."""
    return fake_pasta_with_patches(tmp_path)


@pytest.fixture
def pasta(started_pasta: FakePasta, monkeypatch: pytest.MonkeyPatch) -> FakePasta:
    """The same, whose commands run in this process."""
    monkeypatch.setattr(checkout, "start_pasta", run_here)
    return started_pasta
