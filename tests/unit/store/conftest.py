"""An empty store, and the real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from store_fakes import paths_in

from patchsync.store.layout import ContainerPaths

SHARED_DATA = Path(
    os.environ.get("PATCHSYNC_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data"
)


@pytest.fixture
def paths(tmp_path: Path) -> ContainerPaths:
    """The files of a project in a store that is not there yet."""
    return paths_in(tmp_path / "mbox")


@pytest.fixture
def real_index() -> Path:
    """The index that the store must have for the real mails of jailhouse-dev."""
    index = SHARED_DATA / "jailhouse" / "patchwork.1"
    if not index.exists():
        pytest.skip(f"no real data: {index} is absent (PATCHSYNC_SHARED_DATA)")
    return index
